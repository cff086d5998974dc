"""`MultimodalClassifier`: scikit-learn's contract, every form of input, and every input that cannot be used."""

import copy
import dataclasses
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from elision import ENCODERS, FUSIONS, METHODS, InputError, MultimodalClassifier
from small import small_model, small_world

K = 8
QUICK = {"encoders": "linear", "max_steps": 25, "n_features": K, "learning_rate": 0.05, "random_state": 0}
Y = np.arange(90) % 3
COLUMNS = {"a": ["a1", "a2"], "b": ["b1", "b2", "b3"]}
NAMES = [*COLUMNS["a"], *COLUMNS["b"]]


def quick(**changes) -> MultimodalClassifier:
    return MultimodalClassifier(**QUICK | changes)


def world(seed: int = 0) -> dict[str, np.ndarray]:
    """Two modalities that each tell the class Y of 90 samples well; a third of the samples lacks b."""
    rng = np.random.default_rng(seed)
    centres = {"a": np.array([[4, 0], [0, 4], [-4, -4]]), "b": 5 * np.eye(3)}
    X = {m: centre[Y] + rng.normal(size=(90, centre.shape[1])) for m, centre in centres.items()}
    X["b"][10:40] = np.nan
    return X


def table(X: dict[str, np.ndarray]) -> np.ndarray:
    return np.hstack(list(X.values()))


def changed(X: dict[str, np.ndarray], m: str, where, value: float) -> dict[str, np.ndarray]:
    changed = X[m].copy()
    changed[where] = value
    return X | {m: changed}


X = world()


# What a notebook shows.


def test_a_notebook_shows_what_a_fit_came_to(tmp_path):
    assert "rows seen" not in quick()._repr_html_()
    y = np.where(np.arange(90) < 6, None, Y)
    model = quick(refit=False).fit(X | {"<b>": X["a"]}, y)
    model.save(tmp_path / "model")
    for shown in (model, MultimodalClassifier.load(tmp_path / "model")):
        html = shown._repr_mimebundle_()["text/html"]
        assert "90 training samples, 6 of them without a label; 3 classes" in html
        assert "<td>b</td><td>3</td><td>60</td><td>30</td>" in html, "60 rows show b, validation rows among them"
        assert "<td>&lt;b&gt;</td>" in html and "<td><b></td>" not in html
        assert html.count("<td>linear</td>") == len(model.members_) == 2


# scikit-learn's contract.


@pytest.mark.filterwarnings("ignore:modalities is not given")
@parametrize_with_checks(
    [quick(max_steps=15), quick(max_steps=15, modalities={"first": slice(0, 1), "rest": slice(1, None)})],
    expected_failed_checks=lambda estimator: dict.fromkeys(
        ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
        "the inner validation split draws rows, and cannot draw the copies of a row together; with a validation set of "
        "one's own it holds, see test_weights.py",
    ),
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_a_table_without_a_column_for_a_modality_is_refused_with_its_width():
    with pytest.raises(ValueError, match=r"modality 'rest' has no column.*n_features = 1"):
        quick(modalities={"first": slice(0, 1), "rest": slice(1, None)}).fit(X["a"][:, :1], Y)


def test_clone_keeps_the_parameters_and_forgets_the_fit():
    model = quick(modalities={"a": [0, 1], "b": slice(2, 5)}, unlabelled=-1).fit(table(X), Y)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(table(X))


def test_pickled_within_a_pipeline_it_predicts_the_same():
    pipeline = Pipeline([("model", quick())]).fit(X, Y)
    restored = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(restored.predict_proba(X), pipeline.predict_proba(X))


def test_it_is_searched_and_cross_validated_on_a_table():
    model = quick(modalities={"a": [0, 1], "b": [2, 3, 4]})
    search = GridSearchCV(model, {"n_features": [2, K], "fusion": ["addition", "outer-product"]}, cv=2)
    search.fit(table(X), Y)
    assert search.best_score_ > 0.8
    assert cross_val_score(model, table(X), Y, cv=3).min() > 0.8


# Chance.


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generators_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    config = {"encoders": {"a": "kernel", "b": "mlp"}}
    first = quick(**config).fit(X, Y).predict_proba(X)
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert drawn == (torch.rand(1), np.random.rand())
    np.testing.assert_array_equal(quick(**config).fit(X, Y).predict_proba(X), first)
    assert (quick(**config, random_state=1).fit(X, Y).predict_proba(X) != first).any()


def test_fits_in_threads_draw_as_they_do_alone():
    """All threads of a process have one generator of torch's, which dropout draws from."""

    def fitted(seed: int) -> np.ndarray:
        return quick(encoders="mlp", objective="conditional", random_state=seed).fit(X, Y).predict_proba(X)

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(fitted, range(4)))
    for seed, found in enumerate(together):
        np.testing.assert_array_equal(found, fitted(seed))


# Forms of input.


def test_all_forms_of_the_same_data_give_the_same_predictions():
    frame = pd.DataFrame(table(X), columns=NAMES)
    forms = [
        (quick(), X),
        (quick(modalities={"a": slice(0, 2), "b": [2, 3, 4]}), table(X)),
        (quick(modalities=COLUMNS), frame),
        (quick(modalities=COLUMNS), frame.astype(object).where(frame.notna(), None)),
        (quick(), {m: a.tolist() for m, a in X.items()}),
        (quick(), {m: torch.from_numpy(a) for m, a in X.items()}),
        (quick(modalities={"a": [0, 1], "b": [2, 3, 4]}), torch.from_numpy(table(X))),
        (quick(), {m: np.ma.MaskedArray(np.nan_to_num(a), mask=np.isnan(a)) for m, a in X.items()}),
        (
            quick(modalities={"a": [0, 1], "b": [2, 3, 4]}),
            np.ma.MaskedArray(np.nan_to_num(table(X)), mask=np.isnan(table(X))),
        ),
    ]
    predictions = [model.fit(form, Y).predict_log_proba(form) for model, form in forms]
    for other in predictions[1:]:
        np.testing.assert_allclose(other, predictions[0], rtol=1e-6)  # sums over rows depend on the memory layout


@pytest.mark.parametrize("single", [{"a": "a1", "b": ["b1"]}, {"a": slice(0, 1), "b": ["b1"]}], ids=["name", "slice"])
def test_a_single_column_needs_no_list(single):
    frame = pd.DataFrame(table(X), columns=NAMES)[["a1", "b1"]]
    expected = quick(modalities={"a": ["a1"], "b": ["b1"]}).fit(frame, Y).predict_proba(frame)
    np.testing.assert_array_equal(quick(modalities=single).fit(frame, Y).predict_proba(frame), expected)


def test_one_dimensional_arrays_are_columns():
    narrow, wide = {"a": X["a"][:, 0]}, {"a": X["a"][:, :1]}
    expected = quick().fit(wide, Y).predict_proba(wide)
    np.testing.assert_array_equal(quick().fit(narrow, Y).predict_proba(narrow), expected)


@pytest.mark.parametrize("encoders", ["linear", "kernel"])
@pytest.mark.parametrize("absent", ["a", "b"])
def test_an_absent_modality_is_one_of_nothing_but_nan(absent, encoders):
    model = quick(encoders=encoders).fit(X, Y)
    present = {m: a for m, a in X.items() if m != absent}
    expected = model.predict_log_proba(present | {absent: np.full_like(X[absent], np.nan)})
    np.testing.assert_array_equal(model.predict_log_proba(present), expected)
    assert np.abs(expected - model.predict_log_proba(X)).max() > 0.01  # the modality was used


def test_rows_partly_nan_take_the_training_means_and_are_counted():
    holes = changed(X, "b", ([0, 3, 50], [1, 2, 0]), np.nan)
    model = quick().fit(holes, Y, validation=(X, Y))  # an inner one would take rows from the means
    assert model.partial_rows_ == {"a": 0, "b": 3}
    means = np.nanmean(holes["b"], axis=0)
    filled = changed(holes, "b", ([0, 3, 50], [1, 2, 0]), means[[1, 2, 0]])
    np.testing.assert_allclose(model.predict_proba(holes), model.predict_proba(filled), rtol=1e-9)


def test_columns_are_standardised():
    """Another unit and origin per column changes nothing but rounding."""
    moved = {"a": X["a"] * [1e3, 1e-3] + [5.0, -7.0], "b": X["b"] * -(2.0**4)}
    first, second = quick().fit(X, Y).predict_proba(X), quick().fit(moved | {"b": -moved["b"]}, Y)
    np.testing.assert_allclose(second.predict_proba(moved | {"b": -moved["b"]}), first, atol=1e-3)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_modality_that_never_varies_or_shows_once_does_no_harm(encoder):
    dull = {"a": X["a"], "constant": np.ones((90, 2)), "once": np.where(Y[:, None] == 5, 0.0, np.nan)}
    dull["once"][7] = 3.0
    assert quick(encoders=encoder).fit(dull, Y).score(dull, Y) > 0.8


# Labels.

MIXED = {
    "str": ["no", "yes"], "int": [3, -1], "bool": [False, True], "float": [1.0, 2.0],
}  # fmt: skip


@pytest.mark.parametrize("kind", MIXED)
@pytest.mark.parametrize("blank", ["none at all", None, np.nan], ids=str)
def test_labels_of_any_type_come_back_as_they_were(kind, blank):
    values = MIXED[kind]
    y = [values[code % 2] for code in Y]
    unlabelled = 0 if blank == "none at all" else 9
    y[10 : 10 + unlabelled] = [blank] * unlabelled
    labels = np.array(y, dtype=object if (unlabelled and kind != "float") or blank is None else None)
    model = quick(objective="joint").fit(X, labels)
    assert model.classes_.tolist() == sorted(values)
    assert {type(label) for label in model.classes_.tolist()} == {type(values[0])}
    assert set(model.predict(X).tolist()) == set(values)
    assert model.n_unlabelled_ == unlabelled


@pytest.mark.parametrize("y", [
    pd.Series(["u", "v", None] * 30), pd.Series(["u", "v", None] * 30, dtype="category"), ["u", "v", None] * 30,
], ids=["series", "category", "list"])  # fmt: skip
def test_labels_in_any_container(y):
    model = quick(objective="joint").fit(X, y)
    assert (model.classes_.tolist(), model.n_unlabelled_) == (["u", "v"], 30)


def test_minus_one_is_a_class_unless_it_means_unlabelled():
    y = np.where(Y == 2, -1, Y)
    assert quick().fit(X, y).classes_.tolist() == [-1, 0, 1]
    model = quick(unlabelled=-1, objective="joint").fit(X, y)
    assert (model.classes_.tolist(), model.n_unlabelled_) == ([0, 1], 30)
    assert quick(unlabelled="?").fit(X, np.array(["u", "v", "?"])[Y]).n_unlabelled_ == 30


@pytest.mark.parametrize(("changes", "warns"), [
    ({"objective": "conditional"}, True), ({"method": "lower-bound"}, True), ({"method": "zero-padding"}, True),
    ({"objective": "joint"}, False), ({"objective": "all"}, False),
], ids=str)  # fmt: skip
def test_only_the_conditional_objective_warns_of_unlabelled_samples(changes, warns):
    y = [None, *Y[1:]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quick(**changes).fit(X, y)
    assert ["1 samples have no label" in str(w.message) and "joint" in str(w.message) for w in caught] == [True] * warns


@pytest.mark.filterwarnings("ignore:90 samples have no label")
@pytest.mark.parametrize("objective", ["conditional", "joint"])
def test_only_the_joint_objective_learns_from_unlabelled_samples(objective):
    """The same rows once more, unlabelled and their modalities mismatched: means and banks stay what they were."""
    complete = {"a": X["a"], "b": world(5)["a"]}
    twice = {"a": np.tile(X["a"], (2, 1)), "b": np.concatenate([complete["b"], np.roll(complete["b"], 1, axis=0)])}
    alone, beside = (
        quick(objective=objective).fit(x, y, validation=(complete, Y)).predict_proba(complete)
        for x, y in ((complete, Y), (twice, [*Y, *[None] * 90]))
    )
    difference = np.abs(alone - beside).max()
    assert difference > 1e-2 if objective == "joint" else difference < 1e-4


# Encoders.


class Convolution(nn.Module):
    """(n, 1, 8, 8) to (n, width)."""

    def __init__(self, width: int = K) -> None:
        super().__init__()
        self.pixels = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.features = nn.Linear(144, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(self.pixels(x))


@pytest.fixture(scope="module")
def pictures():
    """Digits 0 to 2 as pictures (n, 1, 8, 8), and a column that hints at their class; 120 samples."""
    bunch = load_digits(n_class=3)
    hint = bunch.target[:120, None] + np.random.default_rng(0).normal(size=(120, 1))
    return {"picture": bunch.images[:120, None], "hint": hint}, bunch.target[:120]


def test_a_module_of_ones_own_learns_and_is_left_as_it_was(pictures):
    images, y = pictures
    torch.manual_seed(0)
    own = Convolution()
    before = copy.deepcopy(own.state_dict())
    model = quick(encoders={"picture": own, "hint": "linear"}, objective="conditional").fit(images, y)
    assert model.score({"picture": images["picture"]}, y) > 0.9
    assert model.members_[0]["encoders"] == {"picture": "Convolution", "hint": "linear"}
    assert own.training
    for name, value in own.state_dict().items():
        assert value.dtype == before[name].dtype and value.equal(before[name]), name
    assert clone(model).get_params()["encoders"]["picture"] is not own  # a copy, like any parameter


def test_a_module_of_the_wrong_width_is_refused(pictures):
    images, y = pictures
    with pytest.raises(InputError, match=r"'picture'.*\(1, 8, 8\) into \(2, 5\): expected \(2, 8\)"):
        quick(encoders={"picture": Convolution(5), "hint": "linear"}).fit(images, y)


def test_members_are_every_set_of_encoders_and_objective_weighed_by_validation():
    model = quick(encoders={"a": "auto", "b": "linear"}).fit(X, Y)
    assert [(m["encoders"]["a"], m["objective"]) for m in model.members_] == [
        ("kernel", "joint"), ("kernel", "conditional"), ("mlp", "joint"), ("mlp", "conditional"),
    ]  # fmt: skip
    weights = np.array([m["weight"] for m in model.members_])
    assert weights.min() > 0
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("case", ["1e30", "1e300", "1e-300", "one row of 1e30", "constant", "class of two", "rate"])
def test_no_nan_leaves_a_fit(case):
    rng = np.random.default_rng(0)
    y = np.arange(80) % 3
    X = {"a": rng.normal(size=(80, 4)) + y[:, None], "b": rng.normal(size=(80, 3)) - y[:, None]}
    if case.startswith("1e"):
        X["a"][:, 0] *= float(case)
    elif case == "one row of 1e30":
        X["a"][0] = 1e30
    elif case == "constant":
        X["a"][:, 1] = 5.0
    elif case == "class of two":
        y[:2] = 9
    model = MultimodalClassifier(max_steps=20, learning_rate=1e5 if case == "rate" else 5e-3, random_state=0).fit(X, y)
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert all(np.isfinite([m["weight"], m["temperature"], m["validation_nll"]]).all() for m in model.members_)


class Witness(nn.Linear):
    """Notes whether its outputs outside of training would hold on to all that they were made of."""

    seen: ClassVar[list[bool]] = []

    def forward(self, x):
        if not self.training:
            self.seen.append(torch.is_grad_enabled())
        return super().forward(x)


@pytest.mark.parametrize("bank", ["exact", "bank"])
def test_whole_banks_are_encoded_without_a_graph(bank):
    """A million mapped rows kept for a gradient that nobody asks for took 6 GB."""
    Witness.seen.clear()
    encoders = {"a": Witness(2, 32), "b": "linear"}
    MultimodalClassifier(encoders=encoders, objective="joint", bank=bank, max_steps=3, random_state=0).fit(X, Y)
    assert Witness.seen and not any(Witness.seen)


# Validation.


def test_a_validation_set_decides_and_is_not_trained_on():
    rng = np.random.default_rng(3)
    held_out = {"a": rng.normal(size=(40, 2)) * 3}, rng.integers(3, size=40)
    model = quick(objective="joint", max_steps=60).fit(X, Y, validation=held_out)
    chosen = model.predict_log_proba(held_out[0])[np.arange(40), held_out[1]]
    # no refit: the model's own validation NLL, in float32, is that of what it predicts now, in float64
    np.testing.assert_allclose(model.members_[0]["validation_nll"], -chosen.mean(), rtol=1e-5)
    assert model.members_[0]["steps"][0] < 60  # labels at random: the first steps are the best


def test_refit_trains_on_what_was_set_aside():
    probabilities = [quick(refit=refit).fit(X, Y).predict_proba(X) for refit in (True, False)]
    assert np.abs(probabilities[0] - probabilities[1]).max() > 1e-6


# Evidence.


@pytest.mark.parametrize("fusion", FUSIONS)
def test_evidence_tells_matching_modalities_from_mismatched_ones(fusion):
    shown = ~np.isnan(X["b"][:, 0])
    pairs = {m: a[shown] for m, a in X.items()}
    mismatched = pairs | {"b": np.roll(pairs["b"], 1, axis=0)}  # the previous class's
    model = quick(fusion=fusion).fit(X, Y)
    together, apart = model.evidence(pairs), model.evidence(mismatched)
    # where each modality tells the class, a pair is up to K = 3 times as likely as by chance: log 3 = 1.1 nats
    assert 0.2 < np.median(together) < 1.3
    assert np.median(apart) < -1
    assert (together[:, None] > apart).mean() > 0.95
    np.testing.assert_allclose(model.evidence({"a": np.full((2, 2), np.nan)}), 0, atol=1e-9)


@pytest.mark.parametrize("changes", [{"objective": "conditional"}, {"method": "zero-padding"}], ids=str)
def test_evidence_needs_the_joint_objective(changes):
    with pytest.raises(InputError, match="evidence needs the joint objective"):
        quick(**changes).fit(X, Y).evidence(X)


def test_agreement_is_what_a_modality_adds_to_the_evidence_and_names_the_one_that_does_not_belong():
    rng = np.random.default_rng(0)
    data = {m: 2 * np.eye(3)[Y] + 0.5 * rng.normal(size=(90, 3)) for m in "abc"}
    model = quick(objective="joint").fit(data, Y)
    new = {m: a.copy() for m, a in data.items()}
    new["b"] = np.roll(new["b"], 1, axis=0)  # the previous class's
    new["c"][:5] = np.nan
    table = model.agreement(new)
    expected = {m: model.evidence(new) - model.evidence({k: a for k, a in new.items() if k != m}) for m in new}
    assert len(table) == 3 * 90 - 5 and not ((table["modality"] == "c") & (table["sample"] < 5)).any()
    for row in table.itertuples():
        assert row.nats == pytest.approx(expected[row.modality][row.sample], abs=1e-9)
    named = table.loc[table.groupby("sample")["nats"].idxmin(), "modality"].to_numpy()
    assert (named[5:] == "b").mean() > 0.95
    with pytest.raises(InputError, match="evidence needs the joint objective"):
        quick(method="zero-padding").fit(X, Y).agreement(X)


def test_agreement_of_an_average_is_a_density_however_its_members_are_weighed():
    """The mean over the bank of Q(x_m | x_rest) / R_m(x_m) is 1; weights of two patterns would break it."""
    model = quick(objective="joint", encoders="auto", refit=False).fit(X, Y, validation=(X, Y))
    weights = model._weights
    skewed = torch.tensor([0.01, 0.99]) * torch.ones_like(weights.weights)
    skewed[weights.patterns.all(1)] = torch.tensor([0.9, 0.1], dtype=torch.float64)
    model._weights = dataclasses.replace(weights, weights=skewed)
    bank = X["b"][~np.isnan(X["b"]).all(1)]
    for row in np.flatnonzero(~np.isnan(X["a"]).all(1))[:5]:
        table = model.agreement({"a": np.repeat(X["a"][[row]], len(bank), 0), "b": bank})
        assert np.exp(table.loc[table["modality"] == "b", "nats"]).mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"method": "ae1", "fusion": "outer-product"}, {"impute": "knn"}], ids=str)
def test_the_largest_numbers_make_no_nan_of_a_probability(changes):
    """In training, where they decide when to stop and how to weigh, and in prediction."""
    far = changed(changed(X, "a", (7, 1), 1e300), "b", (7, 2), -1.7e308)
    model = quick(objective="auto", **changes).fit(X, Y, validation=(far, Y))
    assert np.isfinite(model.members_[0]["validation_nll"])
    np.testing.assert_allclose(model.predict_proba(far).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(quick(refit=True).fit(far, Y).predict_proba(far).sum(1), 1, atol=1e-6)


# What cannot be used.


@pytest.mark.parametrize(("data", "y", "changes", "words"), [
    (changed(X, "a", (7, 1), np.inf), Y, {}, ["a contains infinity", "row 7", "column 1"]),
    (table(changed(X, "b", (5, 2), -np.inf)), Y, {}, ["row 5", "column 4"]),
    (pd.DataFrame(table(changed(X, "b", (5, 2), np.inf)), columns=NAMES), Y,
     {"modalities": COLUMNS}, ["row 5", "column 'b3'"]),
    (X | {"a": X["a"][:80]}, Y, {}, ["unequal length", "'a' has 80", "'b' has 90"]),
    (X, Y[:80], {}, ["90 samples", "y has 80"]),
    (X | {"a": [[["loud", "quiet"]]] * 90}, Y, {}, ["'a' is not an array of numbers"]),
    (X | {"a": [["loud", {}]] * 90}, Y, {}, ["'a'", "neither number nor category in column 1"]),
    (X | {"a": 3.0}, Y, {}, ["'a'", "(n, ...)"]),
    ({}, Y, {}, ["empty dict", "at least one modality"]),
    (X, Y, {"modalities": COLUMNS}, ["X is a dict"]),
    (table(X), Y, {"modalities": {"a": [0, 1], "b": [9]}}, ["'b'", "column 9", "n_features = 5"]),
    (pd.DataFrame(table(X), columns=list("vwxyz")), Y, {"modalities": COLUMNS}, ["'a'", "column 'a1'", "'v', 'w'"]),
    ({m: np.full_like(a, np.nan) for m, a in X.items()}, Y, {}, ["no training sample shows any modality (a, b)"]),
    (X, [None] * 90, {}, ["no sample has a label", "90"]),
    (X, np.full(90, np.nan), {}, ["no sample has a label"]),
    (X, np.full(90, -1), {"unlabelled": -1}, ["no sample has a label"]),
    (X, ["u"] * 90, {}, ["one class only", "'u'", "at least two"]),
    (X, [*["u", "v"] * 44, "u", "rare"], {}, ["class 'rare' has one sample"]),
    (X, np.where(Y == 1, np.inf, Y), {}, ["infinity at row 1"]),
    (X, ["u", 1, 2.5] * 30, {}, ["mix types", "str"]),
    (X, Y, {"method": "guess"}, ["unknown method 'guess'", ", ".join(sorted(METHODS))]),
    (X, Y, {"fusion": "glue"}, ["unknown fusion 'glue'", ", ".join(sorted(FUSIONS))]),
    (X, Y, {"objective": "both"}, ["unknown objective 'both'", "all, auto, conditional, joint"]),
    (X, Y, {"bank": "river"}, ["unknown bank 'river'", "exact"]),
    (X, Y, {"encoders": "magic"}, ["unknown encoder 'magic'", "auto, kernel, linear, mlp"]),
    (X, Y, {"encoders": {"a": "linear", "b": "magic"}}, ["unknown encoder 'magic'"]),
    (X, Y, {"encoders": {"a": "linear"}}, ["['a']", "['a', 'b']"]),
    (X, Y, {"encoders": {"a": "linear", "b": "mlp", "c": "mlp"}}, ["['a', 'b', 'c']", "['a', 'b']"]),
    (X, Y, {"method": "zero-padding", "fusion": "outer-product"}, ["refuses", "zero vector is zero", "use addition"]),
    (X, Y, {"method": "lower-bound", "objective": "joint"}, ["lower-bound", "no objective 'joint'", "conditional"]),
    (X | {"b": np.where(np.isnan(X["a"][:, :1] * 0), 1, np.where(Y[:, None] == 0, 1.0, np.nan)),
          "a": np.where(Y[:, None] == 0, np.nan, X["a"])}, Y, {"method": "lower-bound"}, ["complete", "none", "mle"]),
], ids=lambda value: ", ".join(value) if isinstance(value, list) and isinstance(value[0], str) and len(value) < 9
   else "")  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused_with_what_is_wrong_and_where(data, y, changes, words):
    refused(lambda: quick(**changes).fit(data, y), words)


@pytest.mark.parametrize("max_steps", [1, 2, 9, 10, 11])
def test_any_number_of_steps_can_be_trained(max_steps):
    steps = [step for member in quick(max_steps=max_steps).fit(X, Y).members_ for step in member["steps"]]
    assert 1 <= min(steps) <= max(steps) <= max_steps


@pytest.mark.parametrize(("data", "words"), [
    (X | {"c": X["a"]}, ["unknown modality 'c'", "a, b"]),
    ({"a": X["b"]}, ["'a'", "(3,)", "expected (2,)"]),
    ({"b": X["b"][:, 0]}, ["'b'", "(1,)", "expected (3,)"]),
    (changed(X, "a", (0, 0), np.inf), ["row 0", "column 0"]),
    (X | {"a": X["a"][:80]}, ["unequal length"]),
    (table(X), ["dict", "a", "b"]),
])  # fmt: skip
def test_what_cannot_be_predicted_is_refused(data, words):
    refused(lambda: quick().fit(X, Y).predict(data), words)


@pytest.mark.parametrize(("validation", "words"), [
    ((X, np.where(Y == 2, 7, Y)), ["label 7", "row 2", "0, 1, 2"]),
    ((X, [None] * 90), ["no validation sample has a label"]),
    ((X, Y[:80]), ["90 samples", "80"]),
    (({"c": X["a"]}, Y), ["unknown modality 'c'"]),
])  # fmt: skip
def test_a_validation_set_that_cannot_be_used_is_refused(validation, words):
    refused(lambda: quick().fit(X, Y, validation=validation), words)


def refused(call, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "np." not in message


# As it comes.


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_defaults_learn_digits_of_which_half_lack_a_half(fusion):
    bunch = load_digits()
    halves = {"left": bunch.images[:400, :, :4].reshape(400, -1), "right": bunch.images[:400, :, 4:].reshape(400, -1)}
    training = {m: half[:200].copy() for m, half in halves.items()}
    training["left"][np.random.default_rng(0).permutation(200)[:100]] = np.nan
    model = MultimodalClassifier(fusion=fusion, random_state=0).fit(training, bunch.target[:200])
    test, y = {m: half[200:] for m, half in halves.items()}, bunch.target[200:400]
    majority = np.bincount(y).max() / 200
    assert model.score(test, y) > majority + 0.7
    assert model.score({"right": test["right"]}, y) > majority + 0.4


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_encoders_is_irrelevant(method):
    X, y = small_world()
    one, other = (small_model(method, encoders=dict.fromkeys(order, "linear")).fit(X, y) for order in ("ab", "ba"))
    for shown in ({"a": X["a"]}, {"b": X["b"]}, X):
        np.testing.assert_array_equal(one.predict_proba(shown), other.predict_proba(shown))


def test_a_boolean_mask_chooses_columns():
    X, y = small_world()
    table = np.hstack([X["a"], X["b"]])
    mask = np.array([True, True, False, False, False])
    by_mask = small_model(modalities={"a": mask, "b": (~mask).tolist()}).fit(table, y)
    by_position = small_model(modalities={"a": [0, 1], "b": [2, 3, 4]}).fit(table, y)
    np.testing.assert_array_equal(by_mask.predict_proba(table), by_position.predict_proba(table))
    with pytest.raises(InputError, match="mask of 2"):
        small_model(modalities={"a": [True, False]}).fit(table, y)


class Recurrent(nn.Module):
    """Makes a float32 state by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x, torch.zeros(len(x), 32))


def test_a_module_that_makes_float32_tensors_predicts():
    X, y = small_world()
    model = small_model(encoders={"a": "kernel", "b": Recurrent()}).fit(X, y)
    assert model.score(X, y) > 0.8


def test_an_encoder_of_another_width_of_rows_is_refused():
    with pytest.raises(InputError, match="modality 'a' cannot take rows of shape"):
        small_model(encoders={"a": nn.Linear(7, 32), "b": "linear"}).fit(*small_world())


def test_a_validation_set_without_labels_of_its_own_is_refused():
    X, y = small_world()
    with pytest.raises(InputError, match=r"pair \(X, y\)"):
        small_model().fit(X, y, validation=X)


def test_a_fit_that_fails_leaves_an_unfitted_model():
    from sklearn.exceptions import NotFittedError

    X, y = small_world()
    model = small_model().fit(X, y)
    with pytest.raises(InputError):
        model.set_params(n_features=0).fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_the_inner_split_takes_no_modality_away(monkeypatch):
    """The one sample that shows it is drawn by every seed here, and goes back."""
    from elision import estimator

    X, y = small_world()
    X["b"][1:] = np.nan
    X["b"][0] = 1.0
    drawn = estimator.stratified_part
    monkeypatch.setattr(estimator, "stratified_part", lambda *args: np.union1d([0], drawn(*args)))
    for refit in (True, False):
        model = small_model(encoders="kernel", refit=refit).fit(X, y)
        assert model.modalities_ == ("a", "b")
    monkeypatch.setattr(estimator, "stratified_part", lambda *_: np.array([0]))
    with pytest.raises(InputError, match="modality 'b' is observed in 1 training sample"):
        small_model().fit(X, y)


def test_of_many_samples_so_many_validate_as_tell_enough(monkeypatch):
    """15 % of 80 are 12; where 8 are enough, a tenth of them."""
    from elision import estimator

    shares = []
    drawn = estimator.stratified_part

    def spy(codes, share, *rest):
        shares.append(share)
        return drawn(codes, share, *rest)

    monkeypatch.setattr(estimator, "stratified_part", spy)
    small_model(max_steps=2).fit(*small_world())
    monkeypatch.setattr(estimator, "_VALIDATION_ROWS", 8)
    small_model(max_steps=2).fit(*small_world())
    assert shares == [0.15, 0.1]


def test_verbose_tells_of_each_model_once_and_of_what_followed(capsys):
    X, y = {"a": np.arange(40.0)[:, None], "b": np.arange(40.0)[::-1, None] % 7}, np.arange(40) % 2
    MultimodalClassifier(encoders="linear", max_steps=8, verbose=1, random_state=0).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        "trained likelihood", "trained modality dropout",
        "went on with all samples: likelihood", "went on with all samples: modality dropout",
    ]  # fmt: skip
