"""Objects of other libraries become modalities with the right rows, missing ones among them; what is odd is named."""

import numpy as np
import pandas as pd
import pytest

from elision import InputError, MultimodalClassifier
from elision.adapters import as_modalities

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
RNG = np.random.default_rng(0)
N = 30
Y = np.arange(N) % 2
LAB = RNG.normal(size=(N, 2)) + 3 * Y[:, None]
GAIT = RNG.normal(size=(N, 3)) - 2 * Y[:, None]
MISSING = np.arange(0, N, 3)


def fits(X, y=Y):
    """It can be fitted and asked; returns which modalities each sample shows."""
    model = MultimodalClassifier(encoders="linear", max_steps=5, random_state=0).fit(X, y)
    assert model.predict_proba(X).shape == (N, 2)
    return dict(zip(model.modalities_, model.shown(X).T, strict=True))


def test_modalities_of_mudata_lack_the_samples_that_they_lack():
    anndata, mudata = pytest.importorskip("anndata"), pytest.importorskip("mudata")
    names = np.array([f"cell{i}" for i in range(N)])
    rest = np.setdiff1d(np.arange(N), MISSING)
    rna = anndata.AnnData(LAB.astype(np.float32), obs=pd.DataFrame(index=names), obsm={"pca": GAIT})
    protein = anndata.AnnData(GAIT[rest][::-1], obs=pd.DataFrame(index=names[rest][::-1]))
    data = mudata.MuData({"rna": rna, "protein": protein})
    data.obs["ill"] = pd.Series(Y, index=names)
    X = as_modalities(data)
    order = [names.tolist().index(name) for name in data.obs_names]
    assert list(X) == ["rna", "protein"] and list(X["rna"].index) == list(data.obs_names)
    np.testing.assert_allclose(X["rna"], LAB[order], rtol=1e-6)
    np.testing.assert_array_equal(X["protein"].loc[names[rest]], GAIT[rest])
    assert X["protein"].loc[names[MISSING]].isna().all(axis=None)
    shown = fits(X, data.obs["ill"])
    assert shown["protein"].sum() == len(rest) and shown["rna"].all()
    own = as_modalities(data, {"components": "rna/pca", "protein": "protein"})
    np.testing.assert_array_equal(own["components"], GAIT[order])
    with pytest.raises(InputError, match=r"unknown modality 'atac': choose from protein, rna"):
        as_modalities(data, ["atac"])


def test_frames_that_show_different_samples_are_joined_by_index():
    names = pd.Index([f"p{i:02}" for i in range(N)])
    rest = np.setdiff1d(np.arange(N), MISSING)
    sex = pd.DataFrame({"sex": np.where(Y, "f", "m"), "fasting": Y > 0}, index=names)
    frames = {"lab": pd.DataFrame(LAB, index=names), "gait": pd.DataFrame(GAIT, index=names)[::-1], "sex": sex}
    frames["gait"] = frames["gait"].loc[names[rest][::-1]]
    X = as_modalities(frames | {"sex": sex.iloc[5:]})
    assert all(X[m].index.equals(names) for m in X)
    np.testing.assert_array_equal(X["gait"].iloc[rest], GAIT[rest])
    shown = fits(X, pd.Series(Y, index=names))
    assert (shown["gait"].sum(), shown["lab"].all(), shown["sex"].sum()) == (len(rest), True, N - 5)
    assert list(as_modalities(frames, {"walk": "gait"})["walk"].index) == list(names[rest][::-1])
    with pytest.raises(InputError, match=r"modality 'lab' has sample 'p00' twice"):
        as_modalities({"lab": frames["lab"].iloc[[0, 0, 1]]})
    with pytest.raises(InputError, match=r"modality 'lab' is a ndarray: expected a frame"):
        as_modalities({"lab": LAB})


def test_modalities_of_anndata_are_in_its_obsm():
    anndata = pytest.importorskip("anndata")
    sparse = pytest.importorskip("scipy.sparse")
    gaps = GAIT.copy()
    gaps[MISSING] = np.nan
    data = anndata.AnnData(
        sparse.csr_matrix(LAB), obsm={"gait": gaps, "frame": pd.DataFrame(LAB, index=map(str, range(N)))}
    )
    assert list(as_modalities(data)) == ["gait", "frame"]
    X = as_modalities(data, {"rna": "X", "gait": "gait"})
    np.testing.assert_array_equal(X["rna"], LAB)
    assert fits(X)["gait"].sum() == N - len(MISSING)
    with pytest.raises(InputError, match=r"unknown key of .obsm 'pca'"):
        as_modalities(data, ["pca"])
    with pytest.raises(InputError, match=r"empty .obsm: name what is in .X"):
        as_modalities(anndata.AnnData(LAB))


def table():
    frame = pd.DataFrame(LAB, columns=["lab.a", "lab.b"]).join(
        pd.DataFrame(GAIT, columns=["gait.x", "gait.y", "gait.z"])
    )
    frame.loc[MISSING, ["gait.x", "gait.y", "gait.z"]] = np.nan
    return frame.assign(label=Y)


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "pyarrow", "datasets"])
def test_columns_of_a_table_are_modalities_by_their_names(kind):
    frame = table()
    data = {
        "pandas": lambda: frame,
        "polars": lambda: pytest.importorskip("polars").DataFrame(frame.to_dict("list")),
        "lazy": lambda: pytest.importorskip("polars").LazyFrame(frame.to_dict("list")),
        "pyarrow": lambda: pytest.importorskip("pyarrow").Table.from_pandas(frame),
        "datasets": lambda: pytest.importorskip("datasets").Dataset.from_pandas(frame),
    }[kind]()
    X = as_modalities(data)
    assert {m: list(values.columns) for m, values in X.items()} == {
        "lab": ["lab.a", "lab.b"], "gait": ["gait.x", "gait.y", "gait.z"],
    }  # fmt: skip
    np.testing.assert_array_equal(X["lab"], LAB)
    assert fits(X)["gait"].sum() == N - len(MISSING)
    assert list(as_modalities(data, {"one": "lab.b", "two": ["lab.a", "gait.x"]})["two"]) == ["lab.a", "gait.x"]
    with pytest.raises(InputError, match=r"unknown column 'lab.c'"):
        as_modalities(data, {"lab": ["lab.c"]})


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "datasets"])
def test_a_column_of_lists_is_a_modality_and_null_is_missing(kind):
    columns = {
        "image": [None if i in MISSING else [[float(i), 1.0], [2.0, 3.0]] for i in range(N)],
        "lab": LAB.tolist(),
    }
    data = {
        "polars": lambda: pytest.importorskip("polars").DataFrame(columns),
        "pyarrow": lambda: pytest.importorskip("pyarrow").table(columns),
        "datasets": lambda: pytest.importorskip("datasets").Dataset.from_dict(columns),
    }[kind]()
    X = as_modalities(data, ["image", "lab"])
    assert X["image"].shape == (N, 2, 2) and np.isnan(X["image"][MISSING]).all() and X["image"][4, 0, 0] == 4
    np.testing.assert_array_equal(X["lab"], LAB)
    assert fits(X)["image"].sum() == N - len(MISSING)


def test_rows_of_a_dataset_are_those_that_were_selected():
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"lab": LAB.tolist(), "label": Y.tolist()})
    np.testing.assert_array_equal(as_modalities(data.select([5, 2]), ["lab"])["lab"], LAB[[5, 2]])
    with pytest.raises(InputError, match=r"DatasetDict: expected one of .*; it has train, test: give one of them"):
        as_modalities(datasets.DatasetDict({"train": data, "test": data}))


def test_variables_of_xarray_are_modalities_of_any_shape():
    xarray = pytest.importorskip("xarray")
    images = RNG.normal(size=(2, N, 2))
    data = xarray.Dataset({
        "lab": (("patient", "test"), LAB), "image": (("x", "patient", "y"), images),
        "name": (("patient",), np.array(["a"] * N)),
    })  # fmt: skip
    X = as_modalities(data)
    assert list(X) == ["lab", "image"] and X["image"].shape == (N, 2, 2)
    np.testing.assert_array_equal(X["image"], images.transpose(1, 0, 2))
    fits(X)
    both = data.assign(weight=(("test",), np.ones(2)))
    with pytest.raises(InputError, match=r"which dimension counts the samples is not clear: give sample="):
        as_modalities(both)
    assert list(as_modalities(both, sample="patient")) == ["lab", "image"]
    with pytest.raises(InputError, match=r"'weight' has dimensions .*: expected 'patient' too"):
        as_modalities(both, ["weight"], sample="patient")
    fewer = xarray.Dataset({"gait": (("patient", "axis"), GAIT[5:])}, {"patient": range(5, N)})
    aligned = xarray.merge([data[["lab"]].assign_coords(patient=range(N)), fewer], join="outer")
    assert np.isnan(as_modalities(aligned)["gait"][:5]).all()


def test_what_is_no_such_object_is_named():
    with pytest.raises(InputError, match=r"data is a builtins.list: expected one of mudata.MuData, anndata.AnnData"):
        as_modalities([1, 2])
    with pytest.raises(InputError, match=r"no modality was found in the pandas.DataFrame: say where"):
        as_modalities(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(InputError, match=r"'m' has shape \(2,\) in row 1: expected \(1,\) as before"):
        as_modalities(pd.DataFrame({"m": [[1.0], [1.0, 2.0]]}), ["m"])
    with pytest.raises(InputError, match=r"'m' is no list of numbers in row 0"):
        as_modalities(pd.DataFrame({"m": [["x"], ["y"]]}), ["m"])


def test_an_object_of_another_version_says_what_was_expected():
    other = type("MuData", (), {"__module__": "mudata", "modalities": {}})()
    with pytest.raises(InputError, match=r"this mudata.MuData lacks 'obs_names', which it was expected to have"):
        as_modalities(other)


@pytest.mark.parametrize("kind", ["lists", "xarray"])
def test_an_index_is_kept_so_that_labels_in_another_order_are_told(kind):
    names = [f"s{i}" for i in range(N)]
    frame = pd.DataFrame({"lab": LAB.tolist(), "picture": [[[1.0]]] * N}, index=names)
    if kind == "lists":
        X = as_modalities(frame, ["lab", "picture"])
        assert isinstance(as_modalities(frame.reset_index(), ["lab"])["lab"], np.ndarray)
    else:
        xarray = pytest.importorskip("xarray")
        coordinates = {"lab": (("who", "what"), LAB), "picture": (("who", "x", "y"), np.ones((N, 1, 1)))}
        X = as_modalities(xarray.Dataset(coordinates, coords={"who": names}))
    assert X["picture"].shape == (N, 1, 1)
    y = pd.Series(Y, index=names)
    fits(X, y)
    with pytest.raises(InputError, match="rows of y are not those of modality 'lab'"):
        fits(X, y[::-1])
