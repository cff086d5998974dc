"""Columns of texts and categories: which they are, what values training showed, and those values as numbers."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from elision.errors import quoted

_FEW = 20
"""So many values are categories however few rows repeat them."""
_MANY = 1000


@dataclass(frozen=True)
class Levels:
    """Hold the values that training showed of a column of categories.

    Args:
        values: as text, sorted; those of an ordered category of pandas as it orders them.
        ordered: one number says which value it is, instead of a column for each.

    Example:
        >>> sex = Levels(("f", "m"))
        >>> sex.codes(pd.Series(["m", None, "f", "x"])), sex.unseen(pd.Series(["m", "x"]))
        (array([ 1., nan,  0., nan]), ['x'])
    """

    values: tuple[str, ...]
    ordered: bool = False

    def codes(self, column: pd.Series) -> np.ndarray:
        """Return each value's place among the levels, NaN where it is missing or none of them; shape (n,)."""
        from sklearn.preprocessing import OrdinalEncoder

        places, texts = _distinct(column)
        if not (self.values and texts):
            return np.full(len(column), np.nan)
        known: Any = [np.array(self.values, dtype=object)]
        encoder = OrdinalEncoder(categories=known, handle_unknown="use_encoded_value", unknown_value=np.nan)
        codes = encoder.fit_transform(np.array(texts, dtype=object)[:, None])[:, 0]
        return np.append(codes, np.nan)[places]

    def unseen(self, column: pd.Series) -> list[str]:
        """Return the values that are none of the levels; none where training showed no value at all."""
        return sorted(set(_distinct(column)[1]) - set(self.values)) if self.values else []


Categories = Mapping[Hashable, Levels]
"""column -> its levels; a column that is not there holds numbers."""


def is_category(column: pd.Series) -> bool:
    """Return whether a column is pandas-categorical, or holds texts of which none is a number."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    values = _values(column)
    return len(values) > 0 and all(isinstance(value, str) and not _is_number(value) for value in values)


def learn_categories(frame: pd.DataFrame) -> dict[Hashable, Levels]:
    """Return the levels of the columns of categories, by column.

    A column is left out whose values hardly repeat, or are more than 1,000: `frame_numbers` refuses it.

    Args:
        frame: the training rows, the names of its columns distinct.
    """
    found = {name: _levels(column) for name, column in frame.items() if is_category(column)}
    return {name: levels for name, levels in found.items() if levels is not None}


def tell_unseen(frame: pd.DataFrame, categories: Categories, where: str) -> str:
    """Return what is to be said of values that training did not show; "" where there are none."""
    found = {name: categories[name].unseen(column) for name, column in frame.items() if name in categories}
    listed = "; ".join(f"column {name!r}: {quoted(values, 5)}" for name, values in found.items() if values)
    return f"{where} holds values that training did not show, which count as missing: {listed}" if listed else ""


def one_hot(codes: np.ndarray, levels: Sequence[Levels | None]) -> np.ndarray:
    """Return a table in which columns of codes give way to a column per level, NaN where the code is; shape (n, ...).

    Args:
        codes: numbers, and codes of levels; shape (n, d).
        levels: of each column; None, as for ordered ones, keeps it.

    Example:
        >>> one_hot(np.array([[0.5, 1], [2, np.nan]]), [None, Levels(("f", "m"))])
        array([[0.5, 0. , 1. ],
               [2. , nan, nan]])
    """
    if all(own is None or own.ordered for own in levels):
        return codes
    blocks = []
    for column, own in zip(codes.T[:, :, None], levels, strict=True):
        if own is not None and not own.ordered and own.values:
            column = np.where(np.isnan(column), np.nan, column == np.arange(len(own.values)))
        blocks.append(column)
    return np.concatenate(blocks, axis=1)


def why_no_numbers(column: pd.Series) -> str:
    """Return in a few words what a column holds that is neither a number nor a category."""
    values = _values(column)
    texts = [value for value in values if isinstance(value, str) and not _is_number(value)]
    if not texts:
        odd = [value for value in values if not isinstance(value, (int, float, str))]
        return f"such as {odd[0]!r}" if odd else "of pandas' category dtype"
    if len(texts) == len(values):
        return f"{len(texts)} texts such as {texts[0]!r}"
    return f"{texts[0]!r} beside others such as {next(v for v in values if v not in texts)!r}"


def _levels(column: pd.Series) -> Levels | None:
    places, texts = _distinct(column)
    values, ordered = sorted(set(texts)), False
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        values, ordered = [_text(value) for value in column.dtype.categories], True
    elif len(values) > min(max(_FEW, (places >= 0).sum() / 2), _MANY):
        return None
    return Levels(tuple(values), ordered)


def _distinct(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the distinct values as text, and which of them each row has; -1 where it is missing or blank."""
    places, values = pd.factorize(column)
    texts = [_text(value) for value in values]
    blank = np.array([not text for text in texts] + [True])
    kept = np.append(np.where(blank[:-1], -1, np.cumsum(~blank[:-1]) - 1), -1)
    return kept[places], [text for text in texts if text]


def _values(column: pd.Series) -> list[Any]:
    """Return the distinct values of a column of objects or texts that are not missing or blank."""
    if not (column.dtype in (object, "category") or pd.api.types.is_string_dtype(column)):
        return []
    try:
        return [v for v in column.dropna().unique().astype(object) if not (isinstance(v, str) and _text(v) == "")]
    except TypeError:  # lists, dicts
        return [value for value in column if not isinstance(value, str)]


def _text(value: Any) -> str:
    """Return a value as stripped text, "" for what numpy makes of NaN among texts.

    A whole number has no decimals, so that gaps beside it change nothing.
    """
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    text = str(int(value) if whole else value).strip()
    return "" if text == "nan" else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
