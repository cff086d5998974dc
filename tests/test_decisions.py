"""What the classifier answers beyond the class: values, plans, contributions, sets, priors."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from elision import InputError, MultimodalClassifier
from elision.batch import Batch
from elision.decisions import contributions, priors, sets
from elision.likelihood import log_posterior
from worlds import CASES, MISSING, make_world


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.choice(["calm", "sad", "tense"], size=400, p=[0.5, 0.3, 0.2])
    code = np.searchsorted(["calm", "sad", "tense"], y)[:, None]
    noise = {"weak": 3.0, "strong": 0.5, "useless": 1.0}
    X = {m: (code if m != "useless" else 0) + s * rng.normal(size=(400, 2)) for m, s in noise.items()}
    for values in X.values():
        values[rng.random(400) < 0.3] = np.nan
    return X, y


@pytest.fixture(scope="module")
def model(data):
    X, y = data
    return MultimodalClassifier(encoders="linear", max_steps=200, random_state=0).fit(rows(X, 200), y[:200])


def rows(X, stop, start=0):
    return {m: values[start:stop] for m, values in X.items()}


def lone(X, shown, n=10):
    """The first samples that show a modality, and only that."""
    there = np.flatnonzero(~np.isnan(X[shown]).all(1))[:n]
    return only({m: values[there] for m, values in X.items()}, shown)


def only(X, *shown):
    return {m: values if m in shown else np.full_like(values, np.nan) for m, values in X.items()}


def test_the_modality_that_tells_most_is_worth_most(data, model):
    X = lone(data[0], "weak", 100)
    table = model.value_of(X)
    means = table.groupby("modality")["nats"].mean()
    assert means["strong"] > 5 * means["useless"]
    assert (table[["nats", "accuracy"]] >= 0).all(axis=None)
    first = table.groupby("sample").first()
    assert (first["modality"] == "strong").all(), "a sample's best measurement stands first"


def untemper(model: MultimodalClassifier) -> None:
    """Let a model's answers be its members' own: what is measured is worth what these say."""
    ones = {name: torch.ones_like(getattr(model._weights, name)) for name in ("temperatures", "general_temperatures")}
    model._weights = replace(model._weights, **ones)


@pytest.mark.parametrize("encoders", ["linear", "kernel"])
def test_a_value_is_the_mean_change_of_what_the_model_says_after_measuring(data, encoders):
    """By prediction: the training rows of a modality in the place of what a sample lacks, weighed by Q(y | x)."""
    X, y = data
    fitted = MultimodalClassifier(objective="joint", encoders=encoders, max_steps=50, random_state=0)
    untemper(fitted.fit(rows(X, 200), y[:200]))
    sample = lone(X, "weak", 1)
    bank = X["strong"][:200][~np.isnan(X["strong"][:200]).all(1)]
    after = {m: np.repeat(values, len(bank), 0) for m, values in sample.items()} | {"strong": bank}
    now, then = fitted.predict_proba(sample)[0], fitted.predict_proba(after)
    share = np.exp(fitted.evidence(after))
    share /= share.sum()
    np.testing.assert_allclose(share @ then, now, atol=1e-6)  # c_m was computed in float32, while training
    entropy = -(now * np.log(now)).sum() + (share[:, None] * then * np.log(then)).sum()
    table = fitted.value_of(sample).set_index("modality")
    assert table.loc["strong", "nats"] == pytest.approx(entropy, abs=1e-6)
    assert table.loc["strong", "accuracy"] == pytest.approx(share @ then.max(1) - now.max(), abs=1e-6)


def test_the_value_of_a_pair_is_that_of_all_pairs_of_rows(data):
    X, y = data
    few = rows(X, 60)
    fitted = MultimodalClassifier(objective="joint", encoders="linear", max_steps=50, random_state=0).fit(few, y[:60])
    untemper(fitted)
    sample = lone(X, "weak", 1)
    banks = [few[m][~np.isnan(few[m]).all(1)] for m in ("strong", "useless")]
    pairs = [np.repeat(banks[0], len(banks[1]), 0), np.tile(banks[1], (len(banks[0]), 1))]
    after = {"weak": np.repeat(sample["weak"], len(pairs[0]), 0), "strong": pairs[0], "useless": pairs[1]}
    then, share = fitted.predict_proba(after), np.exp(fitted.evidence(after))
    share /= share.sum()
    now = fitted.predict_proba(sample)[0]
    nats = -(now * np.log(now)).sum() + (share[:, None] * then * np.log(then)).sum()
    table = fitted.value_of(sample, size=2).set_index("modality")
    assert table.loc["strong + useless", "nats"] == pytest.approx(nats, abs=1e-6)


def test_a_member_without_evidence_keeps_no_rows(data):
    X, y = data
    fitted = MultimodalClassifier(encoders="linear", max_steps=5, random_state=0).fit(rows(X, 60), y[:60])
    kept = {m["objective"]: e.method.remembered for m, e in zip(fitted.members_, fitted._members, strict=True)}
    assert all(len(x) == 0 for x in kept["conditional"].values())
    assert all(len(x) > 0 for x in kept["joint"].values())


def test_costs_turn_the_order_and_sets_are_offered(data, model):
    X = lone(data[0], "weak")
    dear = model.value_of(X, costs={"weak": 1, "strong": 1e6, "useless": 1})
    assert (dear.groupby("sample").first()["modality"] == "useless").all()
    assert set(model.value_of(X, size=2)["modality"]) == {"strong", "useless", "strong + useless"}


def test_a_plan_begins_with_the_best_and_keeps_to_its_budget(data, model):
    X = lone(data[0], "weak")
    plan = model.plan(X)
    assert (plan.groupby("sample")["modality"].first() == "strong").all()
    assert (plan.groupby("sample").size() == 2).all()
    cheap = model.plan(X, costs={"weak": 1, "strong": 1e6, "useless": 1})
    assert (cheap.groupby("sample")["modality"].first() == "useless").all()
    one = model.plan(X, costs={"weak": 1, "strong": 2, "useless": 1.5}, budget=3)
    assert (one.groupby("sample").size() == 1).all() and (one["total_cost"] <= 3).all()
    tenths = model.plan(X, costs={"weak": 1, "strong": 0.1, "useless": 0.2}, budget=0.3)
    assert (tenths.groupby("sample").size() == 2).all(), ".1 + .2 is more than .3 by rounding alone"
    bought = model.plan(X, costs={"weak": 1, "strong": 5, "useless": 2}, budget=4)
    assert (bought["modality"] == "useless").all() and (bought["total_cost"] <= 4).all()


def test_what_was_saved_answers_alike(data, model, tmp_path):
    model.save(tmp_path / "model")
    X = lone(data[0], "weak")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.value_of(X)["nats"], model.value_of(X)["nats"], atol=1e-12)
    np.testing.assert_array_equal(loaded.class_prior_, model.class_prior_)


def test_contributions_sum_to_what_all_modalities_say(data, model):
    X = rows(data[0], 260, 200)
    table = model.contributions(X)
    sums = table.groupby(["sample", "class"])["nats"].sum().unstack()
    nothing = model.predict_log_proba(only(X))
    whole = model.predict_log_proba(X) - nothing
    some = sums.index
    np.testing.assert_allclose(sums, whole[some], atol=1e-10)
    assert table.groupby("modality")["nats"].std()["strong"] > 3 * table.groupby("modality")["nats"].std()["useless"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapley_values_are_the_mean_gain_over_all_orders(case):
    world = make_world(*case)
    samples = world.everything[:20]
    banks = world.fusion.marginals(world.bank)

    def say(batch):
        with torch.no_grad():
            scores = world.fusion.scores(batch.inputs, batch.rows, len(batch), banks)
            return log_posterior(scores, world.log_prior).numpy()

    features, where, n = world.packed(samples)
    batch = Batch(features, where, torch.zeros(n, dtype=torch.long), where)
    values, errors = contributions.shapley(say, batch)
    assert not errors.any()
    for i, symbols in enumerate(samples):
        shown = [m for m in range(len(symbols)) if symbols[m] != MISSING]
        gains = np.zeros_like(values[i])
        orders = list(permutations(shown))
        for order in orders:
            seen = np.full_like(symbols, MISSING)
            for m in order:
                before = world.joint(seen)
                seen[m] = symbols[m]
                after = world.joint(seen)
                gains[m] += np.log(after / after.sum()) - np.log(before / before.sum())
        np.testing.assert_allclose(values[i], gains / len(orders), atol=1e-10)


def test_random_orders_sum_exactly_and_come_near(data, model, monkeypatch):
    X = rows(data[0], 230, 200)
    exact = model.contributions(X)
    monkeypatch.setattr(contributions, "EXACT", 1)
    drawn = model.contributions(X)
    assert (drawn["standard_error"] > 0).any()
    assert (np.abs(exact["nats"] - drawn["nats"]) <= 5 * drawn["standard_error"] + 1e-12).all()
    told, made = drawn["standard_error"].pow(2).mean() ** 0.5, (exact["nats"] - drawn["nats"]).pow(2).mean() ** 0.5
    assert 0.3 < made / told < 3, "the standard error is the size of the error"
    sums = [t.groupby(["sample", "class"])["nats"].sum() for t in (exact, drawn)]
    np.testing.assert_allclose(*sums, atol=1e-10)


def test_importance_finds_the_modality_that_matters(data, model):
    X, y = data
    table = model.importance(rows(X, 400, 200), y[200:])
    assert table["shapley_nll"].idxmax() == table["without_nll"].idxmax() == table["alone_nll"].idxmax() == "strong"
    assert table.loc["strong", "without_accuracy"] > 0.1 and table.loc["strong", "alone_accuracy"] > 0.1
    total = np.log(model.predict_proba(rows(X, 400, 200)) / model.predict_proba(only(rows(X, 400, 200))))
    codes = np.searchsorted(model.classes_, y[200:])
    assert table["shapley_nll"].sum() == pytest.approx(total[np.arange(200), codes].mean(), abs=1e-10)


def test_sets_cover_as_asked_for_each_pattern_whatever_the_model():
    """A model that is sure and wrong: the coverage is kept, by sets that grow. Binomial bounds of four deviations."""
    rng = np.random.default_rng(0)
    n, k = 8000, 5
    observed = np.stack([np.ones(n, bool), rng.random(n) < 0.5], axis=1)
    codes = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k)) * 3
    logits[np.arange(n), codes] += np.where(observed[:, 1], 4, 1)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    half = n // 2
    calibration = sets.Calibration.of(logs[:half], codes[:half], observed[:half])
    for coverage in (0.5, 0.9, 0.99):
        held = sets.prediction_sets(logs[half:], observed[half:], calibration, coverage)
        hits = held[np.arange(half), codes[half:]]
        for shown in (True, False):
            chosen = hits[observed[half:, 1] == shown]
            assert chosen.mean() > coverage - 4 * np.sqrt(coverage * (1 - coverage) * 2 / len(chosen))
    tight = sets.prediction_sets(logs[half:], observed[half:], calibration, 0.9)
    whole = observed[half:, 1]
    assert tight[whole].sum(1).mean() < tight[~whole].sum(1).mean()
    hits = tight[np.arange(half), codes[half:]]
    assert hits[whole].mean() < 0.93, "not by sets that hold everything"


@pytest.mark.parametrize(("n", "coverage", "rank"), [(9, 0.9, 9), (19, 0.9, 18), (99, 0.5, 50), (100, 0.5, 51)])
def test_a_threshold_is_the_conformal_quantile(n, coverage, rank):
    """The ceil((n + 1) coverage)-th smallest of n scores."""
    scores = np.linspace(0.01, 0.99, n)
    calibration = sets.Calibration({(True,): scores}, {(True,): n}, scores)
    assert calibration.thresholds(np.ones((1, 1), bool), coverage)[0] == scores[rank - 1]


def test_a_rare_pattern_borrows_and_says_so(data, model):
    X, y = data
    fitted = model.calibrate_sets(rows(X, 400, 200), y[200:])
    table = fitted.predict_set(rows(X, 240, 200))
    assert table["pooled"].all() and (table["size"] >= 1).all()
    assert all(c in model.classes_ for classes in table["classes"] for c in classes)
    assert table["classes"].str[0].tolist() == fitted.predict(rows(X, 240, 200)).tolist()


def test_a_set_depends_on_its_sample_alone(data, model):
    X, y = data
    fitted = model.calibrate_sets(rows(X, 400, 200), y[200:])
    whole = fitted.predict_set(rows(X, 300, 200))["classes"]
    turned = fitted.predict_set({m: values[200:300][::-1] for m, values in X.items()})["classes"]
    assert whole.tolist() == turned[::-1].tolist()


def test_another_prior_is_that_of_the_enumerated_table():
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.ones(12)).reshape(4, 3)  # Q(x, z)
    prior = joint.sum(0)
    other = np.array([0.1, 0.2, 0.7])
    shifted = joint / prior * other
    found = priors.with_prior(np.log(joint / joint.sum(1, keepdims=True)), np.log(prior), other)
    np.testing.assert_allclose(np.exp(found), shifted / shifted.sum(1, keepdims=True), atol=1e-12)


def test_a_prior_is_estimated_where_it_shifted_and_left_where_it_did_not():
    rng = np.random.default_rng(0)
    prior = np.array([0.5, 0.3, 0.2])

    def say(z):
        x = z + 0.7 * rng.normal(size=len(z))
        logs = -((x[:, None] - np.arange(3)) ** 2) / (2 * 0.7**2) + np.log(prior)
        return logs - np.log(np.exp(logs).sum(1, keepdims=True))

    other = np.array([0.1, 0.2, 0.7])
    found = priors.estimate_prior(say(rng.choice(3, 4000, p=other)), np.log(prior))
    assert found.p_value < 0.01 and np.abs(found.prior - other).max() < 0.05
    unseen = priors.estimate_prior(say(rng.choice(2, 100)), np.log(prior)).likeliest
    assert 0.2 * 3 / 103 <= unseen[2] < 0.1, "three imaginary samples of the training prior, a fifth of each"
    same = priors.estimate_prior(say(rng.choice(3, 4000, p=prior)), np.log(prior))
    assert same.p_value > 0.01
    np.testing.assert_allclose(same.prior, prior)
    np.testing.assert_array_less(np.abs(same.likeliest - prior), 0.05)


def test_predictions_take_another_prior(data, model):
    X = rows(data[0], 220, 200)
    same = model.predict_proba(X, class_prior=model.class_prior_)
    np.testing.assert_allclose(same, model.predict_proba(X), atol=1e-12)
    sure = model.predict_proba(X, class_prior={"calm": 0.0, "sad": 0.0, "tense": 1.0})
    np.testing.assert_allclose(sure[:, 2], 1.0)
    assert model.estimate_prior(X)["prior"].sum() == pytest.approx(1)


def test_what_cannot_be_answered_is_refused(data, model):
    X, y = data
    complete = {m: np.nan_to_num(values[:5]) for m, values in X.items()}
    fresh = MultimodalClassifier(objective="conditional", encoders="linear", max_steps=5, random_state=0)
    fresh.fit(rows(X, 100), y[:100])
    for message, call in {
        "joint objective": lambda: fresh.value_of(X),
        "nothing left to measure": lambda: model.value_of(complete),
        "no cost is given for strong": lambda: model.value_of(X, costs={"weak": 1}),
        "unknown modality of costs 'mri': choose from strong, useless, weak": lambda: model.plan(X, costs={"mri": 1}),
        "the cost of 'weak' is -1": lambda: model.value_of(X, costs={"weak": -1, "strong": 1, "useless": 1}),
        "size is 4": lambda: model.value_of(X, size=4),
        "costs above 0": lambda: model.plan(X, costs={"weak": 0, "strong": 1, "useless": 1}),
        "budget is -1": lambda: model.plan(X, budget=-1),
        "coverage is 1": lambda: model.calibrate_sets(X, y).predict_set(X, coverage=1),
        "needs 9 at least": lambda: model.calibrate_sets(rows(X, 5), y[:5]).predict_set(X, coverage=0.9),
        "sets are not calibrated": lambda: fresh.predict_set(X),
        "X has 400 samples and y has 3": lambda: model.importance(X, y[:3]),
        "sums to 1.5": lambda: model.predict_proba(X, class_prior=[0.5, 0.5, 0.5]),
        "expected each class": lambda: model.predict_proba(X, class_prior={"calm": 1.0}),
        "expected a number for each of 3": lambda: model.predict_proba(X, class_prior=[1.0]),
    }.items():
        with pytest.raises(InputError, match=message):
            call()


def test_a_sample_that_shows_nothing_has_the_values_of_the_prior(data, model):
    nothing = only(rows(data[0], 201, 200))
    table = model.value_of(nothing)
    assert set(table["modality"]) == {"weak", "strong", "useless"} and (table["nats"] >= 0).all()
    assert model.contributions(nothing).empty


def test_curves_of_acquisition_rise_faster_by_value(data, model):
    X, y = data
    X = {m: np.where(np.isnan(values).all(1, keepdims=True), 0.0, values)[200:] for m, values in X.items()}
    table = model.acquisition_curves(X, y[200:]).set_index(["order", "step"])
    for order in ("value", "fixed", "random"):
        assert table.loc[order, "measured"].tolist() == table.loc[order, "cost"].tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(
            table.loc[(order, 3), ["accuracy", "nll"]], table.loc["all", ["accuracy", "nll"]].iloc[0]
        )
    truth = np.searchsorted(model.classes_, y[200:])
    whole = model.predict_log_proba(X)[np.arange(200), truth]
    assert table.loc["all", "nll"].item() == pytest.approx(-whole.mean(), abs=1e-9)
    nothing = model.predict_log_proba(only(X))[np.arange(200), truth]
    assert table.loc[("value", 0), "nll"] == pytest.approx(-nothing.mean(), abs=1e-9)
    first = model.predict_log_proba(only(X, "strong"))[np.arange(200), truth]
    assert table.loc[("value", 1), "nll"] == table.loc[("fixed", 1), "nll"] == pytest.approx(-first.mean(), abs=1e-9)
    assert table.loc[("value", 1), "nll"] < table.loc[("random", 1), "nll"] - 0.1


def test_curves_of_acquisition_count_costs_and_what_is_there(data, model):
    X, y = rows(data[0], 400, 300), data[1][300:]
    costs = {"weak": 1.0, "strong": 1e6, "useless": 2.0}
    table = model.acquisition_curves(X, y, costs, start=["weak"]).set_index("order")
    shown = {m: ~np.isnan(values).all(1) for m, values in X.items()}
    assert table.loc["all", "measured"] == pytest.approx(shown["strong"].mean() + shown["useless"].mean())
    assert table.loc["all", "cost"] == pytest.approx(1e6 * shown["strong"].mean() + 2 * shown["useless"].mean())
    start = model.predict_log_proba(only(X, "weak"))[np.arange(100), np.searchsorted(model.classes_, y)]
    assert table.loc["random", "nll"].iloc[0] == pytest.approx(-start.mean(), abs=1e-9)
    with pytest.raises(InputError, match="unknown modality 'sound'"):
        model.acquisition_curves(X, y, start=["sound"])


def test_sets_calibrated_by_cross_fitting_cover_where_those_of_learnt_samples_do_not(monkeypatch):
    """Samples of the fit are known too well; a model of the other folds has not seen them, and none is lost.

    Five worlds: coverage with 240 samples to calibrate by moves by .064 from one to the next, measured on ten.
    """
    found, fit = [], MultimodalClassifier.fit
    for seed in range(5):
        rng = np.random.default_rng(seed)
        y = np.arange(1200) % 3
        X = {m: rng.normal(size=(1200, 20)) + 0.2 * rng.normal(size=(3, 20))[y] for m in "ab"}
        X["b"][rng.random(1200) < 0.4] = np.nan
        model = MultimodalClassifier(encoders="mlp", objective="joint", max_steps=80, random_state=0)
        model.fit(rows(X, 240), y[:240])
        new, truth = rows(X, 1200, 240), y[240:]
        pair = []
        for folds in (None, 3):
            held = model.calibrate_sets(rows(X, 240), y[:240], folds=folds).predict_set(new)["classes"]
            pair.append(np.mean([t in one for t, one in zip(truth, held, strict=True)]))
        found.append(pair)
    seen, crossed = np.mean(found, axis=0)
    assert abs(crossed - 0.9) < 2 * 0.064 / 5**0.5
    assert seen < crossed - 0.07
    own = []
    monkeypatch.setattr(MultimodalClassifier, "fit", lambda self, X, y, **of: own.append(of) or fit(self, X, y))
    people = np.arange(240) // 4
    model.calibrate_sets(rows(X, 240), y[:240], folds=3, groups=people, sample_weight=people + 1.0)
    groups = [of["groups"] for of in own]
    assert sorted(map(len, groups)) == [160] * 3 and all(set(people) - set(g) for g in groups), "whole ones held out"
    assert all((of["sample_weight"] == of["groups"] + 1).all() for of in own)
    with pytest.raises(InputError, match="groups and sample_weight are for cross-fitting"):
        model.calibrate_sets(rows(X, 240), y[:240], groups=np.arange(240))
