"""Metrics against scikit-learn, and against sums done by hand."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from elision.evaluation import BINS, confusion, evaluate, expected_calibration_error


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
