"""Frames of pandas at the door: columns by their names, rows by their index, and nothing read as what it is not."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from elision.errors import InputError


def frame_numbers(frame: pd.DataFrame | pd.Series, where: str) -> np.ndarray:
    """Return a frame's numbers as float64, shape (n, d); None, pd.NA and NaN are NaN.

    Args:
        frame: whose columns hold numbers or booleans, whatever their dtype.
        where: what it is, for errors.

    Raises:
        InputError: columns hold dates or text; all of them are named.
    """
    table = frame.to_frame() if isinstance(frame, pd.Series) else frame
    dates, texts, columns = [], [], []
    for name, column in zip(table.columns, (table.iloc[:, i] for i in range(table.shape[1])), strict=True):
        if column.dtype.kind in "mM" or _holds_dates(column):
            dates.append(name)
            continue
        try:
            columns.append(np.asarray(column.astype(object).where(column.notna(), np.nan), dtype=np.float64))
        except (TypeError, ValueError):
            texts.append(name)
    if dates:
        raise InputError(
            f"{where} holds dates in {_named(dates)}: expected numbers, such as days since a date, or leave them out"
        )
    if texts:
        raise InputError(f"{where} holds what is no number in {_named(texts)}: encode it as numbers, or leave it out")
    return np.stack(columns, axis=1) if columns else np.empty((len(table), 0))


def as_frame(values: Any) -> Any:
    """Return a named series as a frame of one column, so that its name counts; anything else as it is."""
    return values.to_frame() if isinstance(values, pd.Series) and values.name is not None else values


def as_numbers(X: Any, where: str) -> Any:
    """Return a frame's numbers as a frame of float64; anything else as it is.

    Raises:
        InputError: it holds dates, or as a frame text.
    """
    if isinstance(X, pd.DataFrame):
        return pd.DataFrame(frame_numbers(X, where), index=X.index, columns=X.columns)
    if getattr(X, "dtype", np.dtype(float)).kind in "mM":
        raise InputError(f"{where} holds dates: expected numbers, such as days since a date")
    return X


def by_name(frame: pd.DataFrame, names: Sequence[Hashable], where: str) -> pd.DataFrame:
    """Return the named columns of a frame in that order, whatever the order and the columns beside them.

    Raises:
        InputError: some are not there.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        found = ", ".join(map(repr, list(frame.columns)[:8]))
        raise InputError(f"{where} lacks {_named(missing)}, which the model was trained on: it has {found}")
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
        raise InputError(
            f"the rows of {other} are not those of {first}: row {row} is {theirs[row]!r} there and {ours[row]!r} here; "
            "put both into one order with .loc[...index], or .reset_index(drop=True) where the order is right already"
        )


def check_pairs(X: Any, y: Any) -> None:
    """Raise `InputError` unless the rows of labels are those of a table, or of each modality of a dict."""
    check_rows(({f"modality {m!r}": values for m, values in X.items()} if isinstance(X, dict) else {"X": X}) | {"y": y})


def _holds_dates(column: pd.Series) -> bool:
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in {
        "datetime", "datetime64", "date", "timedelta", "timedelta64",
    }  # fmt: skip


def _named(columns: Sequence[Hashable], most: int = 8) -> str:
    listed = ", ".join(map(repr, columns[:most]))
    more = f", ... ({len(columns)} in all)" if len(columns) > most else ""
    return f"column{'s' if len(columns) > 1 else ''} {listed}{more}"
