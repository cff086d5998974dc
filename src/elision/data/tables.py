"""Tables as users write them, in whatever dialect, read so that a mistake is named with its row and column."""

import codecs
import csv
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elision.alignment import holds_dates
from elision.data.formats import DETECTED, TABLE_ENDINGS, TEXT_ENDINGS, TableFormat, matches
from elision.errors import InputError, quoted, warn

_BLANK = ("", "nan", "NaN", "NA", "null")
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf(inity)?)\s*", re.I)
_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+\s*")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_EXACT: dict[str, Any] = {} if pd.__version__ >= "3.1" else {"float_precision": "round_trip"}
"""What makes pandas read the number that was written, to the last bit; from 3.1 on it does by itself."""
_SNIFFED = 100  # rows that must agree on a separator


def read_table(path: Path, text: Collection[str], expected: str, form: TableFormat = DETECTED) -> pd.DataFrame:
    """Read a table with a header and at least one row; row i of the index stands in row i + 2 of the file.

    What was detected of its dialect, where it is not the plain one, is said as a warning.

    Args:
        path: ends in one of `TABLE_ENDINGS`.
        text: columns that are read as they are written; in others blank, nan and NA mean missing.
        expected: what the user could have named instead of a file that does not exist.
        form: what is not to be detected.

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
    if suffix not in TABLE_ENDINGS:
        raise InputError(f"{path} ends in {path.suffix!r}: expected a table, {', '.join(TABLE_ENDINGS)}")
    read = _read_text if suffix in TEXT_ENDINGS else _read_binary
    table, found = read(path, text, form)
    if form.decimal is None and _has_commas(path, _texts(table, text, form)):
        form = replace(form, decimal=",")
        table, found = read(path, text, form)
        found.append("decimal commas")
    if form.decimal == ",":
        texts = _texts(table, text, form)
        _refuse_points(path, texts)
        for name in dict.fromkeys(name for name, _ in texts):
            table[name] = table[name].map(lambda v: v.replace(",", ".") if _is(_COMMA, v) else v)
    blank = [table[name].isna() | (table[name].eq("") if name in text else False) for name in table]
    table = table.loc[~np.logical_and.reduce(blank)]  # the index still counts blank lines
    if table.empty:
        raise InputError(f"{path} holds a header and no sample: expected a row per sample")
    for name in (name for name in text if name in table):
        spelt = table[name][table[name].isin(_BLANK[1:])].unique()
        found += [f"{v!r} in column {name!r}, a name like any other unless --na {v} makes it a blank" for v in spelt]
    if found:
        warn(f"{path}: found {', '.join(found)}")
    return table


def call_of_pandas(path: Path, form: TableFormat = DETECTED) -> str:
    """Return the Python that reads, with pandas alone, a file ``new`` written as a table that `read_table` accepts is.

    Example:
        >>> call_of_pandas(Path("patients.csv"), TableFormat(separator=";", decimal=",", encoding="utf-8"))
        "pandas.read_csv('new.csv', sep=';', decimal=',')"
    """
    suffix = path.suffix.lower()
    if suffix not in TEXT_ENDINGS:
        return f"pandas.read_{suffix[1:].replace('xlsx', 'excel')}('new{suffix}')"
    encoding = form.encoding or _encoding(path)
    separator, decimal = form.separator or _separator(path, encoding), form.decimal
    if decimal is None:
        text = set(form.named.values())
        decimal = "," if _has_commas(path, _texts(_read_text(path, text, form)[0], text, form)) else "."
    options: dict[str, Any] = {"sep": separator, "decimal": decimal, "encoding": encoding, "na_values": list(form.na)}
    plain: dict[str, tuple] = {"sep": (",",), "decimal": (".",), "encoding": ("utf-8", "utf-8-sig"), "na_values": ([],)}
    told = [f"{name}={value!r}" for name, value in options.items() if value not in plain[name]]
    return f"pandas.read_csv({', '.join([repr(f'new{suffix}'), *told])})"


def parse_numbers(path: Path, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return a column as float64, NaN where it is blank, and where it holds something else than a finite number."""
    if holds_times(column):
        raise InputError(f"{path}, column {column.name!r} holds times: expected numbers, such as seconds")
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = np.array([_number(value) for value in column.astype(object)], dtype=np.float64)
    return numbers, (np.isnan(numbers) & column.notna().to_numpy()) | np.isinf(numbers)


def parse_text(column: pd.Series) -> np.ndarray:
    """Return a column as str, stripped, "" where it is blank."""
    return np.array(["" if pd.isna(value) else str(value).strip() for value in column])


def holds_times(column: pd.Series) -> bool:
    """Return whether a column holds dates, times of day or spans of time."""
    return holds_dates(column, "time")


def _number(value: Any) -> float:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else np.nan
    return float(value) if isinstance(value, (int, float, np.number, np.bool_)) else np.nan


def _is(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _without_blanks(table: pd.DataFrame, text: Collection[str], na: Collection[str]) -> pd.DataFrame:
    """Return a table with NaN for every spelling of what is missing; in columns of text for those in ``na`` alone."""
    codes = [float(v) for v in na if _NUMBER.fullmatch(v)]
    columns = {}
    for name in table:
        column, spellings = table[name], {*na} if name in text else {*_BLANK, *na}
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.cat.remove_categories([c for c in column.cat.categories if str(c).strip() in spellings])
        elif column.dtype == object or pd.api.types.is_string_dtype(column):
            values = column.astype(object)
            blank = np.array([isinstance(v, str) and v.strip() in spellings for v in values], dtype=bool)
            column = values.mask(blank | values.isna().to_numpy(), np.nan)
        elif codes and pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            column = column.mask(column.isin(codes))
        columns[name] = column
    return pd.DataFrame(columns, index=table.index)


def _texts(table: pd.DataFrame, text: Collection[str], form: TableFormat) -> list[tuple[str, str]]:
    """Return (column, cell) of the texts in columns that may hold numbers."""
    names = [n for n in table if n not in text and not matches(n, form.categories) and table[n].dtype == object]
    return [(name, value) for name in names for value in table[name] if isinstance(value, str)]


def _has_commas(path: Path, texts: Sequence[tuple[str, str]]) -> bool:
    """Return whether cells that are no numbers as they stand are numbers with decimal commas."""
    commas = [(name, v) for name, v in texts if _COMMA.fullmatch(v) or _THOUSANDS.fullmatch(v)]
    marked = [(name, v) for name, v in commas if _THOUSANDS.fullmatch(v)]
    if marked and (len(marked) == len(commas) or any(v.count(",") > 1 for _, v in marked)):
        raise InputError(
            f"{path}, column {marked[0][0]!r}: {marked[0][1]!r} may have a decimal comma, or a mark of thousands: say "
            "--decimal ',' for the one, take the marks out for the other"
        )
    return bool(commas)


def _refuse_points(path: Path, texts: Sequence[tuple[str, str]]) -> None:
    """Raise `InputError` where numbers have decimal points in a table of decimal commas."""
    points = [(name, v) for name, v in texts if _POINT.fullmatch(v)]
    if points:
        raise InputError(
            f"{path}, column {points[0][0]!r}: {points[0][1]!r} has a decimal point, and other numbers have commas: "
            "write them alike, or say which with --decimal"
        )


def _read_text(path: Path, text: Collection[str], form: TableFormat) -> tuple[pd.DataFrame, list[str]]:
    encoding = form.encoding or _encoding(path)
    with _refusing(path, encoding):
        separator = form.separator or _separator(path, encoding)
        named = _SEPARATORS.get(separator, repr(separator))
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator)
            header = next(reader, [])
            if not any(name.strip() for name in header):
                raise pd.errors.EmptyDataError
            for row, cells in enumerate(reader, start=2):
                if len(cells) not in (0, len(header)):
                    raise InputError(
                        f"{path}, row {row}: has {len(cells)} cells separated by {named}, and the header "
                        f"{len(header)}; another separator is said with --separator"
                    )
        names = _names(path, header)
        written: Any = {name: str for name in names if name in text or matches(name, form.categories)}
        table = pd.read_csv(
            path,
            sep=separator,
            decimal=form.decimal or ".",
            header=0,
            names=names,
            index_col=False,
            dtype=written,
            na_values={name: [*_BLANK, *form.na] for name in names if name not in text},
            keep_default_na=False,
            encoding=encoding,
            skip_blank_lines=False,
            low_memory=False,  # one type for all of a column
            **_EXACT,
        )
    found = [f"text in {encoding}"] if encoding != "utf-8-sig" else []
    found += [f"cells separated by {named}"] if separator != "," else []
    found += ["spaces around names of columns, taken away"] if any(h != h.strip() for h in header) else []
    return _without_blanks(table, text, form.na), found


@contextmanager
def _refusing(path: Path, encoding: str) -> Iterator[None]:
    """Turn what reading a text raises into an `InputError` that names the file."""
    try:
        yield
    except UnicodeError as error:
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise InputError(
            f"{path} is not {name}{place}: save it as CSV in UTF-8, or say its encoding, such as --encoding cp1252 for "
            "what Windows programs write"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty: expected a header and a row per sample") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise InputError(f"{path} is not a table: {error}".strip()) from error


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(200)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.count(0) > len(start) // 3:  # letters of two bytes, of which one is 0
        return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    return "utf-8-sig"


def _separator(path: Path, encoding: str) -> str:
    """Return what cuts the first rows into equally many cells, more than one; else what cuts the header into most."""
    widths = {}
    for separator in _SEPARATORS:
        with path.open(encoding=encoding, newline="") as file:
            widths[separator] = [len(row) for row in islice(csv.reader(file, delimiter=separator), _SNIFFED) if row]
    fitting = [s for s, counts in widths.items() if counts and counts[0] > 1 and len(set(counts)) == 1]
    if len(fitting) > 1:
        raise InputError(
            f"{path} may be separated by {' or '.join(_SEPARATORS[s] for s in fitting)}: say which with --separator"
        )
    return fitting[0] if fitting else max(widths, key=lambda s: widths[s][:1])


def _names(path: Path, header: Collection[Any]) -> list[str]:
    names = [str(name).strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} has column {quoted(twice)} twice: give every column a name of its own")
    return names


def _read_binary(path: Path, text: Collection[str], form: TableFormat) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow as pa

    suffix = path.suffix.lower()
    kind = {".parquet": "a Parquet", ".feather": "a Feather", ".xlsx": "an Excel"}[suffix]
    found: list[str] = []
    try:
        if suffix == ".parquet":
            table = pd.read_parquet(path, dtype_backend="numpy_nullable")
        elif suffix == ".feather":
            table = pd.read_feather(path, dtype_backend="numpy_nullable")
        else:
            with pd.ExcelFile(path, engine="openpyxl") as book:
                table = book.parse(dtype=object, keep_default_na=False, na_values=[""])
                if len(book.sheet_names) > 1:
                    found.append(f"{len(book.sheet_names)} sheets, of which {book.sheet_names[0]!r} is read")
    except ImportError as error:
        needed = f"{path} needs the package openpyxl: pip install 'elision[excel]', or save it as .csv"
        raise ModuleNotFoundError(needed, name="openpyxl") from error
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, OverflowError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not {kind} file: {error}") from error
    unnamed = all(name is None for name in table.index.names)
    table = table.reset_index(drop=unnamed)  # a named index is a column, such as id
    return _without_blanks(table.set_axis(_names(path, list(table.columns)), axis=1), text, form.na), found
