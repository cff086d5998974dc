"""Reproducing tables: which runs, on which data, what is refused, what is left; and the whole way on drawn faces."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stores
from elision.errors import InputError
from elision.study import paper, protocol, sources
from elision.study.paper_report import WARNING
from elision.study.plan import Plan, carry_out_plan, forecast, prepare_folder, read_study, write_report
from elision.study.reproduce import Selection, plan_reproduction
from elision.study.run import Training

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
QUICK = replace(
    protocol.PAPER,
    training=protocol.PAPER.training
    | {"table2": Training("linear", 4, 5, way="segments", options=(("selection", "last"),))},
    seeds=1,
)
FEW = Selection(("table2",), "video", only=("audio missing 80%",))
"""Four runs: AE1, AE2, ours and joint."""


def quiet(done, total, running, seconds_left):
    pass


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def manifest(folder: Path, classes=EMOTIONS, columns=("audio.x", "face.y"), groups: int = 6) -> str:
    rng = np.random.default_rng(0)
    labels = np.repeat(classes, 12)
    table = pd.DataFrame({"label": labels} | {c: rng.normal(size=len(labels)) for c in columns})
    if groups:
        table["group"] = [f"actor {i % groups}" for i in range(len(labels))]
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "made.csv", index=False)
    return str(folder / "made.csv")


def planned(tmp_path: Path, selection: Selection = FEW, proto=QUICK, **data) -> Plan:
    return plan_reproduction(selection, [manifest(tmp_path / "data", **data)], tmp_path / "out", proto)


def test_the_settings_of_all_are_both_tables_and_the_joint_rows_and_figures_add_none():
    assert len(Selection(("all",), joint=False).settings) == 120
    assert len(Selection(("all", "figure4", "figure5", "figure6")).settings) == 120 + 36
    assert len(Selection(("figure5", "figure4"), joint=False).settings) == 4 + 12


def test_features_as_they_are_given_make_one_block_of_both_splits(tmp_path):
    todo = planned(tmp_path, Selection(("table2",), "both", seeds=2))
    assert len(todo.runs) == len({r.key for r in todo.runs}) == (18 + 6) * 2 * 2
    assert {r.extractor for r in todo.runs} == {"given"} and {r.visual for r in todo.runs} == {"face"}
    assert [r.seed for r in todo.runs] == sorted(r.seed for r in todo.runs)  # the first seed of everything comes first
    assert len(planned(tmp_path, Selection(("figure6",), "video", joint=False)).runs) == 3


def test_only_and_limit_shrink_the_list(tmp_path):
    todo = planned(tmp_path)
    assert [r.method for r in todo.runs] == ["ae1", "ae2", "mle", "mle"]
    assert len(planned(tmp_path, replace(FEW, only=("ae1", "joint"))).runs) == 6 + 6
    assert [r.title for r in planned(tmp_path, replace(FEW, limit=2)).runs] == [r.title for r in todo.runs[:2]]
    with pytest.raises(InputError, match=r"no run is called resnet18: titles are such as 'table2 ae1"):
        planned(tmp_path, replace(FEW, only=("resnet18",)))


def test_it_goes_on_where_it_stopped_and_its_report_has_what_is_finished(tmp_path):
    out = tmp_path / "out"
    todo = planned(tmp_path)
    first = carry_out_plan(replace(todo, runs=todo.runs[:2]), out, quiet, workers=1)
    assert len(first.results) == 2 and first.failures == [] and [p.name for p in first.pages] == ["report.html"]
    done = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/result.json")}
    ahead = forecast(todo, out, workers=1)
    assert [len(ahead.finished), len(ahead.failed), len(ahead.left)] == [2, 0, 2]
    seconds = [r.seconds for r in first.results]
    assert ahead.seconds == pytest.approx(2 * sum(seconds) / 2)  # no run of this kind yet: the table's average
    whole = carry_out_plan(todo, out, quiet, workers=1)
    assert len(whole.results) == 4 and forecast(todo, out).left == []
    assert {p: p.stat().st_mtime_ns for p in done} == done
    page = (out / "report.html").read_text()
    assert "joint (not in the paper)" in page and "by video, 70 / 15 / 15" in page and WARNING[:30] not in page
    assert len(pd.read_csv(out / "results.csv")) == 4


def test_the_time_of_one_table_says_nothing_of_anothers(tmp_path):
    todo = planned(tmp_path, replace(FEW, limit=1))
    carry_out_plan(todo, tmp_path / "out", quiet, workers=1)
    longer = replace(todo, runs=[*todo.runs, replace(todo.runs[0], table="table1")])
    ahead = forecast(longer, tmp_path / "out")
    assert len(ahead.finished) == len(ahead.left) == 1 and ahead.seconds is None


def test_nothing_is_known_of_the_time_before_a_run_is_finished(tmp_path):
    ahead = forecast(planned(tmp_path), tmp_path / "out")
    assert len(ahead.left) == 4 and ahead.seconds is None


def test_the_list_engine_writes_commands_and_trains_nothing(tmp_path):
    outcome = carry_out_plan(planned(tmp_path), tmp_path / "out", quiet, engine="list")
    lines = (tmp_path / "out" / "commands.txt").read_text().splitlines()
    assert len(lines) == 4 and outcome.results == [] and outcome.pages == []


def test_a_run_that_fails_is_kept_and_done_again_when_asked(tmp_path):
    out, todo = tmp_path / "out", planned(tmp_path)
    broken = replace(todo, runs=[replace(r, source=str(tmp_path / "gone.csv")) for r in todo.runs[:1]] + todo.runs[1:2])
    outcome = carry_out_plan(broken, out, quiet, workers=1)
    assert len(outcome.results) == 1 and "gone.csv does not exist" in outcome.failures[0].error
    assert "gone.csv does not exist" in (out / "report.html").read_text()
    assert forecast(todo, out).failed == [todo.runs[0].title]
    pair = replace(todo, runs=todo.runs[:2])
    assert len(carry_out_plan(pair, out, quiet, workers=1).failures) == 1
    assert len(carry_out_plan(pair, out, quiet, workers=1, retry_failed=True).results) == 2


def test_a_result_changed_by_hand_is_named_and_not_shown(tmp_path):
    out, todo = tmp_path / "out", planned(tmp_path)
    carry_out_plan(todo, out, quiet, workers=1)
    path = out / "runs" / todo.runs[0].key / "result.json"
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.9'))
    write_report(out)
    assert "was changed after it was written: remove its folder" in (out / "report.html").read_text()
    assert len(pd.read_csv(out / "results.csv")) == 3


def test_results_of_other_data_or_another_training_are_not_mixed_in(tmp_path):
    out = tmp_path / "out"
    todo = planned(tmp_path)
    prepare_folder(todo, out)
    prepare_folder(todo, out)
    longer = replace(
        QUICK,
        training=QUICK.training
        | {"table2": Training("linear", 4, 6, way="segments", options=(("selection", "last"),))},
    )
    with pytest.raises(
        InputError, match=r"other settings \(training table2 max_epochs was 5, now 6\): choose another --out"
    ):
        prepare_folder(planned(tmp_path, proto=longer), out)
    other = planned(tmp_path, columns=("audio.x", "face.y", "face.z"))
    with pytest.raises(InputError, match=r"fingerprints table2 given was .*, now "):
        prepare_folder(other, out)
    settings = json.loads((out / "study.json").read_text())
    settings["settings"]["elision"] = "0.0.1"
    (out / "study.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"elision was 0\.0\.1, now "):
        prepare_folder(todo, out)


def test_another_table_joins_the_folder(tmp_path):
    out, todo = tmp_path / "out", planned(tmp_path)
    prepare_folder(todo, out)
    first = dict(todo.settings) | {"data": {"table1": "x"}, "fingerprints": {"table1 end-to-end": "f"}, "training": {}}
    run = replace(todo.runs[0], table="table1")
    prepare_folder(replace(todo, settings=first, about={"choices": {"Table 1: k": "128"}}, runs=[run]), out)
    study = read_study(out)
    assert set(study.settings["data"]) == {"table1", "table2"} and set(study.settings["training"]) == {"table2"}
    assert study.about["choices"].items() > todo.about["choices"].items()
    assert list(study.runs) == [r.key for r in [*todo.runs, run]]


def test_a_folder_of_something_else_is_refused(tmp_path):
    todo = planned(tmp_path)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is no reproduction's folder: choose another --out"):
        prepare_folder(todo, tmp_path / "out")


@pytest.mark.parametrize(("data", "message"), [
    ({"classes": EMOTIONS[:5]}, r"shows 5 classes .*: the paper's tables have 6 emotions"),
    ({"columns": ("audio.x", "text.y")}, "has the modalities audio, text: the paper's tables need 'audio'"),
    ({"groups": 0}, "names no speakers .*: use --split video"),
    ({"groups": 2}, "names 2 speakers .* needs 3 at least, one for each part: use --split video"),
])  # fmt: skip
def test_data_that_lacks_what_a_table_needs_is_named(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        planned(tmp_path, Selection(("table2",), "speaker"), **data)


@pytest.mark.parametrize(("modalities", "message"), [
    (("visual", "audio", "image"), "has image beside picture and sound: prepare a store without it"),
    (("face", "audio"), "has face as features: Table 1 trains on frames; prepare the clips themselves"),
    (("visual", "face"), "has the modalities visual, face: the paper's tables need 'audio'"),
    (("audio", "visual"), "shows 3 classes .*: the paper's tables have 6 emotions"),
])  # fmt: skip
def test_a_store_that_cannot_serve_table_1_is_refused(tmp_path, modalities, message):
    rows = [stores.row(i, modalities) for i in range(6)]
    address = stores.written(tmp_path / "store", rows, modalities={m: stores.MODALITIES[m] for m in modalities})
    with pytest.raises(InputError, match=message):
        sources.end_to_end_source(address)


@pytest.mark.parametrize(("data", "message"), [
    (["a", "b"], "given as 'a' and 'b': say which is table1=... and table2=..."),
    (["table1=a"], "no data is given for table2: add --data table2=ADDRESS"),
])  # fmt: skip
def test_addresses_that_do_not_say_which_table_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        sources.table_addresses(data, ["table1", "table2"])


@pytest.mark.parametrize(("changes", "message"), [
    ({"what": ("table3",)}, "unknown table or figure 'table3': choose from all, figure4"),
    ({"split": "actor"}, "unknown split 'actor'"),
    ({"seeds": 0}, "seeds is 0: expected 1 or more"),
])  # fmt: skip
def test_choices_that_are_none_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        Selection(**changes)


def test_the_protocol_can_be_changed_where_the_paper_is_silent():
    small = protocol.changed(protocol.PAPER, 3, "small-cnn")
    assert small.training["table1"].encoders == "small-cnn" and dict(small.training["table1"].options) == {}
    assert {t.max_epochs for t in small.training.values()} == {3}
    assert dict(protocol.changed(protocol.PAPER, weights="none").training["table1"].options) == {}
    assert dict(protocol.changed(protocol.PAPER).training["table1"].options) == {"weights": "IMAGENET1K_V2"}
    text = protocol.choices(protocol.PAPER, ["table1", "table2"], {})
    assert "resnet50" in text["Table 1: encoders"] and "IMAGENET1K_V2" in text["Table 1: encoders"]
    assert "the last parameters" in text["Table 2: training"] and "VGG-16" in text["Table 2: extractors"]


def test_the_whole_way_on_drawn_faces(tmp_path):
    """Clips made, prepared by the real readers, trained end to end and on features, reported; as small as can be."""
    pytest.importorskip("av")
    out = tmp_path / "out"
    selection = Selection(("all",), "video", only=("outer-product, visual missing 80%", "resnet34, audio missing 50%"),
                          demo_size=(3, 2))  # fmt: skip
    told = []
    proto = protocol.changed(protocol.STAND_IN, max_epochs=1)
    todo = plan_reproduction(selection, [sources.DEMO], out, proto, workers=1, tell=told.append)
    assert len(todo.runs) == 3 + 1 + 3 + 1
    assert told[:4] == ["drawing clips in the layout enterface05", "preparing enterface05",
                        "drawing clips in the layout ravdess", "preparing ravdess"]  # fmt: skip
    outcome = carry_out_plan(todo, out, quiet, workers=1)
    assert outcome.failures == [] and len(outcome.results) == 8
    page = (out / "report.html").read_text()
    assert page.index(WARNING.replace("'", "&#39;")) < page.index("<h1>")
    assert "random filters" in page and "Table 1 on enterface05 (partial: 3 of 66" in page
    assert not list((out / "training").iterdir())  # the weights of finished runs are not kept
    files = {p.name: p.stat().st_mtime_ns for p in (out / "features").iterdir()}
    again = plan_reproduction(selection, [sources.DEMO], out, proto, workers=1)
    assert [r.key for r in again.runs] == [r.key for r in todo.runs]
    assert {p.name: p.stat().st_mtime_ns for p in (out / "features").iterdir()} == files and len(files) == 3


def test_a_new_row_makes_runs_and_is_shown_without_a_number_of_the_paper(tmp_path, monkeypatch):
    monkeypatch.setitem(paper.ROWS, ("late-fusion", "conditional"), paper.PaperRow("new row", ("table2",), "#123456"))
    out, only = tmp_path / "out", ("late-fusion, given, audio missing 50%", "ae1, given, audio missing 50%")
    plan = planned(tmp_path, Selection(("table2",), "video", only=only))
    assert [run.method for run in plan.runs] == ["ae1", "late-fusion"]
    outcome = carry_out_plan(plan, out, quiet, workers=1)
    assert outcome.failures == [] and [r.run.method for r in outcome.results] == ["ae1", "late-fusion"]
    (row,) = (line for line in (out / "tables.md").read_text().splitlines() if line.startswith("| new row |"))
    assert row.count("not run") == 5 and row.count("[-]") == 1
    page = (out / "report.html").read_text()
    assert page.count("<td>new row</td>") >= 2 and "<h2>Figure 6</h2>" in page
