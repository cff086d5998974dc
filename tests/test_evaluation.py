"""Metrics against scikit-learn, and against sums done by hand."""

import json
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from elision import InputError
from elision.evaluation import (
    BINS,
    Assessment,
    Rise,
    assess_posteriors,
    confidence_bins,
    confusion,
    evaluate,
    expected_calibration_error,
    paired_difference,
    reliability_table,
)


@pytest.fixture
def predictions():
    """(log-probabilities (200, 4), codes (200,)); no sample shows class 3."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 4))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), rng.integers(0, 3, size=200)


def test_metrics_are_those_of_scikit_learn(predictions):
    logs, codes = predictions
    metrics = evaluate(logs, codes)
    assert metrics.n == 200
    assert metrics.accuracy == accuracy_score(codes, logs.argmax(1))
    np.testing.assert_allclose(metrics.nll, log_loss(codes, np.exp(logs), labels=np.arange(4)), rtol=1e-12)


def test_brier_is_the_squared_distance_to_the_one_hot_label_summed_over_classes(predictions):
    logs, codes = predictions
    pairs = zip(np.exp(logs), codes, strict=True)
    by_hand = np.mean([sum((p - (z == code)) ** 2 for z, p in enumerate(row)) for row, code in pairs])
    np.testing.assert_allclose(evaluate(logs, codes).brier, by_hand, rtol=1e-12)


def test_metrics_by_hand():
    metrics = evaluate(np.log([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]]), np.array([0, 2, 0]))
    assert metrics.accuracy == pytest.approx(2 / 3)
    # -(log 0.5 + log 0.1 + log 0.6) / 3
    assert metrics.nll == pytest.approx((0.693147 + 2.302585 + 0.510826) / 3, abs=1e-6)
    # ((.25 + .09 + .04) + (.01 + .64 + .81) + (.16 + .04 + .04)) / 3
    assert metrics.brier == pytest.approx((0.38 + 1.46 + 0.24) / 3)
    # three bins of one sample each: (|0.5 - 1| + |0.8 - 0| + |0.6 - 1|) / 3
    assert metrics.ece == pytest.approx((0.5 + 0.8 + 0.4) / 3)


@pytest.mark.parametrize(("confidence", "hits", "expected"), [
    ([1.0, 0.95], [False, True], 0.475),  # 1.0 belongs to the last bin: |0.975 - 0.5|
    ([0.0, 1.0], [True, False], 1.0),
    ([0.7, 0.7, 0.7, 0.7], [True, True, True, False], 0.05),  # |0.70 - 0.75|
    ([0.62, 0.64, 0.9, 0.9], [True, False, True, True], 0.115),  # 0.5 |0.63 - 0.5| + 0.5 |0.9 - 1|
    ([0.64, 0.69], [True, False], 0.525),  # 10/15 lies between, no tenth: |0.64 - 1| / 2 + |0.69 - 0| / 2
])  # fmt: skip
def test_calibration_error_by_hand(confidence, hits, expected):
    assert expected_calibration_error(np.array(confidence), np.array(hits)) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_is_the_sum_over_bins(predictions):
    logs, codes = predictions
    confidence, hits = np.exp(logs).max(1), logs.argmax(1) == codes
    edges = np.linspace(0, 1, BINS + 1)
    gaps = 0.0
    for low, high in pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            gaps += inside.mean() * abs(confidence[inside].mean() - hits[inside].mean())
    np.testing.assert_allclose(evaluate(logs, codes).ece, gaps, atol=1e-9)


def test_confusion_has_a_row_per_class_even_where_no_sample_shows_it(predictions):
    logs, codes = predictions
    counts = confusion(logs, codes)
    np.testing.assert_array_equal(counts, confusion_matrix(codes, logs.argmax(1), labels=[0, 1, 2, 3]))
    np.testing.assert_array_equal(counts.sum(1), np.bincount(codes, minlength=4))  # rows are the true classes


def test_an_impossible_label_costs_infinitely_much_and_nothing_else_breaks():
    with np.errstate(divide="ignore"):
        metrics = evaluate(np.log([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0]))
    assert metrics.nll == np.inf
    assert metrics.brier == pytest.approx((2.0 + 0.5) / 2)


def test_reliability_is_told_for_each_pattern():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=300)
    logs = np.log(rng.dirichlet(np.ones(3), size=300))
    observed = {"a": np.arange(300) % 3 > 0, "b": np.arange(300) % 3 < 2}
    table = reliability_table(logs, codes, observed)
    assert set(table.index) == {"all", "a", "b", "a + b"} and table.index[0] == "all"
    only_a = observed["a"] & ~observed["b"]
    own = evaluate(logs[only_a], codes[only_a])
    assert table.loc["a", ["n", "accuracy", "nll", "ece", "brier"]].tolist() == [
        100,
        own.accuracy,
        own.nll,
        own.ece,
        own.brier,
    ]
    assert table.loc["a", "confidence"] == pytest.approx(np.exp(logs[only_a]).max(1).mean())


def test_bins_of_confidence_hold_every_sample_and_give_the_calibration_error():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=200)
    logs = np.log(rng.dirichlet(np.ones(3), size=200))
    bins = confidence_bins(logs, codes)
    assert sum(n for _, _, n in bins) == 200
    gap = sum(n * abs(confidence - accuracy) for confidence, accuracy, n in bins) / 200
    assert gap == pytest.approx(evaluate(logs, codes).ece, abs=1e-9)


def test_an_assessment_counts_how_often_confidence_rises_without_a_modality():
    more = np.log([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.5, 0.5]])
    less = np.log([[0.2, 0.8], [0.6, 0.4], [0.8, 0.2], [0.9, 0.1]])
    codes = np.array([1, 0, 1, 0])
    observed = {"a": np.array([True, True, True, False]), "b": np.ones(4, bool)}
    found = assess_posteriors(more, codes, ["x", "y"], observed, lambda m, rest: less[rest])
    assert found.rises["a"] == Rise(share=2 / 3, accuracy=0.0, accuracy_without=0.5, n=3)
    assert found.rises["b"].n == 3 and found.removed["a"].n == 4
    assert set(found.bins) == {"all", "a + b", "b"}
    assert Assessment.of(json.loads(json.dumps(asdict(found)))).rises == found.rises


def test_methods_that_differ_by_less_than_chance_cannot_be_told_apart():
    """By hand: unit means .1, .3, .2; mean .2, standard error .1 / sqrt(3), t(.975, 2) = 4.3027."""
    first = np.array([1.1, 1.1, 1.2, 1.4, 1.2])
    found = paired_difference(first, np.ones(5), np.array(["x", "x", "y", "y", "z"]))
    assert found.n_units == 3
    assert (found.mean, found.low, found.high) == pytest.approx(
        (0.2, 0.2 - 4.30265 * 0.1 / 3**0.5, 0.2 + 4.30265 * 0.1 / 3**0.5), abs=1e-5
    )
    assert not found.told_apart
    assert paired_difference(first, np.zeros(5), np.array([0, 0, 1, 1, 2])).told_apart
    assert paired_difference(np.zeros(5), first, np.array([0, 0, 1, 1, 2])).high < 0
    assert not paired_difference(first, np.zeros(5), np.zeros(5)).told_apart, "one unit says nothing of chance"


def test_an_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        effects = rng.normal(size=4).repeat(3)  # cells of a unit share its luck
        found = paired_difference(0.5 + effects + 0.1 * rng.normal(size=12), np.zeros(12), np.arange(4).repeat(3))
        hits += found.low < 0.5 < found.high
    assert abs(hits / 1000 - 0.95) < 4 * (0.95 * 0.05 / 1000) ** 0.5


@pytest.mark.parametrize(
    ("first", "units", "level", "message"),
    [([1.0], [1, 2], 0.95, "a unit for each"), ([np.nan], [1], 0.95, "a finite number"), ([], [], 0.95, "one or more"),
     ([1.0], [1], 95, "level is 95")],
)  # fmt: skip
def test_results_that_cannot_be_compared_are_refused(first, units, level, message):
    with pytest.raises(InputError, match=message):
        paired_difference(np.array(first), np.zeros(len(first)), np.array(units), level)
