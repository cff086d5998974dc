"""Tables of samples: a row per sample, each column with a role."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from elision.categories import Levels, is_category, learn_categories, tell_unseen, why_no_numbers
from elision.data.dataset import Dataset
from elision.data.formats import DETECTED, ROLES, TableFormat, matches
from elision.data.splits import PARTS
from elision.data.tables import holds_times, parse_numbers, parse_text, read_table
from elision.errors import InputError, quoted, warn

_RECORDINGS = ("video", "audio", "image")
KEYWORDS = ("any", "each", "none")
_NO_NUMBER = "is not a finite number; write a number, or leave the cell blank where it is missing"
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?|\d\d?([./-])\d\d?\2(\d\d){1,2}( .*)?")


_LIKE_A_NUMBER = re.compile(r"[+-]?[\d.,'’_\s]*\d[\d.,'’_\s]*[%€$£]?")


def read_samples(path: Path, form: TableFormat = DETECTED) -> Dataset:
    """Read a table of samples that are numbers and categories.

    Columns: ``label`` (blank: no label), optionally ``id`` (unique), ``group`` (kept together when splitting) and
    ``split`` (train, val, test), and one column ``modality.feature`` per number or category; or as ``form`` says.
    Blank cells are missing; a modality all blank in a row is missing there. Columns of texts are categories. What
    was detected, and columns that are left out, are said as warnings.

    Args:
        path: of the table.
        form: which column is what, and what is not to be detected.

    Raises:
        InputError: naming the file, row and column, and what to do. Rows are counted as in a spreadsheet: the header
            is row 1.
    """
    table = read_table(path, form.roles.values(), "digits, a table (such as .csv or .parquet), or a store", form)
    features = _features(path, list(table.columns), form)
    columns = [c for names in features.values() for c in names]
    for column in (c for c in columns if matches(c, form.categories)):
        table[column] = table[column].astype("category")
    held = dict(table.items())
    levels = _categories(path, pd.DataFrame(table[columns]))
    codes = {c: levels[c].codes(held[c]) if c in levels else parse_numbers(path, held[c])[0] for c in columns}
    arrays = {m: np.column_stack([codes[c] for c in names]) for m, names in features.items()}
    for m, values in arrays.items():
        if np.isnan(values).all():
            raise InputError(f"{path}: no sample shows modality {m!r}: fill some of its columns, or remove them")
    text = {role: parse_text(held[name]) for role, name in form.roles.items() if name in held}
    check_samples(path, text, (table.index + 2).tolist(), form.roles)
    ids = text.get("id", (table.index + 2).astype(str).to_numpy())
    named = text["label"], text.get("group"), text.get("split"), ids
    weights = _weights(path, held[form.weight], text["label"]) if form.weight else None
    return Dataset(path.stem, arrays, *named, features, levels, weights)


def _weights(path: Path, column: pd.Series, labels: np.ndarray) -> np.ndarray:
    """Return how much each sample counts, shape (n,); every class has some that do."""
    numbers, _ = parse_numbers(path, column)
    wrong = np.flatnonzero(~(numbers >= 0))
    if len(wrong):
        found = str(column.iloc[wrong[0]])
        where = f"{path}, row {int(column.index[wrong[0]]) + 2}, column {column.name!r}"
        raise InputError(f"{where} is {found!r}: expected a weight, 0 or more")
    idle = np.setdiff1d(labels, labels[numbers > 0])
    idle = idle[idle != ""]
    if len(idle):
        raise InputError(
            f"{path}: every sample of class {str(idle[0])!r} has weight 0 in column {column.name!r}, so nothing "
            "could be learnt of it: remove these rows, or give them weight"
        )
    return numbers


@dataclass(frozen=True)
class NewRows:
    """Samples of a table for a model that knows its columns.

    Args:
        ids: of each row; its row number where the table has no column of ids. Blank and repeated ones are problems.
        frame: the model's columns that the table has; NaN where a cell is blank.
        labels: "" where there is none, shape (n,); None where the table has no column of labels.
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


def read_new_rows(
    path: Path,
    columns: Mapping[str, Sequence[str]],
    categories: Mapping[str, Levels] = MappingProxyType({}),
    form: TableFormat = DETECTED,
) -> NewRows:
    """Read a table of new samples: by the names of the columns, whatever their order.

    Args:
        path: of the table.
        columns: modality -> its columns, as the model was trained on.
        categories: those of them that hold categories -> the ones that the model knows; others are said, and missing.
        form: which columns are label and id, and what is not to be detected.

    Raises:
        InputError: the table lacks some columns of a modality, and not all; or it has none that the model knows.
    """
    form = replace(form, categories=tuple(categories))
    table = read_table(path, form.roles.values(), "a table of new samples, such as .csv or .parquet", form)
    present = set(table.columns)
    absent = tuple(m for m, names in columns.items() if not present & set(names))
    lacking = [c for m, names in columns.items() if m not in absent for c in names if c not in present]
    if lacking or len(absent) == len(columns):
        expected = lacking or [c for names in columns.values() for c in names]
        raise InputError(
            f"{path} lacks columns that the model was trained on: {quoted(expected)}; a modality may be missing as a "
            f"whole; it has {quoted(table.columns)}"
        )
    wanted = [c for m, names in columns.items() if m not in absent for c in names]
    values, problems = {}, {}
    held = dict(table.items())
    for column in wanted:
        if column in categories:
            unknown = np.isnan(categories[column].codes(table[column]))
            values[column] = table[column].astype(object).mask(unknown, np.nan).to_numpy()
            continue
        numbers, wrong = parse_numbers(path, held[column])
        values[column] = np.where(wrong, np.nan, numbers)
        for position in np.flatnonzero(wrong).tolist():
            problems.setdefault(position, f"{_cell(held[column], position)} {_NO_NUMBER}")
    unseen = tell_unseen(table, {c: levels for c, levels in categories.items() if c in wanted}, str(path))
    if unseen:
        warn(unseen)
    text = {role: parse_text(held[name]) for role, name in form.roles.items() if name in held}
    ids = text.get("id", (table.index + 2).astype(str).to_numpy()).tolist()
    first: dict[str, int] = {}
    for position, name in enumerate(ids):
        row = int(table.index[position]) + 2
        where = f"row {row}, column {form.id!r}"
        if name == "":
            problems.setdefault(position, f"{where} is blank: give every row one, or remove the column")
        elif first.setdefault(name, row) != row:
            problems.setdefault(position, f"{where}: {name!r} stands in row {first[name]} already")
    known = {*wanted, *form.named.values()}
    ignored = tuple(c for c in table.columns if c not in known and not matches(c, form.ignore))
    return NewRows(ids, pd.DataFrame(values), text.get("label"), problems, absent, ignored)


def _features(path: Path, columns: Sequence[str], form: TableFormat) -> dict[str, list[str]]:
    """modality -> its columns, in the file's order."""
    lost = [r for r, name in form.named.items() if name not in columns and (r in ("label", "weight") or name != r)]
    if lost:
        told = "; ".join(f"no column {form.named[r]!r}, the {r} of each sample" for r in lost)
        special = {"split": "--split-column", "weight": "--sample-weight"}
        flags = ", ".join(special.get(r, f"--{r}") for r in lost)
        raise InputError(f"{path} has {told}: it has {quoted(columns)}; name others with {flags}, or add them")
    rest = [c for c in columns if c not in form.named.values() and not matches(c, form.ignore)]
    features = _named_features(path, rest, form.modalities) if form.modalities else _dotted_features(rest)
    recordings = [c for c in rest if c in _RECORDINGS and not form.modalities]
    if recordings:
        raise InputError(
            f"{path} has column {recordings[0]!r} with recordings: `elision prepare {path} STORE --layout manifest` "
            "reads them, and then STORE takes the place of this file; or leave it out with --ignore"
        )
    if not features:
        raise InputError(
            f"{path} has no column modality.feature, such as audio.pitch, among {quoted(columns)}: name the columns of "
            "each modality, such as --modality labs=crp,ldh, or rename them"
        )
    for m in features:
        if m in KEYWORDS:
            raise InputError(f"{path} has a modality {m!r}, a word that --missing keeps for itself: rename it")
    left = [c for c in rest if not any(c in names for names in features.values())]
    if left:
        warn(f"{path}: columns without a role are left out: {quoted(left)}")
    return features


def _dotted_features(columns: Sequence[str]) -> dict[str, list[str]]:
    features: dict[str, list[str]] = {}
    for column in columns:
        modality, dot, feature = column.partition(".")
        if modality and dot and feature:
            features.setdefault(modality, []).append(column)
    return features


def _named_features(
    path: Path, columns: Sequence[str], modalities: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    unknown = [f"{m}={p}" for m, ps in modalities.items() for p in ps if not any(matches(c, (p,)) for c in columns)]
    if unknown:
        raise InputError(f"{path} has no columns for {quoted(unknown)}: it has {quoted(columns)}")
    features = {m: [c for c in columns if matches(c, patterns)] for m, patterns in modalities.items()}
    owners: dict[str, list[str]] = {c: [m for m, names in features.items() if c in names] for c in columns}
    shared = {c: names for c, names in owners.items() if len(names) > 1}
    if shared:
        told = "; ".join(f"{c!r} in {' and '.join(names)}" for c, names in shared.items())
        raise InputError(f"{path} has columns in several modalities: {told}: expected each in one")
    return features


def _categories(path: Path, table: pd.DataFrame) -> dict[str, Levels]:
    """Return column -> its levels, where it holds categories; `InputError` names all columns that hold neither."""
    levels, wrong = {str(c): found for c, found in learn_categories(table).items()}, []
    for name, column in table.items():
        if holds_times(column) or _all_match(_DATE, column):
            wrong.append(f"column {name!r} holds times: expected numbers, such as days since a date, or --ignore it")
        elif name not in levels and is_category(column) and not _all_match(_LIKE_A_NUMBER, column):
            wrong.append(
                f"column {name!r} holds {why_no_numbers(column)}: expected categories that repeat; --ignore it"
            )
        elif name not in levels or _all_match(_LIKE_A_NUMBER, column):  # 1,5 or 5 %
            bad = parse_numbers(path, column)[1]
            if bad.any():
                told = f"{_cell(column, int(bad.argmax()))} {_NO_NUMBER}, or name its spelling with --na"
                more = f", or, if {name!r} holds categories, name it with --category ({bad.sum()} such cells)"
                wrong.append(told + (more if bad.sum() > 1 else ""))
    if wrong:
        raise InputError(f"{path}, {'; '.join(wrong[:20])}")
    told = [f"{c!r} ({len(found.values)})" for c, found in levels.items()]
    if told:
        warn(f"{path}: columns of categories, and how many each has: {', '.join(told[:12])}")
    return levels


def _all_match(pattern: re.Pattern, column: pd.Series) -> bool:
    values = list(column.dropna()) if column.dtype == object else []
    return len(values) > 0 and all(isinstance(v, str) and pattern.fullmatch(v.strip()) for v in values)


def _cell(column: pd.Series, position: int) -> str:
    return f"row {column.index[position] + 2}, column {column.name!r}: {str(column.iloc[position])!r}"


def check_samples(
    path: Path | str, text: Mapping[str, np.ndarray], rows: Sequence[int], columns: Mapping[str, str] | None = None
) -> None:
    """Raise `InputError` unless methods can be compared on samples of these labels, ids, groups and parts.

    Args:
        path: where they come from, for errors.
        text: column -> shape (n,); "label", and "id", "group", "split" where given.
        rows: numbers of the samples, for errors.
        columns: what each of them is called there; None calls them so.
    """
    labels, title = text["label"], columns or dict(zip(ROLES, ROLES, strict=True))
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    if not len(names):
        raise InputError(
            f"{path}: column {title['label']!r} is blank in all {len(labels)} rows: expected each sample's class"
        )
    if len(names) < 2:
        raise InputError(
            f"{path}: column {title['label']!r} shows one class only, {str(names[0])!r}: expected at least two"
        )
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
                raise InputError(f"{path}, row {row}, column {title[name]!r}: {str(value)!r} is not {wanted}")
    if "split" in text:
        _check_parts(path, labels, text["split"])


def _check_parts(path: Path | str, labels: np.ndarray, parts: np.ndarray) -> None:
    for part in PARTS:
        if not (labels[parts == part] != "").any():
            raise InputError(f"{path}: column 'split' puts no labelled sample into {part!r}: expected some")
    untrained = np.setdiff1d(labels[labels != ""], labels[parts == "train"])
    if len(untrained):
        raise InputError(f"{path}: class {str(untrained[0])!r} has no sample with split 'train': expected some")
