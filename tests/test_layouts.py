"""Layouts: real names make samples, all else is set aside with its reason, and no file is opened."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elision.data.layouts.found import Found, LayoutOptions
from elision.data.recording import Recording
from elision.errors import InputError
from elision.registries import LAYOUTS


def placed(root: Path, *names: str) -> Path:
    """Files that nobody could decode: a layout does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def found(layout: str, root: Path, **options: object) -> Found:
    return LAYOUTS[layout](root, LayoutOptions(**options))


def ids(result: Found) -> list[str]:
    return [recording.id for recording in result.recordings]


def reasons(result: Found) -> dict[str, str]:
    return {problem.file: problem.reason for problem in result.problems}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_help_says_where_the_data_is_and_under_which_licence(layout):
    text = LAYOUTS[layout].__doc__
    assert "licence" in text or "free for research" in text
    assert layout in ("manifest", "folders") or "http" in text


@pytest.mark.parametrize("layout", ["ravdess", "enterface05", "folders"])
def test_a_folder_that_is_not_there_is_refused(tmp_path, layout):
    with pytest.raises(InputError, match="nowhere is no folder"):
        found(layout, tmp_path / "nowhere")


@pytest.mark.parametrize("layout", ["ravdess", "enterface05", "folders"])
def test_what_systems_leave_behind_is_passed_over(tmp_path, layout):
    result = found(layout, placed(tmp_path, ".DS_Store", "a/Thumbs.db", ".git/config", "a/desktop.ini"))
    assert result == Found(())


# RAVDESS.


def test_files_of_one_performance_are_one_sample(tmp_path):
    names = [f"Actor_12/{modality}-01-06-01-02-01-12.mp4" for modality in ("01", "02", "03")]
    result = found("ravdess", placed(tmp_path, *names))
    av, _, audio = (tmp_path / name for name in names)
    expected = Recording("01-06-01-02-01-12", "fearful", "12", sources={"visual": av, "audio": audio})
    assert result == Found((expected,))


@pytest.mark.parametrize(("files", "sources"), [
    (["01"], {"visual": "01", "audio": "01"}), (["02"], {"visual": "02"}), (["03"], {"audio": "03"}),
    (["01", "02"], {"visual": "01", "audio": "01"}), (["02", "03"], {"visual": "02", "audio": "03"}),
], ids=str)  # fmt: skip
def test_each_file_gives_the_modalities_of_its_code(tmp_path, files, sources):
    path = {code: f"Actor_01/{code}-01-03-01-01-01-01.{'wav' if code == '03' else 'mp4'}" for code in files}
    (recording,) = found("ravdess", placed(tmp_path, *path.values())).recordings
    assert recording.sources == {m: tmp_path / path[code] for m, code in sources.items()}


def test_ravdess_as_it_is_published_gives_192_of_each_of_six_emotions_by_actor(tmp_path):
    """24 actors, 8 emotions, 2 intensities (neutral: 1), 2 statements, 2 repetitions: 60 clips an actor."""
    names = [
        f"Video_Speech_Actor_{a:02d}/Actor_{a:02d}/{m}-01-{e:02d}-{i:02d}-{s:02d}-{r:02d}-{a:02d}.mp4"
        for a in range(1, 25) for m in ("01", "02") for e in range(1, 9) for i in (1, 2) for s in (1, 2) for r in (1, 2)
        if (e, i) != (1, 2)
    ]  # fmt: skip
    result = found("ravdess", placed(tmp_path, *names))
    labels, counts = np.unique([recording.label for recording in result.recordings], return_counts=True)
    assert labels.tolist() == ["angry", "disgust", "fearful", "happy", "sad", "surprised"]
    assert counts.tolist() == [192] * 6
    assert {r.group for r in result.recordings} == {f"{a:02d}" for a in range(1, 25)}
    assert all(r.group == r.id[-2:] for r in result.recordings)
    assert ids(result) == sorted(ids(result)) and not result.problems
    assert result.skipped == {"calm, not among the paper's six emotions": 2 * 192,
                              "neutral, not among the paper's six emotions": 2 * 96}  # fmt: skip
    everything = found("ravdess", tmp_path, all_emotions=True)
    assert len(everything.recordings) == 1440 and not everything.skipped


def test_songs_are_left_out_and_counted(tmp_path):
    result = found(
        "ravdess", placed(tmp_path, "Actor_02/01-02-03-01-01-01-02.mp4", "Actor_02/01-01-03-01-01-01-02.mp4")
    )
    assert ids(result) == ["01-03-01-01-01-02"] and result.skipped == {"song, not speech": 1}


@pytest.mark.parametrize(("name", "words"), [
    ("Actor_02/readme.txt", "is not named MM-VV"), ("Actor_02/01-01-03-01-01-02.mp4", "is not named"),
    ("Actor_02/04-01-03-01-01-01-02.mp4", "is not named"), ("Actor_02/01-01-09-01-01-01-02.mp4", "is not named"),
    ("Actor_02/01-01-03-01-01-01-25.mp4", "is not named"), ("Actor_02/01-01-03-01-01-01-02.mp4.part", "is not named"),
    ("Actor_02/01-01-03-01-01-01-02 (1).mp4", "is not named"), ("Actor_02/01-01-03-03-01-01-02.mp4", "is not named"),
    ("01-01-03-01-01-01-02.mp4", "expected a folder Actor_02"),
    ("Actor_03/01-01-03-01-01-01-02.mp4", "named after actor 02, and lies in 'Actor_03'"),
], ids=str)  # fmt: skip
def test_a_name_that_does_not_follow_ravdess_is_a_problem_and_the_rest_goes_on(tmp_path, name, words):
    result = found("ravdess", placed(tmp_path, name, "Actor_24/01-01-03-01-01-01-24.MP4"))
    assert ids(result) == ["01-03-01-01-01-24"]
    assert list(reasons(result)) == [name] and words in reasons(result)[name]


def test_two_files_for_one_part_set_their_sample_aside(tmp_path):
    name, other = "a/Actor_02/01-01-03-01-01-01-02.mp4", "b/Actor_02/01-01-03-01-01-01-02.mp4"
    result = found("ravdess", placed(tmp_path, name, other, "a/Actor_03/01-01-03-01-01-01-03.mp4"))
    assert ids(result) == ["01-03-01-01-01-03"]
    (problem,) = result.problems
    assert (problem.id, problem.file) == ("01-03-01-01-01-02", other)
    assert f"second file for this sample, beside {name}" in problem.reason


# eNTERFACE'05.


def test_enterface_with_the_real_datas_irregular_names(tmp_path):
    names = {
        "enterface database/subject 1/anger/sentence 1/s1_an_1.avi": ("01-anger-1", "anger", "01"),
        "enterface database/subject 3/surprise/sentence 1/s_3_su_1.avi": ("03-surprise-1", "surprise", "03"),
        "enterface database/subject 6/fear/s6_fe_4.avi": ("06-fear-4", "fear", "06"),
        "enterface database/subject 6/fear/s6_fe.avi": ("06-fear-s6_fe", "fear", "06"),
        "enterface database/Subject 11/Happiness/Sentence5/S11_HA_5.AVI": ("11-happiness-5", "happiness", "11"),
        "enterface database/subject 44/disgust /sentence 02/wrong_an_9.avi": ("44-disgust-2", "disgust", "44"),
        "enterface database/subject_9/sadness/setence 3/s9_sa_3.avi": ("09-sadness-3", "sadness", "09"),
    }
    result = found("enterface05", placed(tmp_path, *names))
    assert not result.problems
    assert sorted(names.values()) == [(r.id, r.label, r.group) for r in result.recordings]
    by_id = {r.id: r for r in result.recordings}
    for name, (key, *_) in names.items():
        assert by_id[key].sources == {"visual": tmp_path / name, "audio": tmp_path / name}


def test_enterface_from_inside_one_subjects_folder(tmp_path):
    placed(tmp_path, "subject 7/anger/sentence 1/s7_an_1.avi")
    assert ids(found("enterface05", tmp_path / "subject 7")) == ["07-anger-1"]


@pytest.mark.parametrize("name", [
    "subject 1/joy/sentence 1/s1_jo_1.avi", "subject 1/anger/sentence 1/more/s1_an_1.avi", "s1_an_1.avi",
    "subject 1/anger/sentence 1/s1_an_1.mp4", "subject one/anger/sentence 1/s1_an_1.avi", "subject 1/s1_an_1.avi",
    "subject 1/anger/backup/s1_an_1.avi", "subject 1/readme.txt",
])  # fmt: skip
def test_a_name_that_does_not_follow_enterface_is_a_problem_and_the_rest_goes_on(tmp_path, name):
    result = found("enterface05", placed(tmp_path, name, "subject 2/anger/sentence 1/s2_an_1.avi"))
    assert ids(result) == ["02-anger-1"]
    assert list(reasons(result)) == [name] and "expected subject N/EMOTION/sentence K" in reasons(result)[name]


def test_two_films_of_one_sentence_set_it_aside(tmp_path):
    names = [
        "subject 2/anger/sentence 1/s2_an_1.avi",
        "subject 2/anger/s2_an_1.avi",
        "subject 2/anger/sentence 2/x.avi",
    ]
    result = found("enterface05", placed(tmp_path, *names))
    assert ids(result) == ["02-anger-2"]
    assert [problem.id for problem in result.problems] == ["02-anger-1"]


# A folder per class.


def test_the_folder_is_the_class_and_files_that_differ_in_their_ending_are_one_sample(tmp_path):
    root = placed(tmp_path, "angry/a1.mp4", "angry/a1.wav", "calm/b.JPG", "calm/c.flac", "calm/notes.txt", "stray.mp4")
    result = found("folders", root)
    assert {r.id: (r.label, r.group, sorted(r.sources)) for r in result.recordings} == {
        "angry/a1": ("angry", "", ["audio", "visual"]), "calm/b": ("calm", "", ["image"]),
        "calm/c": ("calm", "", ["audio"]),
    }  # fmt: skip
    assert result.recordings[0].sources["audio"].name == "a1.wav"
    assert "no video, sound or picture" in reasons(result)["calm/notes.txt"]
    assert "no folder of a class" in reasons(result)["stray.mp4"]


@pytest.mark.parametrize(("stray", "groups"), [((), ["ann", "ann/2"]), (("calm/b.mp4",), ["", "", ""])])
def test_folders_below_the_class_are_groups_where_every_sample_has_some(tmp_path, stray, groups):
    result = found("folders", placed(tmp_path, "angry/ann/a.mp4", "calm/ann/2/a.mp4", *stray))
    assert sorted(r.group for r in result.recordings) == groups


def test_two_videos_of_one_name_are_one_too_many(tmp_path):
    result = found("folders", placed(tmp_path, "angry/a.mp4", "angry/a.mov", "calm/b.mp4"))
    assert ids(result) == ["calm/b"] and "second file for this sample" in reasons(result)["angry/a.mp4"]


# All of them, on what a disk may hold.

GOOD = {
    "ravdess": ("Actor_02/01-01-03-01-01-01-02.mp4", "Actor_03/01-01-03-01-01-01-03.mp4"),
    "enterface05": ("subject 2/anger/sentence 1/a.avi", "subject 3/anger/sentence 1/a.avi"),
    "folders": ("angry/a.mp4", "calm/b.mp4"),
}


@pytest.mark.parametrize("layout", GOOD)
@pytest.mark.parametrize("target", ["outside", "nowhere", "loop", "inside"])
def test_a_link_is_followed_only_inside_the_source(tmp_path, layout, target):
    first, second = GOOD[layout]
    root = placed(tmp_path / "source", second)
    placed(tmp_path, "outside.mp4")
    link = root / first
    link.parent.mkdir(parents=True)
    link.symlink_to(
        {"outside": tmp_path / "outside.mp4", "nowhere": "gone", "loop": link, "inside": root / second}[target]
    )
    result = found(layout, root)
    if target == "inside":
        assert len(result.recordings) == 2 and not result.problems
    else:
        words = {"outside": "leads out of the source folder", "nowhere": "does not exist", "loop": "cannot be reached"}
        assert len(result.recordings) == 1 and words[target] in reasons(result)[first]


@pytest.mark.parametrize("layout", GOOD)
def test_a_linked_folder_is_a_problem(tmp_path, layout):
    first, second = GOOD[layout]
    placed(tmp_path / "elsewhere", first)
    root = placed(tmp_path / "source", second)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    result = found(layout, root)
    assert len(result.recordings) == 1 and "link to a folder" in reasons(result)["linked"]


@pytest.mark.parametrize("layout", GOOD)
def test_what_may_not_be_read_is_a_problem(tmp_path, layout, monkeypatch):
    first, second = GOOD[layout]
    root = placed(tmp_path, first, second)
    real = os.access  # root may read everything, so permissions alone would not show it
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != root / first and real(path, mode))
    result = found(layout, root)
    assert len(result.recordings) == 1 and "permissions" in reasons(result)[first]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_a_problem(tmp_path):
    root = placed(tmp_path, *GOOD["ravdess"])
    (root / "Actor_02").chmod(0)
    result = found("ravdess", root)
    (root / "Actor_02").chmod(0o700)
    assert len(result.recordings) == 1 and "cannot be read" in reasons(result)["Actor_02"]


@pytest.mark.parametrize("layout", GOOD)
def test_a_name_that_is_no_text_is_a_problem_that_can_be_written_down(tmp_path, layout):
    root = placed(tmp_path, GOOD[layout][0])
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe.mp4")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (problem,) = found(layout, root).problems
    assert problem.file.encode() and problem.file.endswith(".mp4")


# Manifests.


def table(folder: Path, columns: dict[str, list], name: str = "manifest.csv") -> Path:
    path = folder / name
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path


MIXED = {
    "id": ["s1", "s3", "s2"], "label": ["u", "v", ""], "group": ["g", "h", "g"], "split": ["train", "val", "test"],
    "video": ["clips/a.mp4", "", "clips/b.mp4"], "audio": ["", "", "b.flac"], "image": ["", "c.jpg", ""],
    "start": [0.5, None, None], "end": [1.25, None, 3], "face.x": [1.5, None, 2], "face.y": [None, None, 4],
}  # fmt: skip
FILES = ("clips/a.mp4", "clips/b.mp4", "b.flac", "c.jpg")


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_a_manifest_mixes_files_and_numbers(tmp_path, name):
    path = table(placed(tmp_path, *FILES), MIXED, name)
    a, b = tmp_path / "clips/a.mp4", tmp_path / "clips/b.mp4"
    for source in (path, tmp_path):  # the table, or its folder
        result = found("manifest", source)
        assert not result.problems and result.features == {"face": ("x", "y")} and not result.skipped
        first, second, third = result.recordings
        assert second == Recording(
            "s2", "", "g", "test", {"visual": b, "audio": tmp_path / "b.flac"}, {"face": (2.0, 4.0)}, None, 3.0
        )
        assert third == Recording("s3", "v", "h", "val", {"image": tmp_path / "c.jpg"})
        assert (first.start, first.end, first.sources) == (0.5, 1.25, {"visual": a, "audio": a})
        np.testing.assert_array_equal(first.features["face"], [1.5, np.nan])


def test_another_column_is_the_label_and_the_rest_is_said_to_be_unused(tmp_path):
    columns = {"video": list(FILES[:2]), "colour": ["blue", "red"], "digit": [2, 7], "label": ["x", "y"]}
    path = table(placed(tmp_path, *FILES), columns)
    result = found("manifest", path, label_column="digit")
    assert [r.label for r in result.recordings] == ["2", "7"]
    assert ids(result) == ["row-2", "row-3"]  # where the table has no ids
    assert result.skipped == {"column 'colour' is not used": 2, "column 'label' is not used": 2}
    assert [r.label for r in found("manifest", path, label_column="colour").recordings] == ["blue", "red"]


@pytest.mark.filterwarnings("ignore:.*a name like any other unless --na")
def test_ids_and_labels_are_text_as_written(tmp_path):
    columns = {"id": ["01", "1e3", "NA"], "label": ["007", "1.0", "nan"], "x.y": [1, 2, 3]}
    result = found("manifest", table(tmp_path, columns))
    assert [(r.id, r.label) for r in result.recordings] == [("01", "007"), ("1e3", "1.0"), ("NA", "nan")]


@pytest.mark.parametrize(("column", "cell", "words"), [
    ("video", "nowhere.mp4", "column 'video': nowhere.mp4 does not exist"),
    ("video", "../outside.mp4", "leads out of the source folder"), ("video", "/etc/hostname", "leads out"),
    ("image", "clips", "is not a file"), ("audio", "link.wav", "leads out of the source folder"),
    ("video", "clips\0/a.mp4", "cannot be reached"), ("video", "x" * 5000, "cannot be reached"),
    ("split", "exam", "'exam' is not one of train, val, test"), ("split", "", "is not one of train"),
    ("group", "", "column 'group' is blank"), ("id", "", "column 'id' is blank"),
    ("id", "s3", "2 rows have this id"),
    ("face.x", "loud", "column 'face.x': loud is not a finite number"), ("face.x", "inf", "not a finite number"),
    ("face.x", "1e300", "not a finite number"), ("start", "soon", "column 'start': soon is not a finite number"),
    ("start", "-1", "0 or more"), ("start", "1.25", "the end after the start"), ("end", "0", "the end after the start"),
], ids=lambda value: value[:20])  # fmt: skip
def test_a_bad_cell_sets_its_row_aside_and_the_rest_goes_on(tmp_path, column, cell, words):
    root = placed(tmp_path / "source", *FILES)
    (root / "link.wav").symlink_to(placed(tmp_path, "outside.mp4") / "outside.mp4")
    columns = {name: list(map(str, values)) for name, values in MIXED.items()}
    columns = {name: ["" if v == "None" else v for v in values] for name, values in columns.items()}
    columns[column][0] = cell
    if "\0" in cell:
        result = found("manifest", table(root, {**MIXED, column: columns[column]}, "m.parquet"))
    else:
        result = found("manifest", table(root, columns))
    assert ids(result) == (["s2"] if cell == "s3" else ["s2", "s3"])
    assert words in result.problems[0].reason
    assert result.problems[0].file.endswith(", row 2") and len(result.problems) == (2 if cell == "s3" else 1)


def test_a_row_that_shows_nothing_is_set_aside(tmp_path):
    columns = {"label": ["u", "v"], "image": ["", "c.jpg"], "face.x": [None, None]}
    result = found("manifest", table(placed(tmp_path, "c.jpg"), columns))
    assert ids(result) == ["row-3"] and "shows no modality" in result.problems[0].reason


def test_rows_are_named_in_their_order(tmp_path):
    result = found("manifest", table(tmp_path, {"label": ["u"] * 12, "a.x": list(range(12))}))
    assert [r.features["a"] for r in result.recordings] == [(float(i),) for i in range(12)]


def test_rows_that_share_a_file_are_one_group_unless_groups_are_given(tmp_path):
    """Two words of one clip, and a sound that two clips share: a split must not part them."""
    placed(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4", "x.wav")
    columns = {
        "id": ["1", "2", "3", "4", "5"], "label": list("uvuvu"), "video": ["c.mp4", "a.mp4", "b.mp4", "a.mp4", "d.mp4"],
        "audio": ["", "", "x.wav", "", "x.wav"], "start": [0, 0, 0, 1, 0], "end": [1, 1, 1, 2, 1],
    }  # fmt: skip
    result = found("manifest", table(tmp_path, columns))
    assert [r.group for r in result.recordings] == ["1", "2", "3", "2", "3"]
    given = found("manifest", table(tmp_path, {**columns, "group": list("gggge")}))
    assert [r.group for r in given.recordings] == list("gggge")
    alone = {name: values[:3] for name, values in columns.items()}
    assert [r.group for r in found("manifest", table(tmp_path, alone)).recordings] == [""] * 3


def test_problems_stand_in_the_order_of_their_rows(tmp_path):
    result = found("manifest", table(tmp_path, {"label": ["u"] * 12, "a.x": [1] + ["loud"] * 11}))
    assert [problem.file for problem in result.problems] == [f"manifest.csv, row {i}" for i in range(3, 14)]


@pytest.mark.parametrize(("columns", "words"), [
    ({"class": ["u"], "video": ["a"]}, "no column 'label' for the label: it has 'class', 'video'"),
    ({"label": ["u"], "vidio": ["a"]}, "shows no modality: expected a column video"),
    ({"label": ["u"], "video": ["a"], "audio.pitch": [1]}, "modality 'audio', that files show too"),
    ({"label": ["u"], "image": ["a"], "image.x": [1]}, "modality 'image', that files show too"),
    ({"label": ["u"], "any.x": [1]}, "modality 'any', a word that --missing keeps"),
    ({"label": [], "video": []}, "holds a header and no sample"),
], ids=str)  # fmt: skip
def test_a_table_of_another_form_is_refused(tmp_path, columns, words):
    with pytest.raises(InputError, match=words):
        found("manifest", table(tmp_path, columns))


@pytest.mark.parametrize("names", [[], ["manifest.csv", "manifest.parquet"]], ids=str)
def test_a_folder_needs_one_manifest(tmp_path, names):
    for name in names:
        table(tmp_path, {"label": ["u"], "a.x": [1]}, name)
    with pytest.raises(InputError, match=r"(both|neither) of manifest.csv and manifest.parquet"):
        found("manifest", tmp_path)


@pytest.mark.parametrize(("name", "words"), [("nowhere.csv", "does not exist"), ("a.xls", "'.xls'")])
def test_a_path_that_is_no_table_is_refused(tmp_path, name, words):
    placed(tmp_path, "a.xls")
    with pytest.raises(InputError, match=words):
        found("manifest", tmp_path / name)
