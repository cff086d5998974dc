"""Objects that people hold already, as the dict of modalities that `MultimodalClassifier` takes.

MuData and AnnData, xarray, Hugging Face datasets, and frames of polars, pyarrow and pandas. None of these libraries is
imported here: whoever holds such an object has it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from elision.alignment import as_frame
from elision.errors import InputError, check_choice

Choice = Mapping[str, Any] | Sequence[str] | None
"""Modality -> where it is in the object; or names alone; None is everything that can be one."""


def as_modalities(data: Any, modalities: Choice = None, sample: str | None = None) -> dict[str, Any]:
    """Return an object's modalities: name -> frame or array with a row for each sample, NaN where it is missing.

    ==================  ==================================================  =========================================
    object              where a modality is                                 None means
    ==================  ==================================================  =========================================
    MuData              "rna": its X; "rna/X_pca": a key of its obsm        every modality's X
    AnnData             "X", or a key of obsm                               every key of obsm
    xarray Dataset      a variable with the dimension ``sample``            every such variable of numbers
    table               columns: of numbers, categories, lists of numbers   columns named modality.feature
    dict of frames      a frame of pandas                                   every frame
    ==================  ==================================================  =========================================

    A modality of MuData that lacks samples is missing in these; the order is that of ``obs_names``. Frames of a dict
    are joined by index, as samples first occur. Tables are frames
    of pandas and polars (lazy ones too), tables of pyarrow, and Hugging Face's Dataset; a null list is a missing row::

        as_modalities(mudata.read("cells.h5mu"))
        as_modalities(adata, {"rna": "X", "protein": "protein_expression"})
        as_modalities(xarray.open_dataset("days.nc"), sample="patient")
        as_modalities(datasets.load_dataset(...)["train"], {"image": "embedding", "patient": ["age", "pressure"]})
        as_modalities(polars.scan_csv("patients.csv"))
        as_modalities(pyarrow.parquet.read_table("patients.parquet"), {"lab": ["crp", "wbc"]})

    Args:
        data: the object.
        modalities: modality -> where it is, as above; or the places alone, which name the modalities.
        sample: of xarray, the dimension that counts samples; None is the one that every variable has.

    Raises:
        InputError: it is no such object, or has no such modality; what was expected.

    Example:
        >>> frame = pd.DataFrame({"lab.a": [1.0, None], "gait.x": [0.5, 0.7], "gait.y": [1, 2]})
        >>> {m: values.shape for m, values in as_modalities(frame).items()}
        {'lab': (2, 1), 'gait': (2, 2)}
    """
    name = type(data).__name__
    library = next((c.__module__.partition(".")[0] for c in type(data).__mro__ if c.__name__ == name), "")
    reader = _READERS.get((library, name))
    if reader is None:
        kinds = ", ".join(f"{library}.{name}" for library, name in _READERS)
        hint = f"; it has {', '.join(data)}: give one of them" if name == "DatasetDict" else ""
        raise InputError(f"data is a {library}.{name}: expected one of {kinds}{hint}")
    if modalities is not None and not isinstance(modalities, Mapping):
        modalities = {m: m for m in modalities}
    try:
        found = reader(data, modalities, sample)
    except AttributeError as error:
        raise InputError(
            f"this {library}.{name} lacks {error.name!r}, which it was expected to have: pip install "
            "'elision[adapters]' brings versions that are read"
        ) from error
    if not found:
        raise InputError(f"no modality was found in the {library}.{name}: say where they are with modalities=")
    return found


def _of_mudata(data: Any, modalities: Mapping[str, Any] | None, _: str | None) -> dict[str, Any]:
    names = data.obs_names
    if not names.is_unique:
        raise InputError(f"obs name {names[names.duplicated()][0]!r} occurs twice: call obs_names_make_unique()")
    found = {}
    for m, place in (modalities or {m: m for m in data.mod}).items():
        part, slash, key = (place, "", "") if place in data.mod else str(place).partition("/")
        check_choice("modality", part, data.mod)
        own = data.mod[part]
        values = _obsm(own, key) if slash else own.to_df()
        found[m] = pd.DataFrame(values, index=own.obs_names).reindex(names)
    return found


def _of_anndata(data: Any, modalities: Mapping[str, Any] | None, _: str | None) -> dict[str, Any]:
    places = dict(modalities or {m: m for m in data.obsm})
    if not places:
        raise InputError("the AnnData has an empty .obsm: name what is in .X, such as modalities={'rna': 'X'}")
    read = {m: data.to_df() if place == "X" else _obsm(data, place) for m, place in places.items()}
    return {m: pd.DataFrame(values, index=data.obs_names) for m, values in read.items()}


def _obsm(data: Any, key: str) -> Any:
    check_choice("key of .obsm", key, [*data.obsm, "X"])
    return as_frame(data.obsm[key], f".obsm[{key!r}]")


def _of_xarray(data: Any, modalities: Mapping[str, Any] | None, sample: str | None) -> dict[str, Any]:
    variables = {str(m): v for m, v in data.data_vars.items() if v.dtype.kind in "fiub"}
    shared = [d for d in data.dims if variables and all(d in v.dims for v in variables.values())]
    if sample is None:
        if len(shared) != 1:
            listed = ", ".join(map(str, data.dims))
            raise InputError(f"which dimension counts the samples is not clear: give sample=, one of {listed}")
        sample = shared[0]
    check_choice("dimension", str(sample), list(map(str, data.dims)))
    found = {}
    for m, place in (modalities or {m: m for m, v in variables.items() if sample in v.dims}).items():
        check_choice("variable of numbers", place, variables)
        if sample not in variables[place].dims:
            raise InputError(f"variable {place!r} has dimensions {variables[place].dims}: expected {sample!r} too")
        found[m] = _indexed(variables[place].transpose(sample, ...).to_numpy(), data.indexes.get(sample))
    return found


def _of_table(data: Any, modalities: Mapping[str, Any] | None, _: str | None) -> dict[str, Any]:
    frame = as_frame(data, "the table")
    names = list(frame.columns)
    if modalities is None:
        dotted = [c for c in names if isinstance(c, str) and all(c.partition("."))]
        modalities = {c.partition(".")[0]: [] for c in dotted}
        for c in dotted:
            modalities[c.partition(".")[0]].append(c)
    found = {}
    for m, place in modalities.items():
        columns = [place] if isinstance(place, str) or not isinstance(place, Iterable) else list(place)
        for c in columns:
            check_choice("column", c, names)
        lists = len(columns) == 1 and _holds_lists(frame[columns[0]])
        found[m] = _stack(frame[columns[0]], m) if lists else frame[columns]
    return found


def _of_frames(data: Any, modalities: Mapping[str, Any] | None, _: str | None) -> dict[str, Any]:
    found = {}
    for m, place in (modalities or {m: m for m in data}).items():
        check_choice("modality", place, data)
        frame = found[m] = as_frame(data[place], f"modality {m!r}")
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"modality {m!r} is a {type(frame).__name__}: expected a frame whose index names samples")
        if not frame.index.is_unique:
            raise InputError(f"modality {m!r} has sample {frame.index[frame.index.duplicated()][0]!r} twice")
    rows = pd.Index(dict.fromkeys(row for frame in found.values() for row in frame.index))
    return {m: frame.reindex(rows) for m, frame in found.items()}


def _holds_lists(column: pd.Series) -> bool:
    known = column.dropna()
    return len(known) > 0 and isinstance(known.iloc[0], (list, tuple, np.ndarray))


def _stack(column: pd.Series, m: str) -> np.ndarray | pd.DataFrame:
    """Return a column of lists as one array, (n, ...), NaN where there is none; a frame where an index names rows."""
    rows = [None if row is None or np.ndim(row) == 0 else _numbers(row, m, i) for i, row in enumerate(column)]
    shapes = [row.shape for row in rows if row is not None]
    for i, row in enumerate(rows):
        if row is not None and row.shape != shapes[0]:
            raise InputError(f"modality {m!r} has shape {row.shape} in row {i}: expected {shapes[0]} as before")
    values = np.stack([np.full(shapes[0], np.nan) if row is None else row for row in rows])
    return _indexed(values, column.index)


def _indexed(values: np.ndarray, index: pd.Index | None) -> np.ndarray | pd.DataFrame:
    """Return rows of numbers as a frame where an index says which samples they are, so that labels must agree."""
    says_nothing = index is None or index.equals(pd.RangeIndex(len(values)))
    return values if says_nothing or values.ndim > 2 else pd.DataFrame(values, index=index)


def _numbers(row: Any, m: str, i: int) -> np.ndarray:
    try:
        return np.array([_numbers(part, m, i) for part in row] if np.ndim(row[0]) else row, dtype=np.float64)
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"modality {m!r} is no list of numbers in row {i}: {error}") from error


_READERS: dict[tuple[str, str], Callable[[Any, Mapping[str, Any] | None, str | None], dict[str, Any]]] = {
    ("mudata", "MuData"): _of_mudata,
    ("anndata", "AnnData"): _of_anndata,
    ("xarray", "Dataset"): _of_xarray,
    ("datasets", "Dataset"): lambda data, *rest: _of_table(data.with_format("arrow")[:], *rest),
    ("polars", "LazyFrame"): _of_table,
    ("polars", "DataFrame"): _of_table,
    ("pyarrow", "Table"): _of_table,
    ("pandas", "DataFrame"): _of_table,
    ("builtins", "dict"): _of_frames,
}
"""(library, class) -> what reads it."""
