"""A comparison ends in a model, in predictions of samples held out, and in what the report tells of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import elision
from elision.data import load
from elision.data.splits import folds
from elision.decisions.sets import class_scores
from elision.errors import InputError
from elision.runs.card import CARD
from elision.study.winner import FOLDS, read_winner

pytestmark = pytest.mark.filterwarnings(
    "ignore:Cyclopts application invoked without tokens", "ignore:.*found cells separated"
)
QUICK = ("--encoders", "linear", "--methods", "mle", "--seeds", "1", "--missing", "none", "--workers", "1")


def table(folder, **columns):
    """90 patients of two classes; one in three lacks gait."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(90) % 2)
    frame = pd.DataFrame({"id": [f"p{i:02}" for i in range(90)], "label": np.where(y == 1, "ill", "well")} | columns)
    for m, size in (("lab", 2), ("gait", 3)):
        for i in range(size):
            frame[f"{m}.{'abc'[i]}"] = rng.normal(size=90) + 1.2 * y
    frame.loc[::3, ["gait.a", "gait.b", "gait.c"]] = np.nan
    path = folder / "patients.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",")
    return path


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("winner")
    path = table(folder)
    command = [Path(sys.executable).with_name("elision"), "compare", path, "--out", "out", *QUICK, "--acquire"]
    command += ["--costs", "lab=1", "gait=4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return path, folder / "out", done


def test_the_printed_lines_of_python_load_the_winner(compared, tmp_path, monkeypatch):
    path, out, done = compared
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ") and line.strip()][-3:]
    assert lines[1] == f"model = elision.load({str(out)!r})"
    monkeypatch.chdir(out.parent)
    shutil.copy(path, "new.csv")
    scope: dict = {}
    exec("\n".join(lines[:2]), scope)
    shares = eval(lines[2], scope)
    assert shares.shape == (90, 2) and (scope["model"].classes_ == ["ill", "well"]).all()
    page = (out / "report.html").read_text()
    assert all(line.replace("'", "&#39;") in page for line in lines)


def test_a_card_lies_beside_the_winner(compared):
    """It counts all samples, tells who judged them, and that the winner was chosen on them."""
    path, out, _ = compared
    card, winner, frame = (out / CARD).read_text(), read_winner(out), pd.read_csv(path, sep=";", decimal=",")
    gait = frame.filter(like="gait.").notna().any(axis=1).sum()
    assert f"Samples: {len(frame)} train; {gait} of the training part show every modality" in card
    assert f"| gait | {gait} |" in card and f"| ill | {(frame['label'] == 'ill').sum()} |" in card
    assert f"judged in {FOLDS} parts" in card
    assert f"On {winner.assessed.metrics.n} test samples" in card and f"{winner.assessed.metrics.nll:.3f} nats" in card
    assert "chosen as the best of several" in card and f"model = elision.load({str(out)!r})" in card
    assert "each by a model that had not seen it" in winner.assessed.samples


def test_every_sample_is_predicted_once_by_a_model_that_has_not_seen_it(compared):
    path, out, _ = compared
    told, data = pd.read_csv(out / "predictions.csv", keep_default_na=False), load(str(path))
    assert told["id"].tolist() == data.frame().index.tolist() and told["truth"].tolist() == data.labels.tolist()
    assert list(told) == [
        "id", "truth", "class", "p.ill", "p.well", "entropy", "set", "shown", "measure_next", "nats"
    ]  # fmt: skip
    fold = folds(data.codes, None, FOLDS, seed=0)
    assert sorted(np.bincount(fold)) == [18] * 5
    model = elision.MultimodalClassifier(
        encoders="linear", modalities=data.named_columns, refit=False, unlabelled="", random_state=0
    )
    rest, held = np.flatnonzero(fold != 2), np.flatnonzero(fold == 2)
    model.fit(data.frame().iloc[rest], data.labels[rest])
    expected = model.predict_proba(data.frame().iloc[held])
    np.testing.assert_allclose(told[["p.ill", "p.well"]].to_numpy(float)[held], expected, rtol=1e-9)
    assert told["measure_next"].tolist() == ["gait", "", ""] * 30


def test_the_model_s_sets_are_calibrated_on_the_held_out_predictions(compared):
    path, out, _ = compared
    told, data, model = pd.read_csv(out / "predictions.csv"), load(str(path)), elision.load(out)
    scores = class_scores(np.log(told[["p.ill", "p.well"]].to_numpy()))[np.arange(90), data.codes]
    np.testing.assert_allclose(model.set_calibration_.everything, np.sort(scores), atol=1e-6)
    covered = [t in s.split("; ") for t, s in zip(told["truth"], told["set"], strict=True)]
    assert read_winner(out).covered == pytest.approx(np.mean(covered))
    assert 0.89 <= np.mean(covered) <= 1


def test_curves_of_acquisition_are_on_the_page_and_count_costs(compared):
    winner = read_winner(compared[1])
    assert set(winner.curves["order"]) == {"value", "fixed", "random", "all"}
    # two in three show gait, at 4, and all show lab, at 1
    assert winner.curves.query("order == 'all'")["cost"].item() == pytest.approx(1 + 4 * 2 / 3)
    assert "Which to measure first" in (compared[1] / "report.html").read_text()


def test_predict_takes_the_folder_of_a_comparison(compared, tmp_path, here):
    path, out, _ = compared
    code, _, err = here("predict", str(out), str(path), "--out", str(tmp_path / "p.csv"))
    assert code == 0, err
    assert len(pd.read_csv(tmp_path / "p.csv")) == 90


def test_a_model_that_was_removed_is_made_again_and_nothing_else_is(compared, here, monkeypatch):
    path, out, _ = compared
    monkeypatch.chdir(out.parent)
    shutil.rmtree(out / "model")
    before = {p: p.stat().st_mtime_ns for p in out.glob("winner/runs/[!.]*/result.json")}
    code, _, err = here("compare", str(path), "--out", "out", *QUICK, "--acquire", "--costs", "lab=1", "gait=4")
    assert code == 0, err
    changed = [p for p, at in before.items() if p.stat().st_mtime_ns != at]
    assert len(before) == FOLDS + 1 and len(changed) == 1 and json.loads(changed[0].read_text()) == {}
    assert elision.load(out).is_calibrated()


def test_data_that_bring_a_split_are_fitted_once_as_it_says(tmp_path, here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path, split=np.array(["train", "train", "val", "test", "test"] * 18))
    out = tmp_path / "out"
    assert here("compare", path.name, "--out", "out", *QUICK)[0] == 0
    assert f"Address: `{path}`" in (out / CARD).read_text()
    told = pd.read_csv(out / "predictions.csv")
    assert len(told) == 36 and told["id"].str[1:].astype(int).mod(5).isin([3, 4]).all()
    model = elision.load(out)
    np.testing.assert_allclose(
        told[["p.ill", "p.well"]], model.predict_proba(load(str(path)).frame().loc[told["id"]]), rtol=1e-9
    )
    assert (
        "36 train, 18 validation, 36 test; 24 of the training part show every modality. Split as the data says."
        in (out / CARD).read_text()
    )


def test_without_save_nothing_is_fitted_beyond_the_comparison(tmp_path, here):
    path, out = table(tmp_path), tmp_path / "out"
    assert here("compare", str(path), "--out", str(out), *QUICK, "--no-save")[0] == 0
    assert not {"model", "winner", "predictions.csv"} & {p.name for p in out.iterdir()}
    assert "elision.load" not in (out / "report.html").read_text()


@pytest.mark.parametrize(("arguments", "words"), [
    (["--costs", "lab"], "MODALITY=COST"),
    (["--costs", "lab=dear"], "MODALITY=COST"),
    (["--costs", "lab=1"], "no cost is given for gait"),
    (["--costs", "lab=1", "gait=-2"], "0 or more"),
    (["--acquire", "--costs", "lab=0", "gait=1"], "above 0"),
    (["--acquire", "--no-save"], "leave --no-save out"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_what_cannot_be_asked_is_said_before_anything_is_trained(tmp_path, here, arguments, words):
    code, _, err = here("compare", str(table(tmp_path)), "--out", str(tmp_path / "out"), *QUICK, *arguments)
    assert (code, words in err, (tmp_path / "out").exists()) == (2, True, False), err


def test_folds_keep_groups_and_classes_together():
    codes = np.where(np.arange(60) < 12, -1, np.arange(60) % 3)
    groups = np.arange(60) // 4
    fold = folds(codes, groups, 3, seed=1)
    assert (fold[:12] == -1).all() and set(fold[12:]) == {0, 1, 2}
    assert all(len(set(fold[groups == g])) == 1 for g in range(3, 15))
    assert not np.array_equal(fold, folds(codes, groups, 3, seed=2))
    with pytest.raises(InputError, match="folds is 13: expected a whole number from 2 to 12, the number of groups"):
        folds(codes, groups, 13, seed=1)
    with pytest.raises(InputError, match="groups has 5 entries: expected one for each of 60"):
        folds(codes, groups[:5], 3, seed=1)
