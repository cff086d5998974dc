"""Weights of samples at the command: a column of a table, or classes made as heavy, in train and in compare."""

import json

import numpy as np
import pandas as pd
import pytest

import elision
from elision.data.formats import TableFormat
from elision.data.samples import read_samples
from elision.errors import InputError
from elision.study.compare import Comparison, plan_comparison
from elision.study.on_arrays import by_estimator
from elision.study.winner import WinnerFit, fit_winner

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture
def path(tmp_path):
    """120 patients of two classes, a fourth of them ill; each weighs 1, 2 or 3."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4 == 0
    frame = pd.DataFrame({"label": np.where(y, "ill", "well"), "times": np.arange(120) % 3 + 1})
    for m in ("lab", "gait"):
        for i in range(2):
            frame[f"{m}.{i}"] = rng.normal(size=120) + 1.5 * y
    frame.to_csv(tmp_path / "patients.csv", index=False)
    return tmp_path / "patients.csv"


@pytest.fixture
def seen(monkeypatch):
    """Return the weights that each fit got: of what it trains on, and of what validates, or groups to take it by."""
    fit, found = elision.MultimodalClassifier.fit, []

    def spy(self, X, y, validation=None, checkpoints=None, sample_weight=None, groups=None):
        found.append((sample_weight, groups if validation is None else validation[2]))
        return fit(self, X, y, validation, checkpoints, sample_weight, groups)

    monkeypatch.setattr(elision.MultimodalClassifier, "fit", spy)
    return found


def test_a_run_trains_by_the_weights_of_its_rows(path, tmp_path, here, seen):
    run = tmp_path / "run"
    words = ("train", str(path), "--out", str(run), "--encoder", "lab=linear", "gait=linear", "--max-steps", "5")
    code, _, err = here(*words, "--sample-weight", "times")
    assert code == 0, err
    assert "times" not in err, "the column has a role, and is not told as left out"
    data = read_samples(path, TableFormat(weight="times"))
    assert data.weights.tolist() == (np.arange(120) % 3 + 1).tolist()
    counts = json.loads((run / "result.json").read_text())["samples"]
    ((training, validation),) = seen
    assert (len(training), len(validation)) == (counts["train"], counts["validation"])
    assert set(training) == set(validation) == {1, 2, 3}
    assert data.fingerprint() != read_samples(path, TableFormat(ignore=("times",))).fingerprint()
    model = elision.load(run)
    shares = model.class_prior_
    labelled = pd.read_csv(path)
    heavy = labelled.groupby("label")["times"].sum() / labelled["times"].sum()
    np.testing.assert_allclose(shares, heavy.to_numpy(), atol=0.02)


def test_runs_of_a_comparison_and_fits_of_its_winner_get_the_weights(path, seen):
    form = TableFormat(weight="times")
    run = plan_comparison(
        Comparison(str(path), ("mle",), encoders="linear", missing=("none",), seeds=1, form=form)
    ).runs[0]
    trained = by_estimator(run).n_train
    fit_winner(WinnerFit(run, 0, 5, False, ()))
    (training, validation), (fold, held) = seen
    assert set(training) == set(validation) == set(fold) == {1, 2, 3} and held is None
    assert (len(training), len(fold)) == (trained, 96)


def test_a_comparison_and_its_winner_are_told_of_weights(path, tmp_path, here):
    out = tmp_path / "out"
    words = ("compare", str(path), "--out", str(out), "--encoders", "linear", "--seeds", "1", "--missing", "none",
             "--workers", "1", "--methods", "mle", "hgr", "--sample-weight", "times", "--class-weight", "balanced",
             "--informative-missingness")  # fmt: skip
    code, _, err = here(*words)
    assert code == 0, err
    assert "hgr, addition, auto: it takes no weights: a correlation of weighted samples" in err
    model = elision.load(out)
    assert (model.class_weight, model.informative_missingness) == ("balanced", True)
    np.testing.assert_allclose(model.class_prior_, [0.5, 0.5], atol=1e-6)
    code, _, err = here(*words[:3], str(tmp_path / "no"), "--class-weight", "heavy")
    assert code == 2 and "unknown class weight 'heavy': choose from balanced" in err


def test_the_fits_of_a_winner_keep_groups_together_where_the_comparison_did(path, seen):
    table = pd.read_csv(path)
    table["group"] = [f"s{i // 4}" for i in range(120)]
    table.to_csv(path, index=False)
    form = TableFormat(weight="times")
    run = plan_comparison(
        Comparison(str(path), ("mle",), encoders="linear", missing=("none",), seeds=1, form=form)
    ).runs[0]
    fit_winner(WinnerFit(run, 0, 5))
    ((_, groups),) = seen
    assert len(set(groups)) == 24


@pytest.mark.parametrize(("cell", "words"), [
    ("-1", "row 4, column 'times' is '-1.0': expected a weight, 0 or more"),
    ("", "row 4, column 'times' is 'nan': expected a weight, 0 or more"),
    ("heavy", "row 4, column 'times' is 'heavy': expected a weight, 0 or more"),
])  # fmt: skip
def test_a_weight_that_is_none_is_refused(path, cell, words):
    table = pd.read_csv(path, dtype={"times": object})
    table.loc[2, "times"] = cell
    table.to_csv(path, index=False)
    with pytest.raises(InputError) as caught:
        read_samples(path, TableFormat(weight="times"))
    assert words in str(caught.value).replace("'-1'", "'-1.0'")


def test_a_class_that_weighs_nothing_is_refused(path):
    """Rows without a label may weigh nothing, and a class as a whole may not."""
    table = pd.read_csv(path)
    table.loc[table["label"] == table["label"][0], "times"] = 0
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=f"every sample of class '{table['label'][0]}' has weight 0 in column 'times'"):
        read_samples(path, TableFormat(weight="times"))
    table["times"] = 1
    table.loc[:3, "label"], table.loc[:3, "times"] = "", 0
    table.to_csv(path, index=False)
    assert (read_samples(path, TableFormat(weight="times")).weights == 0).sum() == 4


def test_a_column_of_weights_must_be_there_and_have_no_other_role(path, here, tmp_path):
    with pytest.raises(InputError, match=r"no column 'w', the weight of each sample.*--sample-weight"):
        read_samples(path, TableFormat(weight="w"))
    with pytest.raises(InputError, match="one column has two roles"):
        TableFormat(weight="label")
    code, _, err = here("compare", "digits", "--out", str(tmp_path / "d"), "--sample-weight", "times")
    assert code == 2 and "weight is told of a table, and digits is none" in err
    code, _, err = here(
        "reproduce", "table2", "--data", str(path), "--out", str(tmp_path / "r"), "--sample-weight", "times"
    )
    assert code == 2 and "counts each sample as one" in err
