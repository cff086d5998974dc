"""The league and its rivals: what they say of numbers that are known, and what reaches a rival."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import rivals
from benchmarks.league import league_frame as frame_of
from benchmarks.league_report import differences, fair, interval_over_data, interval_over_seeds, markdown, overall
from benchmarks.rivals import execute_rival
from benchmarks.rivals.late_svc import LateSVC
from benchmarks.rivals.lines import RIVALS, not_installed
from scipy.special import logsumexp

from elision.evaluation import Assessment, Metrics
from elision.inputs import Samples
from elision.study.on_arrays import Parts
from elision.study.results import Result
from elision.study.run import Run, Training

NLL = {"mle": 0.2, "late-fusion": 0.3, "zero-padding": 0.5, "upper-bound": 0.1}
SKLEARN = [name for name in RIVALS if "SV" in name or "logistic" in name]


def league_frame(lines=tuple(NLL)) -> pd.DataFrame:
    """Data a has three cells, data b one; seeds 0 to 4; late-fusion is further behind on b, zero-padding by seed."""
    rows = []
    for (data, rate), seed, line in product([("a", 0.5), ("a", 0.8), ("a", 0.95), ("b", 0.5)], range(5), lines):
        nll = NLL[line] + {"late-fusion": 0.2 * (data == "b"), "zero-padding": 0.01 * seed}.get(line, 0.0)
        rows.append({"data": data, "missing": "x", "rate": rate, "seed": seed, "method": line, "accuracy": 1 - nll,
                     "nll": nll, "ece": 0.0, "nll_removed": nll, "accuracy_removed": 1 - nll,
                     "seconds": 1.0})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_upper_bound_has_no_rank_and_the_first_by_nll_comes_first():
    table = overall(league_frame())
    assert table.index.tolist() == ["mle", "late-fusion", "zero-padding"]
    assert table["rank nll"].tolist() == table["rank accuracy"].tolist() == [1, 2.025, 2.975]  # one tie in 20


def test_an_interval_over_data_takes_the_data_set_as_its_unit():
    """Differences .1 on a (3 of 4 pairs), .3 on b: mean .15; SE^2 = 2/1 (.75^2 .05^2 + .25^2 .15^2); t(1) = 12.706."""
    found = interval_over_data(differences(league_frame(), "nll")).loc["late-fusion"]
    assert found["mean"] == pytest.approx(0.15)
    assert found["half"] == pytest.approx(12.7062 * np.sqrt(2 * (0.75**2 * 0.05**2 + 0.25**2 * 0.15**2)), rel=1e-4)


def test_an_interval_over_seeds_is_that_of_five_values():
    """Of zero-padding minus mle: .30, .31, .32, .33, .34; t(4) = 2.7764."""
    found = interval_over_seeds(differences(league_frame(), "nll").loc["a"]).loc["zero-padding"]
    assert found["mean"] == pytest.approx(0.32)
    assert found["half"] == pytest.approx(2.7764 * np.std([0, 1, 2, 3, 4], ddof=1) / 100 / np.sqrt(5), rel=1e-4)


def test_an_unfinished_league_compares_on_the_same_samples():
    frame = league_frame()
    cut = frame[(frame["method"] != "zero-padding") | (frame["seed"] < 2)]
    common, done = fair(cut).values()
    assert set(common["seed"]) == {0, 1} and common["method"].nunique() == 4
    assert set(done["method"]) == {"mle", "late-fusion", "upper-bound"} and len(done) == 60
    assert list(fair(frame)) == ["All lines"]


def test_the_page_names_what_was_left_out_and_has_every_cell():
    text = markdown(league_frame(), ["skipped: imml MUSE: not installed"])
    assert text.startswith("* skipped: imml MUSE: not installed\n")
    assert "| late-fusion | +0.150 ± " in text
    row = next(line for line in text.splitlines() if line.startswith("| upper-bound"))
    assert row.count("0.900 ± 0.000 / 0.100 ± 0.000") == 3


def test_the_upper_bound_is_fitted_once_a_seed_and_stands_in_every_cell():
    metrics = Metrics(0.5, 1.0, 0.1, 0.5, 9)

    def result(method, rate, seed):
        run = Run("digits", "digits", "f", False, method, "addition", "all", Training(), "left", rate, seed)
        return Result(run, 9, 9, Assessment(metrics, [[9]], ["a"], {}, {"left": metrics}), 1.0)

    results = [result("mle", rate, seed) for rate in (0.5, 0.8) for seed in (0, 1)]
    frame = frame_of([*results, *(result("upper-bound", 0.5, seed) for seed in (0, 1))], Path())
    assert not frame.duplicated(["rate", "seed", "method"]).any()
    assert (frame.groupby(["rate", "seed"])["method"].nunique() == 2).all() and len(frame) == 8


@pytest.fixture
def parts() -> Parts:
    """Three classes that either modality tells apart; y is missing in half of the training samples."""
    rng = np.random.default_rng(0)

    def samples(n):
        codes = np.arange(n) % 3
        arrays = {m: rng.normal(size=(n, 3)) + 4 * np.eye(3)[codes] for m in "xy"}
        return Samples(arrays, codes)

    train = samples(60)
    train.arrays["y"][::2] = np.nan
    return Parts(train, samples(30), samples(30), ("a", "b", "c"))


@pytest.mark.parametrize("name", SKLEARN)
def test_a_rival_predicts_whatever_is_absent_and_is_not_trained_on_validation_samples(name, parts):
    other = replace(
        parts, validation=Samples({m: a + 9 for m, a in parts.validation.arrays.items()}, np.zeros(30, int))
    )
    logs = []
    for known in (parts, other):
        model = RIVALS[name][0](0)
        model.fit(known)
        logs.append(
            [model.predict_log_proba(parts.test.arrays), model.predict_log_proba({"x": parts.test.arrays["x"]})]
        )
    for values in logs[0]:
        assert values.shape == (30, 3) and np.abs(logsumexp(values, axis=1)).max() < 1e-9
    assert (logs[0][0].argmax(1) == parts.test.codes).mean() > 0.9
    assert all(np.array_equal(*pair) for pair in zip(*logs, strict=True))


def test_late_fusion_of_svcs_counts_the_prior_once(parts):
    """Half of class 0 is left out: counted twice or not at all, the prior of 10, 20 and 20 would show."""
    uneven = parts.train.take(np.flatnonzero((parts.train.codes > 0) | (np.arange(60) % 6 == 3)))
    model = LateSVC(1.0, 0)
    model.fit(replace(parts, train=uneven))
    x, y = ({m: parts.test.arrays[m]} for m in "xy")
    product_of_experts = model.predict_log_proba(x) + model.predict_log_proba(y) - np.log([0.2, 0.4, 0.4])
    expected = product_of_experts - logsumexp(product_of_experts, axis=1, keepdims=True)
    assert np.allclose(model.predict_log_proba(parts.test.arrays), expected)
    expert = model.experts["x"].predict_proba(x["x"])
    assert np.allclose(model.predict_log_proba(x), np.log(expert))  # of one modality, its own posterior


def test_the_candidate_that_makes_the_validation_samples_likeliest_is_assessed(parts, monkeypatch):
    class Fixed:
        """Says the label of samples of the given size, all but surely."""

        def __init__(self, sure: float) -> None:
            self.sure = sure

        def fit(self, parts: Parts) -> None:
            """Nothing."""

        def predict_log_proba(self, arrays: dict) -> np.ndarray:
            """Validation and test samples have the same labels."""
            return np.log(np.where(np.eye(3)[np.arange(30) % 3] == 1, self.sure, (1 - self.sure) / 2))

    monkeypatch.setattr(rivals, "partition", lambda run: parts)
    run = Run("s", "d", "f", False, "r", "-", "-", Training("-"), "y", 0.5, 0)
    result = execute_rival(run, [lambda s=s: Fixed(s) for s in (0.4, 0.9, 0.6)])
    assert result.details["chosen"] == 1 and result.test.metrics.nll == pytest.approx(-np.log(0.9))
    assert result.details["validation_nll"] == pytest.approx(-np.log([0.4, 0.9, 0.6]))


def test_a_rival_whose_package_is_absent_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setattr("benchmarks.rivals.lines.find_spec", lambda name: None if name == "transformers" else name)
    assert set(not_installed()) == {"imml M3Care", "imml MUSE"}
    assert "transformers" in not_installed()["imml MUSE"]
