"""Members of an ensemble: each is trained as it would be alone, asked about its own inputs, weighed on what it says."""

import numpy as np
import pytest
import torch

from elision import ensemble
from elision.batch import Batch
from elision.ensemble import Specification, continue_members, fit_members, fit_weights, log_posteriors
from elision.likelihood import log_label_prior
from elision.registries import FUSIONS, METHODS
from elision.stacking import tempered
from elision.training import History, Schedule
from worlds import make_samples

SCHEDULE = Schedule(max_steps=5, batch_size=9)


def specification(encoder, objective="joint"):
    encoders = dict.fromkeys("ab", encoder)
    return Specification(METHODS["mle"], FUSIONS["addition"], objective, encoders, 4, None, "exact", {})


PAIR = [specification("kernel"), specification("linear", "conditional")]


def samples(n=24, seed=0, offset=0.0):
    values, shown, labels = make_samples("some", n, seed)
    return Batch.pack({m: (x + offset).float() for m, x in values.items()}, shown, labels)


def members(specifications=PAIR, validation=None, seed=0):
    data = samples(), validation
    return fit_members(specifications, data, 3, SCHEDULE, seed, lambda *_: None)


def state(member):
    return torch.cat([x.flatten().double() for x in member.method.state_dict().values()])


def test_each_further_member_adds_one_to_the_seed():
    pair = [specification("linear"), specification("mlp", "conditional")]
    both = members(pair, seed=3)[0]
    assert torch.equal(state(both[0]), state(members(pair[:1], seed=3)[0][0]))
    assert torch.equal(state(both[1]), state(members(pair[1:], seed=4)[0][0]))


def test_members_go_on_with_all_samples_for_half_their_best_steps_at_half_the_rate(monkeypatch):
    """From what they are, by the training loop itself, without validation; the label prior is that of all samples."""
    everything, trained = samples(40, seed=8), ensemble.train
    fitted, expected = members()[0], members()[0]
    histories = [[History("likelihood", planned, 9, [], best)] for planned, best in ((8, 3), (12, 7))]
    seen = []
    monkeypatch.setattr(ensemble, "train", lambda *given: seen.append(given) or trained(*given))
    continue_members(fitted, histories, everything, SCHEDULE, 5, lambda *_: None)
    assert [(g[3].learning_rate, g[4], g[5][0].n_steps, g[5][0].best_step) for g in seen] == [
        (SCHEDULE.learning_rate / 2, 5, 2, 2), (SCHEDULE.learning_rate / 2, 6, 4, 4)
    ]  # fmt: skip
    prior = log_label_prior(everything.labels, 3)
    for i, (member, other) in enumerate(zip(fitted, expected, strict=True)):
        torch.testing.assert_close(member.method.model.log_prior, prior.float())
        other.method.model.log_prior.copy_(prior)
        further = [History("likelihood", 2 + 2 * i, 9, [], 2 + 2 * i)]
        schedule = Schedule(max_steps=5, batch_size=9, learning_rate=SCHEDULE.learning_rate / 2)
        trained(other.method, other.map(everything), None, schedule, 5 + i, further)
        assert torch.equal(state(member), state(other))


def test_the_label_prior_is_that_of_all_labelled_training_samples():
    labels = samples().labels
    shares = [((labels == z).sum() / (labels >= 0).sum()).item() for z in range(3)]
    complete = labels[samples().complete]
    assert [(complete == z).sum() / (complete >= 0).sum() for z in range(3)] != pytest.approx(shares, abs=1e-3)
    for member in members()[0]:
        assert member.method.model.log_prior.exp().tolist() == pytest.approx(shares, rel=1e-6)


def test_a_validation_set_does_not_shape_what_is_fitted_before_training():
    """The landmarks and whitening of a kernel."""
    one, other = (members(validation=samples(seed=5, offset=o))[0][0] for o in (0.0, 9.0))
    for m in "ab":
        first, second = one.frozen[m].state_dict(), other.frozen[m].state_dict()
        assert first.keys() == second.keys() and len(first) > 0
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_many_rows_are_predicted_in_order_by_each_member_behind_its_own_frozen_maps():
    """2,500 are asked for in three parts."""
    fitted, batch = members()[0], samples(2500, seed=7)
    with torch.no_grad():
        expected = torch.stack([m.method.log_posterior(batch.map(m.frozen)) for m in fitted])
    np.testing.assert_allclose(log_posteriors(fitted, batch), expected, atol=1e-5)


def test_other_patterns_get_weights_of_the_validation_set_as_it_is():
    """Fitted by EM in numpy on each labelled sample's tempered posterior at its label."""
    fitted, held = members()[0], samples(200, seed=7)
    prior = log_label_prior(samples().labels, 3)
    weights, likelihoods = fit_weights(fitted, samples().observed, held, prior)
    known = np.flatnonzero(held.labels >= 0)
    temperatures = weights.general_temperatures[:, None].expand(-1, len(held))
    assert abs(temperatures[:, 0] - 1).min() > 0.01
    expected = tempered(log_posteriors(fitted, held), prior, temperatures).numpy()[:, known, held.labels[known]]
    np.testing.assert_allclose(likelihoods, expected, atol=1e-5)
    general = np.full(2, 0.5)
    for _ in range(500):
        shares = np.exp(expected) * general[:, None]
        general = ((shares / shares.sum(0)).sum(1) + 1) / (len(known) + 2)
    assert abs(general[0] - 0.5) > 0.05
    np.testing.assert_allclose(weights.general, general, atol=1e-4)


def test_named_encoders_predict_in_float64():
    assert [member.precision for member in members()[0]] == [torch.float64] * 2


def test_a_kernel_of_many_rows_is_mapped_as_they_are_asked_for(monkeypatch):
    """The same fit, to rounding, whether what the frozen map returns is kept or computed again."""
    from elision import ensemble
    from small import small_model, small_world

    X, y = small_world(90)
    models = []
    for limit in (2**27, 10):
        monkeypatch.setattr(ensemble, "_MAPPED_NUMBERS", limit)
        lazy = []
        made = ensemble.MappedRows
        monkeypatch.setattr(ensemble, "MappedRows", lambda *a, lazy=lazy, made=made: lazy.append(made(*a)) or lazy[-1])
        models.append(small_model(encoders="kernel", bank="bank", batch_size=16).fit(X, y))
        monkeypatch.setattr(ensemble, "MappedRows", made)
        assert bool(lazy) == (limit == 10)
    np.testing.assert_allclose(models[0].predict_proba(X), models[1].predict_proba(X), rtol=0, atol=1e-6)
