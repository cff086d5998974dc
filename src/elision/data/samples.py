"""Tables of samples: a row per sample, from CSV or Parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from elision.data.dataset import Dataset
from elision.data.splits import PARTS
from elision.data.tables import parse_numbers, parse_text, read_table
from elision.errors import InputError

RESERVED = ("label", "id", "group", "split")
_RECORDINGS = ("video", "audio", "image")
KEYWORDS = ("any", "each", "none")
_NO_NUMBER = "is not a finite number; write a number, or leave the cell blank where it is missing"


def read_samples(path: Path) -> Dataset:
    """Read a table of samples that are numbers.

    Columns: ``label`` (blank: no label), optionally ``id`` (unique), ``group`` (kept together when splitting) and
    ``split`` (train, val, test), and one column ``modality.feature`` per number. Blank cells are missing; a modality
    all blank in a row is missing there.

    Raises:
        InputError: naming the file, row and column, and what to do. Rows are counted as in a spreadsheet: the header
            is row 1.
    """
    table = read_table(path, RESERVED, "digits, a table (.csv or .parquet), or a store")
    features = _features(path, list(table.columns))
    arrays = {m: np.column_stack([_numbers(path, table[c]) for c in columns]) for m, columns in features.items()}
    for m, values in arrays.items():
        if np.isnan(values).all():
            raise InputError(f"{path}: no sample shows modality {m!r}: fill some of its columns, or remove them")
    text = {name: parse_text(table[name]) for name in RESERVED if name in table}
    check_samples(path, text, table.index + 2)
    ids = text.get("id", (table.index + 2).astype(str).to_numpy())
    return Dataset(path.stem, arrays, text["label"], text.get("group"), text.get("split"), ids, features)


@dataclass(frozen=True)
class NewRows:
    """Samples of a table for a model that knows its columns.

    Args:
        ids: of each row; its row number where the table has no column id. Blank and repeated ones are problems.
        frame: the model's columns that the table has; NaN where a cell is blank.
        labels: "" where there is none, shape (n,); None where the table has no column label.
        problems: position -> why the row cannot be used.
        absent: modalities of which the table has no column.
        ignored: columns that the model does not use.
    """

    ids: list[str]
    frame: pd.DataFrame
    labels: np.ndarray | None
    problems: Mapping[int, str]
    absent: tuple[str, ...]
    ignored: tuple[str, ...]


def read_new_rows(path: Path, columns: Mapping[str, Sequence[str]]) -> NewRows:
    """Read a table of new samples: by the names of the columns, whatever their order.

    Args:
        path: ends in .csv or .parquet.
        columns: modality -> its columns, as the model was trained on.

    Raises:
        InputError: the table lacks some columns of a modality, and not all; or it has none that the model knows.
    """
    table = read_table(path, RESERVED, "a table of new samples, .csv or .parquet")
    present = set(map(str, table.columns))
    absent = tuple(m for m, names in columns.items() if not present & set(names))
    lacking = [c for m, names in columns.items() if m not in absent for c in names if c not in present]
    if lacking or len(absent) == len(columns):
        expected = lacking or [c for names in columns.values() for c in names]
        listed = ", ".join(expected[:8]) + (f", ... ({len(expected)} in all)" if len(expected) > 8 else "")
        raise InputError(
            f"{path} lacks columns that the model was trained on: {listed}; a modality may be missing as a whole"
        )
    wanted = [c for m, names in columns.items() if m not in absent for c in names]
    values, problems = {}, {}
    for column in wanted:
        numbers, wrong = parse_numbers(path, table[column])
        values[column] = np.where(wrong, np.nan, numbers)
        for position in np.flatnonzero(wrong).tolist():
            cell = str(table[column].iloc[position])
            where = f"row {table.index[position] + 2}, column {column!r}"
            problems.setdefault(position, f"{where}: {cell!r} {_NO_NUMBER}")
    text = {name: parse_text(table[name]) for name in RESERVED if name in table}
    ids = text.get("id", (table.index + 2).astype(str).to_numpy()).tolist()
    first: dict[str, int] = {}
    for position, name in enumerate(ids):
        row = int(table.index[position]) + 2
        if name == "":
            problems.setdefault(position, f"row {row}, column 'id' is blank: give every row one, or remove the column")
        elif first.setdefault(name, row) != row:
            problems.setdefault(position, f"row {row}, column 'id': {name!r} stands in row {first[name]} already")
    ignored = tuple(c for c in map(str, table.columns) if c not in wanted and c not in RESERVED)
    return NewRows(ids, pd.DataFrame(values), text.get("label"), problems, absent, ignored)


def _features(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """modality -> its columns, in the file's order."""
    features: dict[str, list[str]] = {}
    for column in columns:
        modality, dot, feature = str(column).partition(".")
        if column in RESERVED:
            continue
        if column in _RECORDINGS:
            raise InputError(
                f"{path} has column {column!r} with recordings: `elision prepare {path} STORE --layout manifest` reads "
                "them, and then STORE takes the place of this file"
            )
        if not (modality and dot and feature):
            raise InputError(
                f"{path} has column {column!r}: expected label, id, group, split, or modality.feature; "
                "rename or remove it"
            )
        if modality in KEYWORDS:
            raise InputError(f"{path} has a modality {modality!r}, a word that --missing keeps for itself: rename it")
        features.setdefault(modality, []).append(column)
    if "label" not in columns:
        hint = "; is it separated by commas?" if len(columns) == 1 else ""
        raise InputError(f"{path} has no column 'label': expected one, with the class of each sample{hint}")
    if not features:
        raise InputError(f"{path} has no column modality.feature, such as audio.pitch: expected one per number")
    return features


def _numbers(path: Path, column: pd.Series) -> np.ndarray:
    numbers, wrong = parse_numbers(path, column)
    if wrong.any():
        row = wrong.argmax()
        raise InputError(
            f"{path}, row {column.index[row] + 2}, column {column.name!r}: {str(column.iloc[row])!r} {_NO_NUMBER}"
        )
    return numbers


def check_samples(path: Path | str, text: Mapping[str, np.ndarray], rows: Sequence[int]) -> None:
    """Raise `InputError` unless methods can be compared on samples of these labels, ids, groups and parts.

    Args:
        path: where they come from, for errors.
        text: column -> shape (n,); "label", and "id", "group", "split" where given.
        rows: numbers of the samples, for errors.
    """
    labels = text["label"]
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    if not len(names):
        raise InputError(f"{path}: column 'label' is blank in all {len(labels)} rows: expected each sample's class")
    if len(names) < 2:
        raise InputError(f"{path}: column 'label' shows one class only, {str(names[0])!r}: expected at least two")
    if counts.min() < 3 and "split" not in text:
        rare = str(names[counts.argmin()])
        raise InputError(
            f"{path}: class {rare!r} has {counts.min()} sample(s): expected at least 3, for training, validation and "
            "test; add samples, or remove the class"
        )
    ids, repeats = np.unique(text.get("id", np.arange(len(labels)).astype(str)), return_counts=True)
    if repeats.max() > 1:
        raise InputError(f"{path}: id {str(ids[repeats.argmax()])!r} occurs {repeats.max()} times: expected unique ids")
    for name, allowed in (("split", set(PARTS)), ("group", None)):
        for row, value in zip(rows if name in text else [], text.get(name, []), strict=True):
            if value == "" or (allowed and value not in allowed):
                wanted = f"one of {', '.join(PARTS)}" if allowed else "the name of a group"
                raise InputError(f"{path}, row {row}, column {name!r}: {str(value)!r} is not {wanted}")
    if "split" in text:
        _check_parts(path, labels, text["split"])


def _check_parts(path: Path | str, labels: np.ndarray, parts: np.ndarray) -> None:
    for part in PARTS:
        if not (labels[parts == part] != "").any():
            raise InputError(f"{path}: column 'split' puts no labelled sample into {part!r}: expected some")
    untrained = np.setdiff1d(labels[labels != ""], labels[parts == "train"])
    if len(untrained):
        raise InputError(f"{path}: class {str(untrained[0])!r} has no sample with split 'train': expected some")
