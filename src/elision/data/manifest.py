"""Manifests: a table with a row per sample, from CSV or Parquet."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from elision.data.dataset import Dataset
from elision.data.splits import PARTS
from elision.errors import InputError

RESERVED = ("label", "id", "group", "split")
_KEYWORDS = ("any", "each", "none")
_BLANK = ["", "nan", "NaN", "NA", "null"]


def read_manifest(path: Path) -> Dataset:
    """Read a manifest.

    Columns: ``label`` (blank: no label), optionally ``id`` (unique), ``group`` (kept together when splitting) and
    ``split`` (train, val, test), and one column ``modality.feature`` per number. Blank cells are missing; a modality
    all blank in a row is missing there.

    Raises:
        InputError: naming the file, row and column, and what to do. Rows are counted as in a spreadsheet: the header
            is row 1.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected a manifest, a .csv or .parquet file")
    if not path.is_file():
        raise InputError(f"{path} does not exist: expected digits, or the path of a manifest (.csv or .parquet)")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} ends in {path.suffix!r}: expected .csv or .parquet")
    table = readers[path.suffix.lower()](path)
    if table.empty:
        raise InputError(f"{path} holds a header and no sample: expected a row per sample")
    features = _features(path, list(table.columns))
    arrays = {m: np.column_stack([_numbers(path, table[c]) for c in columns]) for m, columns in features.items()}
    for m, values in arrays.items():
        if np.isnan(values).all():
            raise InputError(f"{path}: no sample shows modality {m!r}: fill some of its columns, or remove them")
    text = {name: _text(table[name]) for name in RESERVED if name in table}
    _check(path, text, table.index + 2)
    return Dataset(path.stem, arrays, text["label"], text.get("group"), text.get("split"))


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            for row, cells in enumerate(reader, start=2):
                if len(cells) not in (0, len(header)):
                    raise InputError(f"{path}, row {row}: has {len(cells)} cells, and the header {len(header)}")
        repeated = sorted({c for c in header if header.count(c) > 1})
        if repeated:
            raise InputError(f"{path} has column {repeated[0]!r} twice: give every column a name of its own")
        blank = {c: _BLANK for c in header if c not in RESERVED}
        text = dict.fromkeys(RESERVED, str)
        table = pd.read_csv(
            path, dtype=text, na_values=blank, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as CSV in UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty: expected a header and a row per sample") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise InputError(f"{path} is not a table: {error}".strip()) from error
    return table[~(table.isna() | (table == "")).all(axis=1)]  # the index still counts blank lines


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa

    try:
        table = pd.read_parquet(path, dtype_backend="numpy_nullable")
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error
    unnamed = all(name is None for name in table.index.names)
    return table.reset_index(drop=unnamed)  # a named index is a column, such as id


def _features(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """modality -> its columns, in the file's order."""
    features: dict[str, list[str]] = {}
    for column in columns:
        modality, dot, feature = str(column).partition(".")
        if column in RESERVED:
            continue
        if not (modality and dot and feature):
            raise InputError(
                f"{path} has column {column!r}: expected label, id, group, split, or modality.feature; "
                "rename or remove it"
            )
        if modality in _KEYWORDS:
            raise InputError(f"{path} has a modality {modality!r}, a word that --missing keeps for itself: rename it")
        features.setdefault(modality, []).append(column)
    if "label" not in columns:
        hint = "; is it separated by commas?" if len(columns) == 1 else ""
        raise InputError(f"{path} has no column 'label': expected one, with the class of each sample{hint}")
    if not features:
        raise InputError(f"{path} has no column modality.feature, such as audio.pitch: expected one per number")
    return features


def _numbers(path: Path, column: pd.Series) -> np.ndarray:
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise InputError(f"{path}, column {column.name!r} holds times: expected numbers, such as seconds")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    for wrong in (np.isnan(numbers) & column.notna().to_numpy(), np.isinf(numbers)):
        if wrong.any():
            row = wrong.argmax()
            raise InputError(
                f"{path}, row {column.index[row] + 2}, column {column.name!r}: {str(column.iloc[row])!r} "
                "is not a finite number; write a number, or leave the cell blank where it is missing"
            )
    return numbers


def _text(column: pd.Series) -> np.ndarray:
    return np.array(["" if pd.isna(value) else str(value).strip() for value in column])


def _check(path: Path, text: dict[str, np.ndarray], rows: Sequence[int]) -> None:
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


def _check_parts(path: Path, labels: np.ndarray, parts: np.ndarray) -> None:
    for part in PARTS:
        if not (labels[parts == part] != "").any():
            raise InputError(f"{path}: column 'split' puts no labelled sample into {part!r}: expected some")
    untrained = np.setdiff1d(labels[labels != ""], labels[parts == "train"])
    if len(untrained):
        raise InputError(f"{path}: class {str(untrained[0])!r} has no sample with split 'train': expected some")
