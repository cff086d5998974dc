"""Frames of pandas at the door: columns by their names, rows by their index, and nothing read as what it is not."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import narwhals
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from elision.categories import Categories, why_no_numbers
from elision.errors import InputError, quoted

_NONE: Categories = MappingProxyType({})


def frame_numbers(
    frame: pd.DataFrame | pd.Series, where: str, categories: Categories = _NONE, trained: bool = False
) -> np.ndarray:
    """Return a frame's numbers as float64, shape (n, d); None, pd.NA and NaN are NaN.

    Args:
        frame: whose columns hold numbers or booleans, whatever their dtype, or values of ``categories``.
        where: what it is, for errors.
        categories: columns of which each value is replaced by its place among the levels, NaN if it is none of them.
        trained: a model read the other columns as numbers, so that no category can take their place; for errors.

    Raises:
        InputError: columns hold dates, or what is neither number nor category; all of them are named.
    """
    table = frame.to_frame() if isinstance(frame, pd.Series) else frame
    dates, others, columns = [], {}, []
    for name, column in zip(table.columns, (table.iloc[:, i] for i in range(table.shape[1])), strict=True):
        if holds_dates(column):
            dates.append(name)
            continue
        try:
            columns.append(categories[name].codes(column) if name in categories else _numbers(column))
        except (TypeError, ValueError):
            others[name] = why_no_numbers(column)
    problems = []
    if dates:
        problems.append(f"dates in {_named(dates)}: expected numbers, such as days since a date, or leave them out")
    if others:
        told = "; ".join(f"{name!r} ({why})" for name, why in list(others.items())[:8])
        problems.append(
            f"what is no number in {_named(list(others))}, of which training showed numbers: make numbers of it, NaN "
            f"where one is missing; found {told}"
            if trained
            else f"what is neither number nor category in {_named(list(others))}: leave it out, make numbers of it, or "
            f".astype('category') where values repeat; found {told}"
        )
    if problems:
        raise InputError(f"{where} holds {'; and '.join(problems)}")
    return np.stack(columns, axis=1) if columns else np.empty((len(table), 0))


def as_frame(values: Any, where: str) -> Any:
    """Return what holds columns with names as a frame of pandas; anything else as it is, or as an array.

    Sparse matrices become dense, what a mask hides is missing, and tensors of torch become arrays. Named series, and
    frames (lazy ones too) and series of polars, pyarrow and what else narwhals knows, become frames. Names of several
    levels become one, joined by a dot.

    Raises:
        InputError: two columns have one name.
    """
    if issparse(values):
        return values.toarray()
    if isinstance(values, np.ma.MaskedArray):
        return unmasked(values)
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if not isinstance(values, (pd.DataFrame, pd.Series, np.ndarray, list, tuple)):
        known = narwhals.from_native(values, allow_series=True, pass_through=True)
        known = known.collect() if isinstance(known, narwhals.LazyFrame) else known
        if isinstance(known, (narwhals.DataFrame, narwhals.Series)):
            values = known.to_pandas()
            for name, column in values.items() if isinstance(values, pd.DataFrame) else ():
                if isinstance(column.dtype, pd.CategoricalDtype):  # polars calls all of them ordered
                    values[name] = column.cat.as_unordered()
    if isinstance(values, pd.Series) and values.name not in (None, ""):
        values = values.to_frame()
    if isinstance(values, pd.DataFrame) and isinstance(values.columns, pd.MultiIndex):
        values = values.set_axis([flat_name(name) for name in values.columns], axis=1)
    if isinstance(values, pd.DataFrame) and not values.columns.is_unique:
        twice = values.columns[values.columns.duplicated()][0]
        raise InputError(f"{where} has column {twice!r} twice: give every column a name of its own")
    return values


def unmasked(values: Any) -> np.ndarray:
    """Return a masked array without its mask: numbers as float64, NaN where hidden, others as objects, and None."""
    number = values.dtype.kind in "biuf"
    hidden: Any = np.nan if number else None
    return np.where(np.ma.getmaskarray(values), hidden, values.data.astype(np.float64 if number else object))


def unnamed_frame(values: Any, names: Sequence[Hashable]) -> pd.DataFrame:
    """Return an array or list as a frame, whose columns have the names that are known of them, if any."""
    frame = pd.DataFrame(values)
    return frame.set_axis(list(names), axis=1) if len(names) == frame.shape[1] else frame


def flat_name(name: Hashable) -> Hashable:
    """Return the name of a column, one of several levels as one text."""
    return ".".join(map(str, name)) if isinstance(name, tuple) else name


def holds_texts(values: Any) -> bool:
    """Return whether an array or list, of up to two dimensions, holds texts or pd.NA, so that columns must be told."""
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        return False
    found = array.dtype.kind in "US" or (
        array.dtype == object and any(isinstance(v, str) or v is pd.NA for v in array.flat)
    )
    return found and array.ndim in (1, 2)


def by_name(frame: pd.DataFrame, names: Sequence[Hashable], where: str) -> pd.DataFrame:
    """Return the named columns of a frame in that order, whatever the order and the columns beside them.

    Raises:
        InputError: some are not there.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        if frame.shape[1] == 1 and frame.index.isin(missing).all():
            raise InputError(f"{where} is one sample as a series: expected a table, such as table.iloc[[0]]")
        found = ", ".join(map(repr, list(frame.columns)[:8]))
        raise InputError(
            f"{where} lacks {_named(missing)}, which the model was trained on: it has {found}; add it, NaN "
            "where it is not known"
        )
    return frame.loc[:, list(names)]


def known_columns(frame: pd.DataFrame, modalities: Mapping[str, Sequence[Hashable]]) -> pd.DataFrame:
    """Return a table with the modalities' columns, NaN where it has none of a modality's.

    Raises:
        InputError: it has some columns of a modality, and not all; or none at all.
    """
    there = {m: [name in frame.columns for name in names] for m, names in modalities.items()}
    if not any(any(found) for found in there.values()):
        by_name(frame, [name for names in modalities.values() for name in names], "X")
    for m, names in modalities.items():
        if any(there[m]):
            by_name(frame, names, f"X, modality {m!r},")
    return frame.reindex(columns=list(dict.fromkeys(name for names in modalities.values() for name in names)))


def check_rows(named: Mapping[str, Any]) -> None:
    """Raise `InputError` unless the rows of frames and series that belong together are in the same order.

    Their indexes must be equal. One that only counts the rows from 0 says nothing, and goes with any other that does
    not hold the same numbers in another order.

    Args:
        named: what each is called -> a frame, a series, or anything else, which has no index.
    """
    indexed = {name: value.index for name, value in named.items() if isinstance(value, (pd.DataFrame, pd.Series))}
    if len(indexed) < 2:
        return
    first, *others = indexed
    for other in others:
        ours, theirs = indexed[first], indexed[other]
        if len(ours) != len(theirs) or ours.equals(theirs):
            continue  # lengths are told elsewhere
        counted = any(index.equals(pd.RangeIndex(len(index))) for index in (ours, theirs))
        if counted and not ours.sort_values().equals(theirs.sort_values()):
            continue
        row = int((ours != theirs).argmax())
        there, here = theirs.tolist()[row], ours.tolist()[row]
        raise InputError(
            f"the rows of {other} are not those of {first}: row {row} is {there!r} there and {here!r} here; "
            "put both into one order with .loc[...index], or .reset_index(drop=True) where the order is right already; "
            "elision.as_modalities(dict of frames) joins modalities that show different samples"
        )


def check_pairs(X: Any, y: Any, name: str = "y") -> None:
    """Raise `InputError` unless the rows of labels are those of a table, or of each modality of a dict.

    Args:
        X: a table, a dict, or a `Splittable`.
        y: labels, or whatever else each sample has one of.
        name: what they are called.
    """
    X = X.arrays if isinstance(X, Splittable) else X
    parts = {f"modality {m!r}": values for m, values in X.items()} if isinstance(X, dict) else {"X": X}
    check_rows(parts | {name: y})


def check_apart(X: Any, y: Any, used: Iterable[Hashable]) -> None:
    """Raise `InputError` if labels are themselves one of the columns of a table that are learnt from."""
    if isinstance(X, pd.DataFrame) and isinstance(y, pd.Series) and y.name in list(used) and X[y.name].equals(y):
        raise InputError(f"X has the labels among its columns: leave {y.name!r} out of it, or out of modalities")


class Splittable:
    """Let scikit-learn take samples of a dict of arrays: `cross_val_score(model, Splittable(X), y)`.

    To scikit-learn a dict has as many samples as modalities. It may stand wherever X may be a dict.

    Args:
        arrays: modality -> array, frame, list or sparse matrix with a row per sample.

    Example:
        >>> X = Splittable({"a": np.arange(6).reshape(3, 2), "b": ["u", "v", "w"]})
        >>> len(X), X[[2, 0]].arrays["b"]
        (3, ['w', 'u'])
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = dict(arrays)
        lengths = {m: _num_samples(values) for m, values in self.arrays.items()}
        if len(set(lengths.values())) != 1:
            listed = ", ".join(f"{m!r} has {n}" for m, n in lengths.items()) or "there is none"
            raise InputError(f"modalities of unequal length: {listed}; expected one row per sample in each")
        self.shape = (next(iter(lengths.values())), len(lengths))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> "Splittable":
        """Return the given samples; ``rows``: positions or a mask, alone or before an ellipsis."""
        rows = rows[0] if isinstance(rows, tuple) else rows
        return Splittable({m: _safe_indexing(values, rows) for m, values in self.arrays.items()})


def _numbers(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype):
        raise TypeError("a category, whatever its values look like")
    if isinstance(column.dtype, pd.SparseDtype):
        column = column.sparse.to_dense()
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64)
    return np.asarray(column.astype(object).where(column.notna(), np.nan), dtype=np.float64)


def holds_dates(column: pd.Series, *more: str) -> bool:
    """Return whether a column holds dates or spans of time, or objects of what pandas infers to be one of ``more``."""
    kinds = {"datetime", "datetime64", "date", "timedelta", "timedelta64", *more}
    as_objects = column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in kinds
    return as_objects or column.dtype.kind in "mM"


def _named(columns: Sequence[Hashable]) -> str:
    return f"column{'s' if len(columns) > 1 else ''} {quoted(columns, 8)}"
