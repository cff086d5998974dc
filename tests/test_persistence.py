"""Saved models: the same bits come back, nothing is pickled, and what is damaged is refused."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from elision import ENCODERS, FUSIONS, METHODS, InputError, MultimodalClassifier
from small import small_model, small_world

QUICK = {"encoders": "linear", "max_steps": 5, "n_features": 4, "random_state": 0}
Y = np.arange(48) % 3
NAMES = np.array(["sad", "glad", "calm"])[Y]
X = {m: np.random.default_rng(i).normal(size=(48, i)) + Y[:, None] for i, m in ((2, "a"), (3, "b"))}
X["b"][20:35] = np.nan
TABLE = np.hstack([X["a"], X["b"]])
FRAME = pd.DataFrame(TABLE, columns=["a1", "a2", "b1", "b2", "b3"])
LINES = [(m, f) for m, method in METHODS.items() for f in FUSIONS if f not in method.claims.refusals]


def own() -> nn.Module:
    """(n, 2) to (n, 4), with buffers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4))


def fitted(data=X, y=NAMES, **changes) -> MultimodalClassifier:
    return MultimodalClassifier(**QUICK | changes).fit(data, y)


def assert_same(model: MultimodalClassifier, loaded: MultimodalClassifier, data) -> None:
    """What is predicted, bit for bit, and what is known of the training."""
    np.testing.assert_array_equal(loaded.predict_log_proba(data), model.predict_log_proba(data))
    np.testing.assert_array_equal(loaded.predict(data), model.predict(data))
    assert loaded.classes_.dtype == model.classes_.dtype
    for name in ("modalities_", "members_", "partial_rows_", "n_unlabelled_"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert {**vars(loaded)}.keys() == {**vars(model)}.keys()


@pytest.fixture
def model():
    return fitted()


@pytest.mark.parametrize(("method", "fusion"), LINES)
def test_every_method_and_fusion_comes_back_bit_for_bit(tmp_path, method, fusion):
    model = fitted(method=method, fusion=fusion)
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    assert_same(model, loaded, X)
    assert_same(model, loaded, {"b": X["b"]})  # with what takes the place of the missing modality
    if any(m["objective"] == "joint" for m in model.members_):
        np.testing.assert_array_equal(loaded.evidence(X), model.evidence(X))
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"model.json", "tensors.safetensors"}
    assert json.loads((tmp_path / "model" / "model.json").read_text())
    assert [p.name for p in tmp_path.iterdir()] == ["model"]  # no staging folder stays behind


@pytest.mark.parametrize("encoders", [*ENCODERS, "auto", {"a": "kernel", "b": "linear"}], ids=str)
def test_every_encoder_comes_back_bit_for_bit(tmp_path, encoders):
    model = fitted(encoders=encoders)
    model.save(tmp_path / "model")
    assert_same(model, MultimodalClassifier.load(tmp_path / "model"), X)


@pytest.mark.parametrize(("data", "modalities"), [
    (TABLE, {"all": slice(None)}), (TABLE, {"a": slice(0, 2), "b": slice(2, None)}),
    (TABLE, {"a": [0, 1], "b": np.arange(2, 5)}),
    (TABLE, {"a": slice(np.int64(0), np.int64(2)), "b": range(2, 5)}),
    (FRAME[["a1", "a2", "b1"]], {"a": ["a1", "a2"], "b": "b1"}),
    (FRAME, {"a": FRAME.columns[:2], "b": FRAME.columns[2:]}),
], ids=["one", "slices", "positions", "numpy slices", "names", "index"])  # fmt: skip
def test_columns_come_back(tmp_path, data, modalities):
    model = fitted(data, modalities=modalities)
    model.save(tmp_path / "model")
    loaded = MultimodalClassifier.load(tmp_path / "model")
    assert_same(model, loaded, data)
    assert loaded.n_features_in_ == model.n_features_in_
    refit = loaded.fit(data, NAMES)  # the parameters came back too
    np.testing.assert_array_equal(refit.predict_proba(data), model.predict_proba(data))


@pytest.mark.parametrize("y", [
    NAMES, NAMES.astype(object), Y, Y.astype("uint8"), Y.astype(float), Y == 1, np.where(Y == 0, None, NAMES),
], ids=["str", "object", "int", "uint8", "float", "bool", "blank"])  # fmt: skip
def test_labels_come_back(tmp_path, y):
    model = fitted(y=y)
    model.save(tmp_path / "model")
    assert_same(model, MultimodalClassifier.load(tmp_path / "model"), X)


@pytest.mark.parametrize("changes", [
    {"n_features": np.int64(4)}, {"learning_rate": np.float32(0.01)}, {"random_state": np.random.RandomState(0)},
    {"fusion": "outer-product", "rank": 3}, {"method": METHODS["mle"], "fusion": FUSIONS["addition"]},
    {"unlabelled": np.int64(7)}, {"batch_size": 16},
], ids=["int64", "float32", "RandomState", "rank", "classes", "unlabelled", "batch_size"])  # fmt: skip
def test_parameters_as_searches_and_scripts_give_them_are_saved(tmp_path, changes):
    model = fitted(**changes)
    model.save(tmp_path / "model")
    assert_same(model, MultimodalClassifier.load(tmp_path / "model"), X)


def test_any_name_of_a_modality_is_saved(tmp_path):
    data = {"../etc": X["a"], "a/b.c ü": X["b"]}
    model = fitted(data)
    model.save(tmp_path / "model")
    assert_same(model, MultimodalClassifier.load(tmp_path / "model"), data)


def test_a_module_of_ones_own_is_passed_to_load(tmp_path):
    model = fitted(encoders={"a": own(), "b": "linear"})
    model.save(tmp_path / "model")
    assert_same(model, MultimodalClassifier.load(tmp_path / "model", encoders={"a": own()}), X)
    for modules, words in (({}, "'a' was encoded by a module of your own"), ({"a": nn.Linear(2, 4)}, "do not fit")):
        with pytest.raises(InputError, match=words):
            MultimodalClassifier.load(tmp_path / "model", encoders=modules)


def test_another_process_loads_it_without_the_training_data(tmp_path, model):
    model.save(tmp_path / "model")
    np.savez(tmp_path / "X.npz", **X)
    script = (
        "import numpy as np; from elision import MultimodalClassifier\n"
        "np.save('logs.npy', MultimodalClassifier.load('model').predict_log_proba(dict(np.load('X.npz'))))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "logs.npy"), model.predict_log_proba(X))


def test_saving_again_replaces_the_earlier_model_in_one_step(tmp_path, model, monkeypatch):
    path = tmp_path / "deep" / "model"
    model.save(path)
    other = fitted(n_features=5)
    other.save(str(path))
    assert_same(other, MultimodalClassifier.load(path), X)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full_disk)
        with pytest.raises(OSError, match="disk"):
            model.save(path)
    assert_same(other, MultimodalClassifier.load(path), X)  # as it was
    assert [p.name for p in path.parent.iterdir()] == ["model"]


def full_disk(*_, **__):
    raise OSError("the disk is full")


@pytest.mark.parametrize("foreign", ["folder", "empty", "file"])
def test_saving_over_anything_else_is_refused(tmp_path, model, foreign):
    path = tmp_path / "thesis"
    if foreign == "file":
        path.write_text("years of work")
    else:
        path.mkdir()
    if foreign == "folder":
        (path / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="thesis exists and is not a saved model"):
        model.save(path)
    assert path.is_file() or len(list(path.iterdir())) == (foreign == "folder")


def flip(path) -> None:
    content = bytearray((path / "tensors.safetensors").read_bytes())
    content[-5] ^= 1
    (path / "tensors.safetensors").write_bytes(content)


def describe(**changes):
    def apply(path):
        description = json.loads((path / "model.json").read_text()) | changes
        (path / "model.json").write_text(json.dumps(description))

    return apply


def truncate(name: str):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:-40])


@pytest.mark.parametrize(("damage", "words"), [
    (flip, "tensors.safetensors is not what was saved"),
    (truncate("tensors.safetensors"), "tensors.safetensors is not what was saved"),
    (truncate("model.json"), "model.json is damaged"),
    (lambda path: (path / "model.json").write_bytes(b"\xff\xfe\x00"), "model.json is damaged"),
    (lambda path: (path / "model.json").unlink(), "not a saved model: model.json is missing"),
    (lambda path: (path / "tensors.safetensors").unlink(), "tensors.safetensors is missing"),
    (lambda path: (path / "model.json").write_text('{"name": "another tool\'s"}'), "model.json"),
    (lambda path: (path / "model.json").write_text("[]"), "model.json"),
    (describe(format=99), "format 99.*reads"),
], ids=["flipped bit", "short tensors", "short JSON", "no text", "no JSON", "no tensors", "foreign JSON", "a list",
        "newer format"])  # fmt: skip
def test_a_damaged_model_is_refused(tmp_path, model, damage, words):
    model.save(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(InputError, match=words):
        MultimodalClassifier.load(tmp_path / "model")


@pytest.mark.parametrize(("path", "why"), [
    ("nowhere", "there is no such folder"), ("empty", "model.json is missing"), ("file", "there is no such folder"),
])  # fmt: skip
def test_what_is_no_saved_model_is_refused(tmp_path, path, why):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    with pytest.raises(InputError, match=f"{path} is not a saved model: {why}"):
        MultimodalClassifier.load(tmp_path / path)


def test_a_part_that_is_not_registered_cannot_be_saved(tmp_path):
    class Mine(METHODS["zero-padding"]):
        """A method of the user's own."""

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fitted(method=Mine)
    with pytest.raises(InputError, match=r"Mine.*has no name.*own-method"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_kept_members_serve_the_same_fit_only(tmp_path, monkeypatch):
    """All is taken from the folder, the second training on all samples too; one number changed, and nothing is."""
    from elision import ensemble

    trained, before = [], ensemble.train

    def counted(method, *args):
        trained.append(method)
        return before(method, *args)

    monkeypatch.setattr(ensemble, "train", counted)
    plain = fitted()
    n_trainings = len(trained)
    assert n_trainings == 4  # two objectives, with and without validation samples
    for data, expected in ((X, n_trainings), (X, 0), ({**X, "a": X["a"] + np.eye(48, 2)}, n_trainings)):
        trained.clear()
        model = MultimodalClassifier(**QUICK).fit(data, NAMES, checkpoints=tmp_path / "kept")
        assert len(trained) == expected
        if data is X:
            assert_same(plain, model, X)
    trained.clear()
    MultimodalClassifier(**QUICK | {"learning_rate": 0.01}).fit(data, NAMES, checkpoints=tmp_path / "kept")
    assert len(trained) == n_trainings


@pytest.mark.parametrize(
    "changes", [{"objective": "conditional"}, {"bank": "batch"}, {"method_options": {"bank_of": "complete"}}]
)
def test_kept_members_are_of_the_same_parameters_where_first_weights_are_too(tmp_path, changes):
    before = QUICK | {"objective": "joint", "encoders": "linear", "bank": "exact"}
    MultimodalClassifier(**before).fit(X, NAMES, checkpoints=tmp_path / "kept")
    model = MultimodalClassifier(**before | changes).fit(X, NAMES, checkpoints=tmp_path / "kept")
    assert_same(MultimodalClassifier(**before | changes).fit(X, NAMES), model, X)


@pytest.mark.parametrize("method", METHODS)
def test_members_of_every_method_are_kept_whole(tmp_path, method):
    changes = {"method": method, "encoders": {"a": own(), "b": "kernel"}}
    plain = fitted(**changes)
    for _ in range(2):
        model = MultimodalClassifier(**QUICK | changes).fit(X, NAMES, checkpoints=tmp_path / "kept")
        assert_same(plain, model, X)
        assert_same(plain, model, {"b": X["b"]})


def test_saving_never_removes_what_is_not_a_models(tmp_path):
    model = small_model().fit(*small_world())
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="not a saved model"):
        model.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years"
    model.save(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a saved model"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model" / "notes.txt").exists()
