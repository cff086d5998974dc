"""A table through every verb: train, stop, resume, evaluate, predict; and each kind of data told from the other."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.manifests import mixed_ravdess

import elision
from elision import InputError, TableConfig
from elision.data.partition import Partition
from elision.data.sources import load
from elision.decisions.sets import class_scores
from elision.models import read_model
from elision.runs.predictions import prediction_table, uncertain_samples
from killed import KILLED

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FAST = ("--encoder", "linear", "--max-steps", "40")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ninety samples of two classes, with ids, gaps, and a column split."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(90) % 2)
    frame = pd.DataFrame({"id": [f"p{i:02}" for i in range(90)], "label": np.where(y == 1, "ill", "well")})
    for m, size in (("lab", 2), ("gait", 3)):
        for i in range(size):
            frame[f"{m}.{'abc'[i]}"] = rng.normal(size=90) + 2 * y
    frame.loc[::3, ["gait.a", "gait.b", "gait.c"]] = np.nan
    path = tmp_path_factory.mktemp("table") / "patients.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    elision.train(table, out, TableConfig(encoders="linear", max_steps=40, missing="lab", rate=0.5))
    return out


def changed(table, tmp_path, change):
    frame = pd.read_csv(table)
    frame = change(frame)
    path = tmp_path / "new.csv"
    frame.to_csv(path, index=False)
    return path


def tensors(run):
    return read_model(run / "model").tensors


def test_a_run_holds_its_config_data_model_and_result(run, table):
    assert {p.name for p in run.iterdir()} >= {"config.json", "data.json", "model", "result.json"}
    result = json.loads((run / "result.json").read_text())
    assert result["config"]["missing"] == "lab" and result["samples"]["train"] + result["samples"]["test"] < 90
    assert set(result["test"]["patterns"]) <= {"lab", "gait", "lab + gait"} and set(result["test"]["removed"])
    assert json.loads((run / "data.json").read_text())["address"] == str(table)


def test_the_command_trains_evaluates_and_predicts(table, tmp_path, here):
    out = str(tmp_path / "run")
    code, said, err = here("train", str(table), "--out", out, *FAST)
    assert (code, "as they are" in said, f"Model: {out}/model" in said) == (0, True, True), err
    code, said, _ = here("evaluate", out)
    assert (code, "test part of the training data" in said) == (0, True)
    first = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert first["metrics"] == json.loads((tmp_path / "run" / "result.json").read_text())["test"]["metrics"]
    other = changed(table, tmp_path, lambda f: f.iloc[::-1].head(30))
    code, said, _ = here("evaluate", out, str(other))
    assert (code, "all labelled samples" in said) == (0, True)
    beside = tmp_path / "run" / f"evaluation-{other.stem}"
    assert json.loads((beside / "evaluation.json").read_text())["metrics"]["n"] == 30
    namesake = tmp_path / "elsewhere" / other.name
    namesake.parent.mkdir()
    pd.read_csv(other).head(20).to_csv(namesake, index=False)
    for data in (namesake, other, namesake):  # over its own, and over no other's
        assert here("evaluate", out, str(data))[0] == 0
    numbers = {
        p.name: json.loads((p / "evaluation.json").read_text())["metrics"]["n"] for p in beside.parent.glob("eval*")
    }
    assert numbers == {"evaluation": first["metrics"]["n"], beside.name: 30, f"{beside.name}-2": 20}
    (beside / "evaluation.json").write_text("a note of my own")
    assert here("evaluate", out, str(other))[0] == 0
    assert (beside / "evaluation.json").read_text() == "a note of my own" and (
        beside.parent / f"{beside.name}-3"
    ).is_dir()
    assert json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text()) == first
    new = changed(table, tmp_path, lambda f: f.drop(columns="label")[sorted(f.columns.drop("label"))].head(7))
    code, said, _ = here("predict", out, str(new), "--out", str(tmp_path / "p.csv"))
    assert (code, "7 samples, 0 with a problem" in said) == (0, True)
    told = pd.read_csv(tmp_path / "p.csv")
    frame = pd.read_csv(table).head(7)
    model = elision.load(out)
    np.testing.assert_allclose(told[["p.ill", "p.well"]], model.predict_proba(frame[model.feature_names_in_]))
    assert told["id"].tolist() == frame["id"].tolist()
    held = model.predict_set(frame[model.feature_names_in_], 0.9)["classes"]
    assert told["set"].tolist() == ["; ".join(classes) for classes in held]
    assert told["set_size"].tolist() == held.str.len().tolist()
    best = model.value_of(frame[model.feature_names_in_]).set_index("sample")
    assert best["modality"].tolist() == ["gait"] * 3 and told["measure_next"].notna().tolist() == [
        i % 3 == 0 for i in range(7)
    ]
    np.testing.assert_allclose(told["nats"].dropna(), best["nats"])
    code, said, err = here("predict", out, str(new), "--costs", "lab=3")
    assert (code, "no cost is given for gait" in err) == (2, True)
    code, said, _ = here("predict", out, str(new))
    assert (code, "set" in said, "gait (" in said, "left out" in said, "more:" in said) == (0, True, True, False, False)
    many = changed(table, tmp_path, lambda f: pd.concat([f] * 2, ignore_index=True).drop(columns="id"))
    code, said, _ = here("predict", out, str(many), "--without", "gait")
    assert (code, "left out" in said, f"and {len(pd.read_csv(many)) - 100} more: --out" in said) == (0, True, True)
    code, said, err = here("predict", out, str(new), "--coverage", "9")
    assert (code, "coverage is 9.0" in err) == (2, True)
    code, _, err = here("predict", out, str(new), "--coverage", "0.99", "--out", str(tmp_path / "q.csv"))
    assert (code, "set" in pd.read_csv(tmp_path / "q.csv")) == (0, False), "the test part has too few samples for that"


def test_sets_of_a_run_are_calibrated_on_samples_that_decided_nothing(run, table):
    """The test part: neither trained on, nor used to stop or to weigh."""
    model = elision.load(run)
    config = TableConfig(encoders="linear", max_steps=40, missing="lab", rate=0.5)
    data = load(str(table))
    test = Partition.of(data, config.seed).test
    scores = class_scores(model.predict_log_proba(data.frame().iloc[test]))[np.arange(len(test)), data.codes[test]]
    np.testing.assert_allclose(model.set_calibration_.everything, np.sort(scores), atol=1e-9)


def test_a_table_of_predictions_says_what_is_known_of_each_sample(run, table):
    model, frame = elision.load(run), pd.read_csv(table)
    told = prediction_table(model, frame[model.feature_names_in_], frame["id"], frame["label"], coverage=0.8)
    assert list(told) == [
        "id", "truth", "class", "p.ill", "p.well", "entropy", "set", "shown", "measure_next", "nats"
    ]  # fmt: skip
    assert told["shown"].tolist() == ["lab", "lab + gait", "lab + gait"] * 30
    assert (
        told["measure_next"].tolist() == ["gait", "", ""] * 30
        and told["nats"].notna().tolist() == [True, False, False] * 30
    )
    np.testing.assert_array_equal(told[["p.ill", "p.well"]], model.predict_proba(frame[model.feature_names_in_]))
    complete = frame[1::3]
    plain = prediction_table(model, complete[model.feature_names_in_], complete["id"], coverage=0.99)
    assert list(plain) == ["id", "class", "p.ill", "p.well", "entropy", "shown"]
    least = uncertain_samples(told, 5)
    assert len(least) == 5 and least["entropy"].iloc[0] == told["entropy"].max()
    assert least["entropy"].is_monotonic_decreasing


def test_a_training_that_was_killed_resumes_to_the_same_bits(table, tmp_path, run):
    """Killed as soon as its config is there, in mid-training; nothing but the config and the data's name is left."""
    words = [sys.executable, "-m", "elision", "train", str(table), "--out", str(tmp_path / "run")]
    words += ["--encoder", "linear", "--max-steps", "100000", "--patience", "100000"]
    process = subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "config.json").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "result.json").exists()
    config = TableConfig.read(tmp_path / "run" / "config.json")
    assert config.max_steps == 100000
    with pytest.raises(InputError, match="another config"):
        elision.train(None, tmp_path / "run", TableConfig(), resume=True)
    quick = TableConfig.read(run / "config.json")
    quick.write(tmp_path / "run" / "config.json")
    elision.train(None, tmp_path / "run", resume=True)
    ours, theirs = tensors(tmp_path / "run"), tensors(run)
    assert set(ours) == set(theirs) and all(ours[name].equal(theirs[name]) for name in ours)


@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged"])
def test_members_that_were_trained_are_not_trained_again(table, tmp_path, run, monkeypatch, damage):
    """Stopped in the second of two members; the first comes back from its folder, or is trained anew if damaged."""
    from elision import ensemble

    trained, whole = [], ensemble.train

    def stops(method, *args):
        trained.append(method)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return whole(method, *args)

    config, out = TableConfig.read(run / "config.json"), tmp_path / "run"
    monkeypatch.setattr(ensemble, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        elision.train(table, out, config)
    assert {p.name for p in (out / "checkpoints").iterdir()} == {"member-0"}
    if damage:
        path = out / "checkpoints" / "member-0" / "tensors.safetensors"
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    result = elision.train(None, out, resume=True)
    assert len(trained) == 3 + damage
    ours, theirs = tensors(out), tensors(run)
    assert set(ours) == set(theirs) and all(ours[name].equal(theirs[name]) for name in ours)
    assert result.values["members"] == json.loads((run / "result.json").read_text())["members"]
    assert not (out / "checkpoints").exists()


def test_a_folder_without_the_name_of_its_data_holds_no_run(table, tmp_path, run, monkeypatch):
    """Stopped as data.json was to be written; what stands there could be neither resumed nor begun again."""
    from elision import run_folder

    def stops(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "write_atomically", stops)
    config = TableConfig.read(run / "config.json")
    with pytest.raises(KeyboardInterrupt):
        elision.train(table, tmp_path / "run", config)
    monkeypatch.undo()
    elision.train(table, tmp_path / "run", config)
    assert (tmp_path / "run" / "result.json").is_file()


def test_rows_that_cannot_be_used_are_named_and_the_others_done(run, table, tmp_path, here):
    def spoil(frame):
        frame = frame.head(5).astype(object)
        frame.loc[1, "lab.a"] = "high"
        frame.loc[3, [c for c in frame if "." in c]] = np.nan
        return frame

    code, said, _ = here("predict", str(run), str(changed(table, tmp_path, spoil)), "--out", str(tmp_path / "p.csv"))
    assert (code, "5 samples, 2 with a problem" in said) == (3, True)
    told = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
    assert "row 3, column 'lab.a': 'high' is not a finite number" in told["problem"][1]
    assert "shows nothing that the model may use" in told["problem"][3]
    assert (told["class"][[0, 2, 4]] != "").all() and (told["class"][[1, 3]] == "").all()


def test_ids_that_are_blank_or_occur_twice_are_problems_of_their_rows(run, table, tmp_path):
    new = changed(table, tmp_path, lambda f: f.head(5).assign(id=["s", "", "t", "s", "u"]))
    told = list(elision.predict(run, [new]))
    assert [p.problem for p in told] == [
        "", "row 3, column 'id' is blank: give every row one, or remove the column", "",
        "row 5, column 'id': 's' stands in row 2 already", "",
    ]  # fmt: skip
    numbered = changed(table, tmp_path, lambda f: f.head(3).drop(columns="id"))
    assert [(p.id, p.problem) for p in elision.predict(run, [numbered])] == [("2", ""), ("3", ""), ("4", "")]


def test_piped_tables_are_not_wrapped(run, table):
    words = [sys.executable, "-m", "elision", "predict", str(run), str(table), "--without", "gait"]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"COLUMNS": "20"}, check=True)
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("p")]
    assert len(rows) == 90
    assert all(len(row) >= 6 for row in rows), "id, class, two probabilities, found, used"


def test_columns_are_taken_by_name(run, table, tmp_path):
    plain = list(elision.predict(run, [table]))
    shuffled = changed(table, tmp_path, lambda f: f[list(reversed(f.columns))].assign(other=1))
    told = []
    again = list(elision.predict(run, [shuffled], told.append))
    for one, other in zip(again, plain, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-12)  # sums are rounded by where rows lie
    assert told == [f"{shuffled}: columns that the model does not use: other"]
    whole = changed(table, tmp_path, lambda f: f.drop(columns=["gait.a", "gait.b", "gait.c"]))
    told.clear()
    absent = list(elision.predict(run, [whole], told.append))
    without = list(elision.predict(run, [table], told.append, without=("gait",)))
    for one, other in zip(absent, without, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-12)
    assert told == [f"{whole} has no column of gait: missing in every row"]
    with pytest.raises(InputError, match=r"lacks columns that the model was trained on: 'gait\.b';"):
        list(elision.predict(run, [changed(table, tmp_path, lambda f: f.drop(columns="gait.b"))]))


def test_what_does_not_go_together_is_said(run, table, tmp_path, here):
    clip = tmp_path / "clip.mp4"
    clip.write_text("no clip")
    other = changed(table, tmp_path, lambda f: f.assign(label="else"))
    for words, message in {
        ("predict", str(run), str(clip)): "is no table, and",
        ("evaluate", str(run), str(other)): "class 'else'",
        ("train", str(table), "--out", str(run)): "holds a run already",
        ("train", str(table), "--out", str(tmp_path / "x"), "--epochs", "3"): "--epochs is for recordings",
        ("train", str(table), "--out", str(tmp_path / "x"), "--weights", "lab=DEFAULT"): "--weights is for recordings",
        ("train", str(table), "--out", str(tmp_path / "x"), "--missing", "heart"): "unknown modality 'heart'",
        ("train", str(tmp_path), "--out", str(tmp_path / "x"), "--max-steps", "3"): "--max-steps is for a table",
        ("train", str(table), "--out", str(tmp_path / "x"), "--objective", "both"): "unknown objective 'both'",
        ("train", str(table), "--out", str(tmp_path / "x"), "--encoder", "lab=linear"): "encoders are given for",
        (
            "train",
            str(table),
            "--out",
            str(tmp_path / "x"),
            "--method",
            "lower-bound",
            "--fusion",
            "sum",
        ): "unknown fus",
        ("predict", str(tmp_path), str(table)): "holds no trained model",
        ("predict", str(run), str(tmp_path)): "is no table, and",
        ("evaluate", str(run), str(tmp_path)): "is no table (.csv, .parquet), and",
        ("predict", str(run), str(table), "--without", "lab", "gait"): "every modality is left out",
        ("predict", str(run), str(tmp_path / "none.csv")): "does not exist",
        ("predict", str(run), str(table), "--extractor", "lab=math:sqrt"): "extractors is for recordings",
        ("predict", str(run), str(table), "--average", "logs"): "average is for recordings",
        ("evaluate", str(run), "--workers", "2"): "workers is for recordings",
    }.items():
        code, _, err = here(*words)
        assert (code, message in err) == (2, True), (words, err)
    assert not (tmp_path / "x").exists()


def test_a_diverging_training_has_an_exit_code_of_its_own(table, tmp_path, here):
    code, _, err = here(
        "train", str(table), "--out", str(tmp_path / "run"), "--encoder", "linear", "--learning-rate", "1e30"
    )
    assert (code, "learning rate" in err, "Traceback" in err) == (4, True, False)


def test_class_names_that_were_swapped_are_noticed(run, tmp_path):
    copy = tmp_path / "model"
    copy.mkdir()
    for path in (run / "model").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    text = (copy / "model.json").read_text()
    description = json.loads(text)
    description["learnt"]["classes_"]["values"].reverse()
    (copy / "model.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="is not what was saved"):
        elision.load(copy)


def test_the_doors_list_what_they_hold():
    assert {"MultimodalClassifier", "load", "train", "evaluate", "predict"} <= set(dir(elision))
    script = "import elision.deep; print(elision.deep.load_model.__name__, 'DeepModel' in dir(elision.deep))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["load_model", "True"]


def test_the_page_of_a_run_tells_data_config_and_metrics_and_escapes_names(table, tmp_path, here):
    odd = changed(
        table,
        tmp_path,
        lambda f: f.assign(
            label=f["label"].where(f["label"] == "well", "<b>ill</b>"), **{"lab.b": f["lab.b"].where(f.index % 4 > 0)}
        ),
    )
    out = tmp_path / "run"
    code, said, err = here("train", str(odd), "--out", str(out), *FAST)
    assert (code, f"Report: {out}/report.html" in said) == (0, True), err
    page = (out / "report.html").read_text(encoding="utf-8")
    values = json.loads((out / "result.json").read_text())["test"]
    assert "<b>ill</b>" not in page and "&lt;b&gt;ill&lt;/b&gt;" in page
    assert f"{100 * values['metrics']['accuracy']:.1f} %" in page and f"{values['metrics']['nll']:.3f}" in page
    assert all(f"<td>without {m}</td>" in page for m in values["removed"])
    cell = r'<td[^>]* title="[\d.]+ %">(\d*)</td>'
    shown = [[int(n or 0) for n in re.findall(cell, row)] for row in page.split("<tr>")]
    assert all(row in shown for row in values["confusion"])
    assert "<dt>max steps</dt><dd>40</dd>" in page and str(odd) in page
    filled = json.loads((out / "result.json").read_text())["filled"]
    assert 0.05 < filled["lab"] < 0.2 and filled["gait"] == 0  # an eighth, of the rows that train
    assert f"<dt>lab</dt><dd>{100 * filled['lab']:.1f} % of the numbers" in page and "<dt>gait</dt>" not in page
    few = changed(table, tmp_path, lambda f: f[f["label"] == "well"].head(6))
    assert here("evaluate", str(out), str(few), "--out", str(tmp_path / "judged"))[0] == 0
    page = (tmp_path / "judged" / "report.html").read_text(encoding="utf-8")
    assert "6 samples (all labelled samples)" in page


@pytest.mark.skipif(not (SHARED / "ravdess").is_dir(), reason="RAVDESS is not here: ../shared/data/ravdess")
def test_ravdess_as_a_table_is_trained_killed_resumed_judged_and_predicted(tmp_path, here):
    """Real speech, faces and a setting of categories, by actor; a killed training ends as one that was not."""
    table = mixed_ravdess(SHARED / "ravdess")
    table.to_csv(tmp_path / "ravdess.csv", index=False)
    roles = [str(tmp_path / "ravdess.csv"), "--label", "emotion", "--id", "clip", "--group", "actor"]
    roles += ["--modality", "audio=audio.*", "face=face.*", "setting=sex,statement,repetition"]
    roles += ["--category", "statement", "repetition", "--ignore", "intensity"]
    options = [*roles, "--encoder", "linear", "--max-steps", "60", "--by-group", "--missing", "face", "--rate", "0.8"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert here("train", *options, "--out", str(whole))[0] == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, "train", *options, "--out", str(stopped)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [p.name for p in (stopped / "checkpoints").iterdir()] == ["member-0"]
    code, said, err = here("train", "--resume", str(stopped))
    assert (code, "without face" in said) == (0, True), err
    ours, theirs = tensors(stopped), tensors(whole)
    assert set(ours) == set(theirs) and all(ours[name].equal(theirs[name]) for name in ours)

    code, said, _ = here("evaluate", str(stopped))
    told = json.loads((stopped / "evaluation" / "evaluation.json").read_text())
    assert (code, told["metrics"]) == (0, json.loads((whole / "result.json").read_text())["test"]["metrics"])
    assert told["metrics"]["accuracy"] > 2 / 6, "six classes, new actors"

    compared = [*roles, "--methods", "mle", "late-fusion", "--missing", "setting", "--rates", "0.5", "--seeds", "1"]
    code, _, err = here("compare", *compared, "--encoders", "linear", "--workers", "1", "--out", str(tmp_path / "c"))
    assert code == 0, err
    assert elision.load(tmp_path / "c").categories_["setting"].keys() == {"sex", "statement", "repetition"}

    new = table.drop(columns=["emotion", "intensity"]).head(20).astype(object)
    new.loc[new.index[4], "audio.7"] = "loud"
    new.loc[new.index[1], ["statement", "sex"]] = [3, "unknown"]
    new.to_csv(tmp_path / "new.csv", index=False)
    code, said, err = here("predict", str(stopped), str(tmp_path / "new.csv"), "--out", str(tmp_path / "p.parquet"))
    assert (code, "20 samples, 1 with a problem" in said) == (3, True)
    frame = pd.read_parquet(tmp_path / "p.parquet")
    assert frame["id"].tolist() == table["clip"].head(20).tolist()
    assert "did not show, which count as missing: column 'sex': 'unknown'; column 'statement': '3'" in err
    assert "row 6, column 'audio.7': 'loud'" in frame["problem"][4]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.json", None, "does not say on what data the run was begun"),
        ("data.json", "{}", "does not say on what data the run was begun"),
        ("data.json", "{", "is not what was written"),
        ("result.json", "{", "is not what was written"),
    ],
)
def test_a_run_whose_files_are_lost_or_damaged_says_so(run, table, tmp_path, name, content, words):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / name
    file.write_text(content) if content else file.unlink()
    with pytest.raises(InputError, match=words):
        elision.train(table, tmp_path / "run", resume=True)


def test_what_to_measure_next_goes_by_value_per_cost_and_never_to_what_is_left_out(tmp_path):
    """Of a sample that shows c, a says more than b; at ten times the cost b comes first."""
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    columns = {f"{m}.x": rng.normal(size=160) + s * y for m, s in (("a", 3.0), ("b", 1.5), ("c", 0.5))}
    pd.DataFrame({"label": np.where(y, "p", "q"), **columns}).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame({"c.x": columns["c.x"][:9]}).to_csv(tmp_path / "new.csv", index=False)
    elision.train(tmp_path / "t.csv", tmp_path / "run", TableConfig(encoders="linear", max_steps=60))

    def said(**options):
        told = elision.predict(tmp_path / "run", [tmp_path / "new.csv"], lambda text: None, **options)
        return {tuple(m.modality for m in p.measure_next if m.nats > 0) for p in told}

    assert said() == said(costs={"a": 1, "b": 1, "c": 1}) == {("a", "b")}
    assert (said(costs={"a": 50, "b": 1, "c": 1}), said(without=["a"])) == ({("b", "a")}, {("b",)})
    assert said(without=["a", "b"]) == {()}


def test_what_a_blank_takes_is_an_option_of_a_training(table, tmp_path, here):
    gappy = changed(table, tmp_path, lambda f: f.assign(**{"lab.a": f["lab.a"].mask(f.index % 3 == 0)}))
    assert here("train", str(gappy), "--out", str(tmp_path / "run"), *FAST, "--impute", "knn")[0] == 0
    assert elision.load(tmp_path / "run").impute == "knn"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "were blank, and imputed (knn)" in page and "training means" not in page
    code, _, err = here("train", str(gappy), "--out", str(tmp_path / "b"), *FAST, "--impute", "median")
    assert (code, "unknown impute 'median': choose from" in err) == (2, True)


def test_weights_of_classes_and_gaps_that_speak_are_options_of_a_training(table, tmp_path, here):
    rare = changed(table, tmp_path, lambda f: f[(f["label"] == "well") | (f.index < 40)])
    code, _, err = here(
        "train",
        str(rare),
        "--out",
        str(tmp_path / "run"),
        *FAST,
        "--class-weight",
        "balanced",
        "--informative-missingness",
    )
    assert code == 0, err
    model = elision.load(tmp_path / "run")
    assert model.class_prior_ == pytest.approx(0.5) and 0 <= model.missingness_power_ <= 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["class_weight"], config["informative_missingness"]) == ("balanced", True)
    code, _, err = here("train", str(rare), "--out", str(tmp_path / "b"), *FAST, "--class-weight", "even")
    assert (code, "class_weight" in err) == (2, True)
