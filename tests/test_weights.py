"""A sample of weight w is w copies of it: in every method's loss and banks, in the classifier and in values."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from elision import FUSIONS, METHODS, InputError, MultimodalClassifier
from elision.batch import Batch
from elision.inputs import Standardizer
from elision.likelihood import log_label_prior
from elision.measuring import expected_value
from elision.methods import Claims
from elision.stacking import stacking_weights
from small import small_model, small_world
from worlds import make_method, make_samples

TIMES = torch.arange(24) % 3 + 1
CASES = [
    (name, fusion, objective, bank)
    for name, method in METHODS.items()
    for fusion in FUSIONS
    for objective in method.claims.objectives
    for bank in (("exact", "bank", "batch") if name == "mle" else ("exact",))
    if not method.claims.unweighted and fusion not in method.claims.refusals
]


def weighted_and_repeated(n_modalities):
    values, observed, labels = make_samples(n_modalities=n_modalities)
    weighted = Batch.pack(values, observed, labels, TIMES.double())
    again = [{m: x.repeat_interleave(TIMES, 0) for m, x in part.items()} for part in (values, observed)]
    return weighted, Batch.pack(*again, labels.repeat_interleave(TIMES))


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize(("name", "fusion", "objective", "bank"), CASES)
def test_weights_are_copies(name, fusion, objective, bank, n_modalities):
    both = []
    for batch in weighted_and_repeated(n_modalities):
        prior = partial(log_label_prior, n_classes=3, weights=batch.weights)
        options = {"rate": 0.0} if name == "modality-dropout" else {}
        method = make_method(name, fusion, objective, bank, n_modalities=n_modalities, labels=batch.labels, **options)
        method.model.log_prior.copy_(prior(batch.labels))
        for stage in method.stages(batch):
            loss = stage.loss(batch.select(stage.samples))
            loss.backward()
            if stage.settle:
                stage.settle()
        some = weighted_and_repeated(n_modalities)[0]
        told = [loss.detach(), method.log_posterior(some).detach(), torch.tensor(method.validate(batch))]
        if objective == "joint":
            told.append(method.log_evidence(some).detach())
        gradients = [p.grad for p in method.parameters() if p.grad is not None]
        assert gradients
        both.append(told + gradients)
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_value_of_a_measurement_counts_weights_as_copies(fusion):
    values = []
    for batch in weighted_and_repeated(2):
        method = make_method("mle", fusion, "joint")
        with torch.no_grad():
            for stage in method.stages(batch):
                stage.settle()
        lacking = weighted_and_repeated(2)[0].without("b")
        outlook = method.outlook(lacking, {"b": method.remembered["b"]})
        torch.testing.assert_close(outlook.marginal, method.log_posterior(lacking).exp(), rtol=0, atol=1e-12)
        values.append(expected_value([outlook], torch.ones(1, len(lacking), dtype=torch.float64)))
    torch.testing.assert_close(values[0].nats, values[1].nats, rtol=0, atol=1e-10)
    torch.testing.assert_close(values[0].accuracy, values[1].accuracy, rtol=0, atol=1e-10)


def test_stacking_and_standardising_count_weights_as_copies():
    rng = np.random.default_rng(0)
    times = np.array([3, 1, 2, 1])
    logs = torch.from_numpy(rng.normal(size=(3, 4)))
    again = stacking_weights(logs.repeat_interleave(torch.from_numpy(times), 1))
    torch.testing.assert_close(stacking_weights(logs, counts=torch.from_numpy(times)), again)
    rows = {"a": rng.normal(size=(4, 2)), "b": rng.normal(size=(4, 2, 3))}
    rows["a"][1, 0] = rows["a"][2] = rows["b"][0] = np.nan
    one = Standardizer.fit(rows, times.astype(float))
    other = Standardizer.fit({m: x.repeat(times, 0) for m, x in rows.items()})
    for m in rows:
        np.testing.assert_allclose(one.mean[m], other.mean[m], atol=1e-12)
        np.testing.assert_allclose(one.scale[m], other.scale[m], atol=1e-12)


def test_a_classifier_of_weighted_samples_is_that_of_repeated_ones(tmp_path):
    """By the likelihood's objectives: what modality dropout drops is drawn for each row, copies too."""
    X, y = small_world()
    y = np.where(np.arange(80) % 7 == 0, None, y)
    times = np.arange(80) % 3  # 0 among them
    held = small_world(30, seed=1)
    counts = np.arange(30) % 3 + 1.0
    held_again = {m: x.repeat(counts.astype(int), 0) for m, x in held[0].items()}, held[1].repeat(counts.astype(int))
    options = {"learning_rate": 0.01, "objective": "all"}
    weighted = small_model(**options).fit(X, y, (*held, counts), sample_weight=times)
    repeated = small_model(**options).fit({m: x.repeat(times, 0) for m, x in X.items()}, y.repeat(times), held_again)
    new = small_world(seed=2)[0]
    np.testing.assert_allclose(weighted.predict_proba(new), repeated.predict_proba(new), atol=2e-5)
    np.testing.assert_allclose(weighted.class_prior_, repeated.class_prior_)
    for a, b in zip(weighted.members_, repeated.members_, strict=True):
        assert a["weight"] == pytest.approx(b["weight"], abs=1e-4)
        assert a["validation_nll"] == pytest.approx(b["validation_nll"], abs=1e-4)
    plain = small_model(**options).fit(X, y, held)
    assert np.abs(weighted.predict_proba(new) - plain.predict_proba(new)).max() > 1e-3
    weighted.save(tmp_path / "model")
    np.testing.assert_array_equal(
        MultimodalClassifier.load(tmp_path / "model").predict_proba(new), weighted.predict_proba(new)
    )


def test_balanced_classes_have_a_uniform_prior_and_numbers_multiply(tmp_path):
    X, y = small_world()
    rare = np.flatnonzero((y == 0) | (np.arange(80) % 4 == 1))
    X, y = {m: x[rare] for m, x in X.items()}, y[rare]
    balanced = small_model(class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(balanced.class_prior_, [0.5, 0.5])
    plain = small_model().fit(X, y)
    assert balanced.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()
    named = small_model(class_weight={1: 3.0}).fit(X, y)
    by_hand = small_model().fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(named.predict_proba(X), by_hand.predict_proba(X))
    named.save(tmp_path / "model")
    assert MultimodalClassifier.load(tmp_path / "model").class_weight == {1: 3.0}


@pytest.mark.parametrize(
    ("options", "weights", "message"),
    [
        ({}, np.ones(79), r"shape \(79,\): expected \(80,\)"),
        ({}, -np.ones(80), "is -1.0 at row 0"),
        ({}, np.r_[1, np.nan, np.ones(78)], "is nan at row 1"),
        ({}, ["much"] * 80, "no list of numbers"),
        ({}, np.zeros(80), "the weight of every labelled sample is zero"),
        ({}, np.arange(80) % 2, "show one class only"),
        ({"method": "hgr"}, np.ones(80), "'hgr' takes no weights"),
        ({"method": "ae1", "class_weight": "balanced"}, None, "'ae1' takes no weights"),
        ({"class_weight": "even"}, None, "expected 'balanced', or a dict"),
        ({"class_weight": {2: 1.0}}, None, "2, which is no class"),
        ({"class_weight": {1: 0.0}}, None, "numbers above 0"),
    ],
)
def test_what_is_no_weight_is_refused(options, weights, message):
    with pytest.raises(InputError, match=message):
        small_model(**options).fit(*small_world(), sample_weight=weights)


def test_a_batch_without_weights_weighs_nothing():
    weighted, _ = weighted_and_repeated(2)
    plain = replace(weighted, weights=None)
    assert plain.weigh(plain.inputs)["a"] is plain.inputs["a"]


def test_weights_go_with_the_rows_that_a_step_draws(monkeypatch):
    """Of a bank too large for a step: weights of 1 change nothing, and others make it the weighted mean on average."""
    from elision import bank as module

    monkeypatch.setattr(module, "DRAWN_ROWS", 20)
    X, y = small_world(100)
    options = {"bank": "bank", "batch_size": 20, "max_steps": 10, "refit": False}
    held = small_world(30, seed=1)
    plain = small_model(**options).fit(X, y, held)
    ones = small_model(**options).fit(X, y, held, sample_weight=np.ones(100))
    np.testing.assert_allclose(ones.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    torch.manual_seed(0)
    features = {"a": torch.randn(60, 2, dtype=torch.float64)}
    everyone = {"a": torch.ones(60, dtype=torch.bool)}
    weights = torch.rand(60, dtype=torch.float64) + 0.1
    train = Batch.pack(features, everyone, torch.zeros(60, dtype=torch.long), weights)
    estimate = module.BANKS["bank"](dict, train.inputs, scaled=False)
    expected = (weights * features["a"].exp().sum(1)).sum() / weights.sum()
    found = []
    for _ in range(4000):
        source = torch.randint(60, (5,))
        _, bank, rows = estimate(dict, {"a": features["a"][source]}, {"a": source})
        weighed = train.weigh(bank, rows)["a"]
        found.append((weighed[:, 2].exp() * weighed[:, :2].exp().sum(1)).mean())
    means = torch.stack(found)
    assert abs(means.mean() - expected) < 4 * means.std() / len(found) ** 0.5 + 0.01 * expected  # a ratio is biased


def test_a_method_that_does_not_claim_to_count_weights_refuses_them():
    """One that never heard of weights would ignore them without a word."""

    class Deaf(METHODS["zero-padding"]):
        """Written before there were weights."""

        claims = Claims(summary="Deaf.", source="here")

    X, y = small_world()
    small_model(Deaf).fit(X, y)
    with pytest.raises(InputError, match="method 'Deaf' takes no weights: it does not claim to count"):
        small_model(Deaf).fit(X, y, sample_weight=np.ones(80))
    with pytest.raises(InputError, match="takes no weights"):
        small_model(Deaf, class_weight="balanced").fit(X, y)
    with pytest.raises(InputError, match="method 'Deaf' has no objective 'joint'"):
        small_model(Deaf, objective="joint").fit(X, y)
