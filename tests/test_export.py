"""An exported posterior answers in onnxruntime as the model does, or is refused, and why."""

import json

import numpy as np
import pandas as pd
import pytest
from torch import nn

import elision
from elision import METHODS, InputError, MultimodalClassifier
from elision.serving import export as exporting
from elision.serving.export import export_onnx
from served import patients

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = {"a": rng.normal(size=(60, 2)) + y[:, None], "b": 50 + rng.normal(size=(60, 2, 2)) - y[:, None, None]}
    X["b"][::4] = np.nan
    return X, np.array(["red", "green", "blue"])[y]


def fitted(folder, data, **options):
    options = {"encoders": "linear", "max_steps": 8, "n_features": 4, "random_state": 0, **options}
    model = MultimodalClassifier(**options).fit(*data)
    model.save(folder / "model")
    return model


def asked(path, rows):
    session = onnxruntime.InferenceSession(str(path))
    return session, session.run(None, rows)[0]


@pytest.mark.parametrize(
    "options",
    [
        {"encoders": "auto", "informative_missingness": True},
        {"fusion": "concatenation", "encoders": "mlp", "objective": "joint"},
        *({"method": m, "objective": METHODS[m].claims.objectives[0]} for m in ("hgr", "ae1", "modality-dropout")),
        {"method": "mean-imputation", "objective": "conditional", "encoders": "kernel"},
    ],
    ids=str,
)
def test_a_file_answers_as_the_model_does(tmp_path, data, options):
    model = fitted(tmp_path, data, **options)
    difference = export_onnx(tmp_path / "model", tmp_path / "b.onnx", ["b"])
    assert difference <= 1e-5
    rows = 50 + np.random.default_rng(1).normal(size=(9, 2, 2))
    rows[0, 0, 1] = np.nan
    session, found = asked(tmp_path / "b.onnx", {"b": rows})
    np.testing.assert_allclose(found, model.predict_proba({"b": rows}), atol=1e-5)
    described = json.loads(session.get_modelmeta().custom_metadata_map["elision"])
    assert described == {"classes": ["blue", "green", "red"], "modalities": {"b": {"columns": [], "categories": {}}}}


def test_categories_are_given_by_their_places(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    frame = pd.DataFrame({"sex": np.array(["f", "m"])[(y + (rng.random(60) < 0.3)) % 2], "n": rng.normal(size=60)})
    fitted(tmp_path, ({"m": frame, "o": rng.normal(size=(60, 1))}, y)).predict({"m": frame})
    model = MultimodalClassifier.load(tmp_path / "model")
    assert export_onnx(tmp_path / "model", tmp_path / "m.onnx", ["m"]) <= 1e-5
    session, found = asked(tmp_path / "m.onnx", {"m": np.array([[1.0, 0.3], [np.nan, 0.3], [0.0, np.nan]])})
    asked_of_us = pd.DataFrame({"sex": ["m", None, "f"], "n": [0.3, 0.3, np.nan]})
    np.testing.assert_allclose(found, model.predict_proba({"m": asked_of_us}), atol=1e-9)
    described = json.loads(session.get_modelmeta().custom_metadata_map["elision"])["modalities"]["m"]
    assert described == {"columns": ["sex", "n"], "categories": {"0": ["f", "m"]}}


def test_imputed_blanks_are_no_part_of_a_file(tmp_path, data):
    X, y = data
    model = fitted(tmp_path, (X | {"c": X["a"][:, :1]}, y), impute="knn")
    with pytest.raises(InputError, match=r"modality 'a' are imputed \(knn\)"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx", ["a", "b"])
    export_onnx(tmp_path / "model", tmp_path / "b.onnx", ["b", "c"])
    rows = {m: (X | {"c": X["a"][:, :1]})[m][1:4] for m in "bc"}
    np.testing.assert_allclose(asked(tmp_path / "b.onnx", rows)[1], model.predict_proba(rows), atol=1e-5)


def test_a_run_is_exported_by_the_command(tmp_path, here):
    run = patients(tmp_path)
    code, said, err = here("export", str(run), "--modalities", "voice", "lab")
    assert (code, "voice+lab.onnx: differs from the model by at most" in said.replace("\n", "")) == (0, True), err
    frame = pd.read_csv(tmp_path / "patients.csv").head(5)
    rows = {m: frame.filter(regex=f"^{m}[.]").to_numpy() for m in ("lab", "voice")}
    _, found = asked(run / "voice+lab.onnx", rows)
    model = elision.load(run)
    shown = frame[model.feature_names_in_].assign(**{f"gait.{c}": np.nan for c in "abc"})
    np.testing.assert_allclose(found, model.predict_proba(shown), atol=1e-9)
    code, _, err = here("export", str(run), "--modalities", "eyes")
    assert (code, "unknown modality 'eyes'" in err) == (2, True)
    code, _, err = here("export", str(run), "--format", "csv")
    assert (code, "unknown format 'csv': choose from onnx" in err) == (2, True)


def test_an_extra_that_is_missing_is_named(tmp_path, data, here, monkeypatch):
    fitted(tmp_path, data)
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    code, _, err = here("export", str(tmp_path / "model"))
    assert (code, "pip install 'elision[onnx]'" in err) == (2, True)


def test_a_file_that_differs_is_not_kept(tmp_path, data, monkeypatch):
    fitted(tmp_path, data)
    monkeypatch.setattr(exporting, "FARTHEST", -1.0)
    with pytest.raises(InputError, match=r"differs from the trained one .* not kept"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


class Sorted(nn.Module):
    """Takes another way for each sign of its input, which no graph holds."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, x):
        return self.layer(x) if (x.sum() > 0).item() else -self.layer(x)


def test_what_cannot_be_exported_is_named_with_its_reason(tmp_path, data):
    fitted(tmp_path, data, encoders={"a": Sorted(), "b": "linear"})
    with pytest.raises(InputError, match=r"encoder of modality 'a' [(]Sorted[)] cannot be exported: .*ata-dependent"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx", modules={"a": Sorted()})
    assert export_onnx(tmp_path / "model", tmp_path / "b.onnx", ["b"], modules={"a": Sorted()}) <= 1e-5
    with pytest.raises(InputError, match="modality 'a' was encoded by a module of your own"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx")


def test_an_outer_product_is_refused(tmp_path, data):
    fitted(tmp_path, data, fusion="outer-product", objective="joint")
    with pytest.raises(InputError, match=r"method and fusion .*OuterProduct.* cannot be exported for a"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx", ["a"])
    with pytest.raises(InputError, match="modalities are a, a: expected some of a, b, once each"):
        export_onnx(tmp_path / "model", tmp_path / "a.onnx", ["a", "a"])
