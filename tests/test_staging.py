"""What preparing keeps between calls: settings, staging folder, problems.csv; each by itself."""

import json
import os
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from elision.data.layouts.found import Found, LayoutOptions
from elision.data.preparation import Preparation, modalities, parameters
from elision.data.problems import PROBLEMS, by_modality, commonest, problem, read_problems, table
from elision.data.recording import Problem, Recording
from elision.data.staging import PlannedShard, Record, Staging, refuse_differences, stamps
from elision.errors import InputError
from elision.kinds import Modality
from elision.media.extract import MediaSettings
from stores import MODALITIES, row


@pytest.fixture
def area(tmp_path) -> Staging:
    made = Staging(tmp_path / "store" / ".staging", tmp_path / "store", MODALITIES)
    made.settle({"a": {"b": 1}})
    return made


def recording(tmp_path: Path, name: str, content: bytes = b"1") -> Recording:
    file = tmp_path / f"{name}.mp4"
    file.write_bytes(content)
    return Recording(name, sources={"visual": file})


# Settings.


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"layout": "nowhere"}, "layout"), ({"layout": "manifest", "per_shard": 0}, "0 samples in a shard")],
)
def test_settings_that_cannot_be_are_refused(wrong, told):
    with pytest.raises(InputError, match=told):
        Preparation(**wrong)


def test_modalities_are_those_that_recordings_name(tmp_path):
    found = Found((recording(tmp_path, "a"),), features={"face": ("x", "y")})
    named = modalities(found, MediaSettings(windows=3, size=32))
    assert named == {"visual": Modality("frames", (3, 32, 32), 3), "face": Modality("features", (2,))}


def test_parameters_are_plain_and_the_same_for_a_copy_and_others_for_another_source(tmp_path):
    made = []
    for folder, content in (("a", b"1"), ("b", b"2"), ("c", b"33")):
        (tmp_path / folder).mkdir()
        found = Found((recording(tmp_path / folder, "r", content),))
        made.append(parameters(tmp_path / folder, found, Preparation("manifest")))
    assert made[0] == made[1] == json.loads(json.dumps(made[0]))
    assert made[0]["source"]["sha256"] != made[2]["source"]["sha256"]  # by sizes
    other = Preparation("manifest", options=LayoutOptions(all_emotions=True))
    assert parameters(tmp_path / "a", Found((recording(tmp_path / "a", "r"),)), other) != made[0]


def test_differences_are_named_with_both_values():
    refuse_differences("store", {"a": {"b": [1, 2]}}, {"a": {"b": (1, 2)}}, "choose")  # as JSON they are equal
    with pytest.raises(InputError, match=r"a\.b was 1, now 2.*c was None, now x.*: choose another DEST"):
        refuse_differences("store", {"a": {"b": 1}}, {"a": {"b": 2}, "c": "x"}, "choose")


# The staging folder.


def test_other_settings_than_those_begun_with_are_refused(area):
    area.settle({"a": {"b": 1}})
    with pytest.raises(InputError, match=r"a\.b was 1, now 2"):
        area.settle({"a": {"b": 2}})


def test_a_kept_row_is_found_until_its_recording_or_it_changes(area, tmp_path):
    clip = recording(tmp_path, "s01")
    record = area.keep(row(1), Record("s01", stamps(clip)))
    assert record.shown == ["audio", "face", "image", "visual"] and area.holds(record) and area.has(record)
    assert area.records([clip])["s01"].sha256 == record.sha256
    clip.sources["visual"].write_bytes(b"22")
    assert area.records([clip]) == {}


def test_a_recording_replaced_by_one_of_its_size_and_time_is_read_again(area, tmp_path):
    clip = recording(tmp_path, "s01")
    before = clip.sources["visual"].stat()
    area.keep(row(1), Record("s01", stamps(clip)))
    recording(tmp_path, "other", b"2").sources["visual"].replace(clip.sources["visual"])
    os.utime(clip.sources["visual"], ns=(before.st_atime_ns, before.st_mtime_ns))
    now = clip.sources["visual"].stat()
    assert (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert area.records([clip]) == {}


def test_a_damaged_row_counts_as_not_read(area, tmp_path):
    clip = recording(tmp_path, "s01")
    record = area.keep(row(1), Record("s01", stamps(clip)))
    (kept,) = area.folder.rglob("*.arrow")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not area.holds(record) and area.has(record) and area.records([clip]) == {}


def test_a_problem_is_kept_for_as_long_as_the_file_is_the_same(area, tmp_path):
    clip = recording(tmp_path, "bad")
    area.note(Record("bad", stamps(clip), "has zero bytes"))
    assert area.records([clip])["bad"].problem == "has zero bytes"


def test_a_shard_is_put_together_once_and_its_rows_are_let_go(area):
    records = [area.keep(row(i), Record(f"s{i:02d}")) for i in (0, 1)]
    planned = PlannedShard(0, tuple(records), MODALITIES)
    assert area.finished([planned]) == {}
    entry = area.assemble(planned)
    assert area.finished([planned]) == {0: entry} and not any(area.has(record) for record in records)
    assert area.finished([replace(planned, rows=planned.rows[::-1])]) == {}  # another order is another shard
    (area.dest / entry.file).write_bytes(b"gone bad")
    assert area.finished([planned]) == {}


# problems.csv.


def test_problems_come_back_as_they_were_written(tmp_path):
    aside = (Problem("a", "a.mp4", 'says "no", twice\nover'), Problem("", "b", "does not follow the layout"))
    missing = {"audio": (Problem("c", "c.mp4", "no sound"),)}
    notes = {"audio": (Problem("d", "d.mp4", "track 2"),), "visual": (Problem("e", "e.mp4", "dim"),)}
    (tmp_path / PROBLEMS).write_bytes(table(aside, missing, notes))
    assert read_problems(tmp_path) == (aside, missing, notes)
    assert read_problems(tmp_path / "elsewhere") == ((), {}, {})


def test_problems_of_a_store_made_before_there_were_outcomes(tmp_path):
    (tmp_path / PROBLEMS).write_text("id,file,modality,reason\na,a.mp4,,bad\nc,c.mp4,audio,no sound\n")
    assert read_problems(tmp_path) == (
        (Problem("a", "a.mp4", "bad"),),
        {"audio": (Problem("c", "c.mp4", "no sound"),)},
        {},
    )


def test_files_are_named_from_the_source_on(tmp_path):
    clip = recording(tmp_path, "a")
    assert problem(Record("a", problem="is bad"), clip, tmp_path) == Problem("a", "a.mp4", "is bad")
    good = Record("a", missing={"visual": "no picture"})
    missing = attrgetter("missing")
    assert by_modality([good], missing, {"a": clip}, tmp_path) == {"visual": (Problem("a", "a.mp4", "no picture"),)}
    assert by_modality([replace(good, problem="is bad")], missing, {"a": clip}, tmp_path) == {}


def test_the_commonest_reason_is_told_with_its_share():
    problems = [Problem(str(i), f"{i}.mp4", reason) for i, reason in enumerate(["x", "y", "y"])]
    assert commonest(problems) == "1.mp4: y (2 of 3)" and commonest(problems[1:]) == "1.mp4: y"
