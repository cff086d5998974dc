"""Gaps that speak: the table of patterns, its power by validation, and what it does where gaps are at random."""

import numpy as np
import pytest

from elision import InputError, MultimodalClassifier
from elision.decisions import gaps, sets
from elision.decisions.gaps import GapTable, best_power
from small import small_model


def world(n, informative, seed=0):
    """Two modalities that tell the class a little; b is shown by 8 in 10 of class 1, 2 in 10 of 0, or by half."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    X = {m: y[:, None] + 1.5 * rng.normal(size=(n, 2)) for m in "ab"}
    X["b"][rng.random(n) > (np.where(y == 1, 0.8, 0.2) if informative else 0.5)] = np.nan
    return X, y


def nll(model, X, y):
    return -model.predict_log_proba(X)[np.arange(len(y)), y].mean()


def test_the_table_is_that_of_the_docstring_and_sums_to_one(monkeypatch):
    rng = np.random.default_rng(0)
    observed, codes, weights = rng.random((50, 2)) < 0.6, rng.integers(2, size=50), rng.integers(1, 3, size=50)
    everything = np.array([[a, b] for a in (False, True) for b in (False, True)])
    for many in (10, 1):
        monkeypatch.setattr(gaps, "MANY", many)
        found = GapTable.of(observed, codes, 2, weights.astype(float)).log_likelihood(everything)
        again = GapTable.of(observed.repeat(weights, 0), codes.repeat(weights), 2).log_likelihood(everything)
        np.testing.assert_allclose(found, again, atol=1e-12)
        np.testing.assert_allclose(np.exp(found).sum(0), 1)
        for z in (0, 1):
            own, times = observed[codes == z], weights[codes == z]
            p = [
                (times @ own[:, m] + 2 * (weights @ observed[:, m] + 1) / (weights.sum() + 2)) / (times.sum() + 2)
                for m in (0, 1)
            ]
            for i, pattern in enumerate(everything):
                product = np.prod([q if shown else 1 - q for q, shown in zip(p, pattern, strict=True)])
                count = times @ (own == pattern).all(1)
                expected = (count + 20 * product) / (times.sum() + 20) if many == 10 else product
                assert found[i, z] == pytest.approx(np.log(expected), abs=1e-12)


def test_the_posterior_is_that_of_the_enumerated_table():
    """Where values are independent of the pattern given the class: Q(x, S, z) = Q(x | z) P(S | z) P(z)."""
    rng = np.random.default_rng(0)
    values, prior = rng.dirichlet(np.ones(4), size=3), np.array([0.5, 0.3, 0.2])  # Q(x | z), (K, 4)
    observed = rng.random((200, 1)) < 0.5
    table = GapTable.of(observed, rng.integers(3, size=200), 3)
    shown = np.exp(table.log_likelihood(np.ones((1, 1), bool)))[0]
    joint = values.T * prior * shown
    alone = values.T * prior
    found = table.posterior(np.log(alone / alone.sum(1, keepdims=True)), np.ones((4, 1), bool))
    np.testing.assert_allclose(np.exp(found), joint / joint.sum(1, keepdims=True), atol=1e-12)


def test_a_power_is_found_where_gaps_speak_and_none_where_they_do_not():
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=400)
    told = np.log(np.full((400, 2), 0.5))
    speaking, mute = rng.random((400, 1)) < np.where(codes == 1, 0.8, 0.2)[:, None], rng.random((400, 1)) < 0.5
    train, held = slice(200), slice(200, 400)
    for observed, expected in ((speaking, (0.7, 1.0)), (mute, (0.0, 0.0))):
        table = GapTable.of(observed[train], codes[train], 2)
        power = best_power(table, told[held], observed[held], codes[held], None)
        assert expected[0] <= power <= expected[1]


@pytest.mark.parametrize(("informative", "gain"), [(True, 0.05), (False, -0.005)])
def test_a_classifier_gains_where_gaps_depend_on_the_label(informative, gain, tmp_path):
    train, test = world(400, informative), world(1000, informative, seed=1)
    plain, listening = (small_model(informative_missingness=on).fit(*train) for on in (False, True))
    assert nll(plain, *test) - nll(listening, *test) >= gain
    assert (listening.missingness_power_ > 0) == informative
    listening.calibrate_sets(*test).save(tmp_path / "model")
    scores = sets.class_scores(listening.predict_log_proba(test[0]))[np.arange(1000), test[1]]
    np.testing.assert_array_equal(listening.set_calibration_.everything, np.sort(scores))
    loaded = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(test[0]), listening.predict_proba(test[0]))
    assert loaded.predict_set(test[0]).equals(listening.predict_set(test[0]))
    assert loaded.missingness_power_ == listening.missingness_power_
    some = {m: values[:20] for m, values in test[0].items()}
    np.testing.assert_array_equal(plain.contributions(some)["nats"], listening.contributions(some)["nats"])


def test_calibration_of_sets_is_saved_and_a_fit_forgets_it(tmp_path):
    model = small_model().fit(*world(200, False)).calibrate_sets(*world(150, False, seed=1))
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    new = world(50, False, seed=2)[0]
    assert loaded.predict_set(new, 0.8).equals(model.predict_set(new, 0.8))
    loaded.fit(*world(200, False))
    with pytest.raises(InputError, match="not calibrated"):
        loaded.predict_set(new)


def test_a_choice_that_is_none_is_refused():
    with pytest.raises(InputError, match="informative_missingness is 'yes'"):
        small_model(informative_missingness="yes").fit(*world(60, False))


def test_the_table_is_of_all_samples_once_a_fit_has_gone_on_with_them():
    X, y = world(80, informative=True)
    for refit in (True, False):
        model = small_model(informative_missingness=True, refit=refit).fit(X, y)
        assert (model._gaps.sizes.sum() == 80) == refit
