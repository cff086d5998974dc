"""Tables as users write them: CSV or Parquet, read so that a mistake is named with its row and column."""

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from elision.errors import InputError

_BLANK = ["", "nan", "NaN", "NA", "null"]


def read_table(path: Path, text: Collection[str], expected: str) -> pd.DataFrame:
    """A CSV or Parquet file with a header and at least one row; row i of the index stands in row i + 2 of the file.

    Args:
        path: ends in .csv or .parquet.
        text: columns that are read as they are written; in others blank, nan and NA mean missing.
        expected: what the user could have named instead of a file that does not exist.

    Raises:
        InputError: naming the file and what to do.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder without manifest.json: expected a table, a .csv or .parquet file, or a store that "
            "`elision prepare` has finished"
        )
    if not path.is_file():
        raise InputError(f"{path} does not exist: expected {expected}")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} ends in {path.suffix!r}: expected .csv or .parquet")
    table = _read_csv(path, text) if suffix == ".csv" else _read_parquet(path)
    if table.empty:
        raise InputError(f"{path} holds a header and no sample: expected a row per sample")
    return table


def parse_numbers(path: Path, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64, NaN where it is blank, and where it holds something else than a finite number."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        raise InputError(f"{path}, column {column.name!r} holds times: expected numbers, such as seconds")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers, (np.isnan(numbers) & column.notna().to_numpy()) | np.isinf(numbers)


def parse_text(column: pd.Series) -> np.ndarray:
    """A column as str, stripped, "" where it is blank."""
    return np.array(["" if pd.isna(value) else str(value).strip() for value in column])


def _read_csv(path: Path, text: Collection[str]) -> pd.DataFrame:
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
        blank = {c: _BLANK for c in header if c not in text}
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, str),
            na_values=blank,
            keep_default_na=False,
            encoding="utf-8-sig",
            skip_blank_lines=False,
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
