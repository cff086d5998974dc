"""Weights of an average: the maximum they claim to be, and each pattern's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from elision import MultimodalClassifier
from elision.stacking import PatternWeights, fit_temperature, mixture, patterns_to_weigh, stacking_weights, tempered


def test_weights_maximise_the_penalised_likelihood():
    """Against a fine grid over the simplex of two members: no weight does better."""
    logs = torch.from_numpy(np.log(np.random.default_rng(0).uniform(0.05, 0.9, (2, 40))))
    first = np.linspace(0.001, 0.999, 999)
    weights = np.log(np.stack([first, 1 - first], axis=1))
    values = logsumexp(logs.numpy()[None] + weights[:, :, None], axis=1).sum(1) + weights.sum(1)
    assert stacking_weights(logs)[0].item() == pytest.approx(first[values.argmax()], abs=1e-3)


def test_no_sample_means_equal_weights():
    assert stacking_weights(torch.zeros(4, 0)).tolist() == [0.25] * 4


def test_mixture_takes_weights_for_all_or_for_each_sample():
    logs = torch.log(torch.tensor([[[0.9, 0.1], [0.9, 0.1]], [[0.2, 0.8], [0.2, 0.8]]]))
    assert torch.allclose(mixture(logs, torch.tensor([0.5, 0.5])).exp(), torch.tensor([[0.55, 0.45]] * 2))
    each = mixture(logs, torch.tensor([[1.0, 0.0], [0.0, 1.0]])).exp()
    assert torch.allclose(each, torch.tensor([[0.9, 0.1], [0.2, 0.8]]))


def _held(n: int, classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    logs = torch.from_numpy(log_softmax(3 * rng.normal(size=(n, classes)), axis=1))
    prior = torch.from_numpy(np.log(np.array([0.5, 0.3, 0.2])))
    return logs, torch.from_numpy(rng.integers(0, classes, n)), prior


def _loss(b: float, logs, labels, prior, counts=1.0, strength: float = 20.0) -> float:
    """What `fit_temperature` says it minimises, written anew."""
    after = log_softmax(prior.numpy() + b * (logs - prior).numpy(), axis=1)
    return -(after[np.arange(len(labels)), labels] * counts).sum() + strength * (b - 1 - np.log(b))


def _best_b(*given) -> float:
    return minimize_scalar(_loss, args=given, bounds=(1e-3, 20), options={"xatol": 1e-10}).x


@pytest.mark.parametrize("n", [3, 30, 3000])
def test_the_temperature_minimises_the_penalised_loss(n):
    logs, labels, prior = _held(n)
    best = _best_b(logs, labels, prior)
    assert 1 / fit_temperature(logs, labels, prior) == pytest.approx(best, rel=1e-6)


def test_few_samples_hardly_move_the_temperature_and_many_find_it():
    logs, labels, prior = _held(4000, seed=1)
    hot = torch.log_softmax(prior + 0.5 * (logs - prior), 1)
    labels = torch.distributions.Categorical(logits=hot).sample()
    assert fit_temperature(logs, labels, prior) == pytest.approx(2.0, abs=0.15)
    assert fit_temperature(logs[:0], labels[:0], prior) == 1.0
    assert abs(np.log(fit_temperature(logs[:5], labels[:5], prior))) < 0.3


def test_a_count_of_samples_is_as_many_copies_of_it():
    logs, labels, prior = _held(20)
    counts = torch.from_numpy(np.random.default_rng(2).integers(1, 5, 20))
    copies = logs.repeat_interleave(counts, 0), labels.repeat_interleave(counts)
    assert fit_temperature(logs, labels, prior, counts=counts) == pytest.approx(fit_temperature(*copies, prior))


def test_a_prior_stays_at_any_temperature_and_extreme_scores_stay_finite():
    logs, labels, prior = _held(6)
    torch.testing.assert_close(tempered(prior.expand(2, -1), prior, torch.tensor([0.1, 9.0])), prior.expand(2, -1))
    torch.testing.assert_close(tempered(logs, prior, torch.ones(6)), logs)
    extreme = torch.log_softmax(1e4 * logs, 1)
    assert 0 < fit_temperature(extreme, labels, prior) < 1e6


def test_every_pattern_of_few_modalities_and_of_many_those_shown():
    assert {tuple(p) for p in patterns_to_weigh(torch.ones(5, 2).bool()).tolist()} == {
        (True, False), (False, True), (True, True)
    }  # fmt: skip
    shown = torch.ones(3, 7).bool()
    shown[1, 2] = False
    assert sorted(patterns_to_weigh(shown).tolist()) == sorted([[True] * 7, [True, True, False, *[True] * 4]])


def test_of_many_patterns_the_most_common_have_weights_of_their_own(monkeypatch):
    """Where each sample may be its own pattern, weights for each would take the square of the samples' time."""
    monkeypatch.setattr("elision.stacking.MOST_PATTERNS", 2)
    rare, often, oftener = torch.eye(7).bool()[:3]
    shown = torch.stack([often, rare, oftener, oftener, often, oftener])
    assert patterns_to_weigh(shown).tolist() == [oftener.tolist(), often.tolist()]


def test_what_makes_a_sample_unlikely_to_all_members_alike_changes_no_weight():
    """Likelihoods of e^-2000 are 0 in float64: taken as they are, they would make every weight NaN."""
    logs = torch.tensor([[-1.0, -2.0, -5.0], [-2.0, -1.0, -9.0]], dtype=torch.float64)
    unlikely = logs - torch.tensor([2000.0, 0.0, 3000.0])
    torch.testing.assert_close(stacking_weights(unlikely), stacking_weights(logs))


def test_a_sample_gets_the_weights_of_its_pattern_and_the_general_ones_else():
    patterns = torch.tensor([[True, False], [True, True]])
    each, temperatures = torch.tensor([[0.1, 0.9], [0.2, 0.8]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    weights = PatternWeights(patterns, each, torch.tensor([0.5, 0.5]), temperatures, torch.tensor([5.0, 6.0]))
    observed = torch.tensor([[True, True], [False, True], [True, False]])
    assert torch.equal(weights.of(observed), torch.tensor([[0.2, 0.5, 0.1], [0.8, 0.5, 0.9]]))
    logs, prior = torch.log_softmax(torch.randn(2, 3, 4), 2), torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    own = torch.tensor([[3.0, 5.0, 1.0], [4.0, 6.0, 2.0]])
    expected = mixture(tempered(logs, prior, own), weights.of(observed))
    torch.testing.assert_close(weights.average(logs, observed, prior), expected)


def test_the_classifier_tempers_and_weighs_each_pattern_by_the_validation_samples_that_can_show_it():
    """By hand from the members' posteriors: temperatures, then EM, in numpy on reduced, shown and labelled samples."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 150)
    X = {"a": rng.normal(size=(150, 3)) + y[:, None], "b": rng.normal(size=(150, 2)) - y[:, None]}
    held = {m: values[100:].copy() for m, values in X.items()}
    held["a"][:8] = np.nan  # cannot serve for patterns with a
    labels = y[100:].astype(object)
    labels[20:25] = None
    parts = {"encoders": "linear", "max_steps": 30, "random_state": 0}
    model = MultimodalClassifier(**parts).fit({m: v[:100] for m, v in X.items()}, y[:100], validation=(held, labels))
    for shown in (["a"], ["b"], ["a", "b"]):
        usable = np.arange(50) >= 8 if "a" in shown else np.ones(50, bool)
        usable[20:25] = False
        reduced = {m: held[m][usable] for m in shown}
        known = np.flatnonzero(usable)
        logs = []
        for objective in ("joint", "conditional"):
            alone = MultimodalClassifier(**parts, objective=objective)
            alone.fit({m: v[:100] for m, v in X.items()}, y[:100], validation=(held, labels))
            # members are seeded by their place: the second of the pair is not the lone one, so take the pair's own
            alone._members = [m for m in model._members if m.specification.objective == objective]
            ones = {"temperatures": torch.ones(3, 1), "general_temperatures": torch.ones(1)}
            alone._weights = replace(alone._weights, **ones)
            logs.append(alone.predict_log_proba(reduced))
        prior = np.log(model.class_prior_)
        for i, one in enumerate(logs):
            given = torch.from_numpy(one), torch.from_numpy(y[100:][known]), torch.from_numpy(prior)
            b = _best_b(*given)
            logs[i] = log_softmax(prior + b * (one - prior), axis=1)
        truth = np.stack([one[np.arange(len(known)), y[100:][known]] for one in logs])
        weights = np.full(2, 0.5)
        for _ in range(500):
            shares = np.exp(truth) * weights[:, None]
            weights = ((shares / shares.sum(0)).sum(1) + 1) / (len(known) + 2)
        expected = logsumexp(np.stack(logs) + np.log(weights)[:, None, None], axis=0)
        np.testing.assert_allclose(model.predict_log_proba(reduced), expected, atol=2e-4)  # fitted in float32
