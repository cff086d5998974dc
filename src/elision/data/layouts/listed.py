"""Lists of recordings: tables whose cells are files and numbers."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from elision.data.layouts.found import Found, LayoutOptions, refusal
from elision.data.recording import Problem, Recording
from elision.data.samples import KEYWORDS
from elision.data.splits import PARTS
from elision.data.tables import parse_numbers, parse_text, read_table
from elision.errors import InputError

FILES = {"video": ("visual", "audio"), "image": ("image",), "audio": ("audio",)}
"""Column -> the modalities that its files show; the later column wins."""
TIMES = ("start", "end")
_LARGEST = float(np.finfo(np.float32).max)  # a store keeps float32


def listed(source: Path, options: LayoutOptions) -> Found:
    """A list of recordings: .csv or .parquet with a row per sample, or the folder of manifest.csv or manifest.parquet.

    Columns: ``label`` (or another, by option; blank: no label), ``id`` (unique; else the row's number), ``group``,
    ``split`` (train, val, test); ``video``, ``audio``, ``image`` with files, relative to the table and inside its
    folder; ``start`` and ``end``, the seconds of the files that count; and ``modality.feature`` with numbers. A video
    shows the modalities visual and audio; an audio file beside it is taken for the sound. Blank means missing. Without
    a column ``group``, rows of the same file are one group, so that a split keeps them together. Other columns are
    not used. The recordings are your own, under your own licence.

    Raises:
        InputError: the table as a whole cannot be used. What is wrong in a row is a problem of that row.
    """
    path = _table_in(source)
    text = (*filter(None, [options.label_column]), "id", "group", "split", *FILES)
    table = read_table(path, text, "a list of recordings (.csv or .parquet), or its folder", options.dialect)
    columns = _columns(path, list(table.columns), options.label_column)
    rows = _rows(path, table, columns)
    times = Counter(row.recording.id for row in rows)
    problems, recordings = [], []
    for row in rows:
        if times[row.recording.id] > 1:
            reason = f"{times[row.recording.id]} rows have this id: expected unique ids"
        else:
            reason = row.wrong
        if reason:
            problems.append(Problem(row.recording.id, f"{path.name}, row {row.number}", reason))
        else:
            recordings.append(row.recording)
    unused = {f"column {name!r} is not used": len(table) for name in columns.unused}
    if "group" not in table:
        recordings = _by_file(recordings)
    return Found(tuple(sorted(recordings, key=lambda r: r.id)), tuple(problems), columns.features, unused)


@dataclass(frozen=True)
class _Columns:
    label: str
    files: Sequence[str]
    numbers: Mapping[str, Sequence[str]]
    unused: Sequence[str]

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        """Numeric modality -> the names of its numbers."""
        return {m: tuple(name.partition(".")[2] for name in names) for m, names in self.numbers.items()}


@dataclass(frozen=True)
class _Row:
    number: int
    recording: Recording
    wrong: str


def _table_in(source: Path) -> Path:
    if not source.is_dir():
        return source
    tables = [path for suffix in ("csv", "parquet") if (path := source / f"manifest.{suffix}").is_file()]
    if len(tables) != 1:
        found = "both" if tables else "neither"
        raise InputError(f"{source} holds {found} of manifest.csv and manifest.parquet: expected one, or its path")
    return tables[0]


def _columns(path: Path, names: Sequence[str], label: str) -> _Columns:
    if label and label not in names:
        listed = ", ".join(map(repr, names[:20]))
        raise InputError(f"{path} has no column {label!r} for the label: it has {listed}")
    numbers, unused = defaultdict(list), []
    for name in map(str, names):
        modality, dot, feature = name.partition(".")
        if modality and dot and feature and name != label:
            numbers[modality].append(name)
        elif name not in (label, "id", "group", "split", *FILES, *TIMES):
            unused.append(name)
    files = [name for name in FILES if name in names and name != label]
    if not files and not numbers:
        listed = ", ".join(map(repr, names[:20]))
        raise InputError(
            f"{path} shows no modality: expected a column video, audio, image, or modality.feature; it has {listed}"
        )
    filed = {m for name in files for m in FILES[name]}
    for m in numbers:
        if m in filed or m in KEYWORDS:
            why = "that files show too" if m in filed else "a word that --missing keeps for itself"
            raise InputError(f"{path} has numbers of a modality {m!r}, {why}: rename their columns")
    return _Columns(label, files, dict(numbers), unused)


def _rows(path: Path, table: pd.DataFrame, columns: _Columns) -> list[_Row]:
    text = {name: parse_text(table[name]) for name in ("id", "group", "split", *columns.files) if name in table}
    labels = parse_text(table[columns.label]) if columns.label else [""] * len(table)
    numeric = [name for names in columns.numbers.values() for name in names] + [t for t in TIMES if t in table]
    parsed = {name: parse_numbers(path, table[name]) for name in numeric}
    width = len(str(len(table) + 1))
    rows = []
    for i, number in enumerate((table.index + 2).tolist()):
        cells = {name: str(values[i]) for name, values in text.items()}
        values = {name: float(found[i]) for name, (found, _) in parsed.items()}
        wrong = [name for name, (_, bad) in parsed.items() if bad[i] or abs(values[name]) > _LARGEST]
        recording = _recording(path.parent, cells, str(labels[i]), values, columns, f"row-{number:0{width}d}")
        reasons = [f"column {name!r}: {table[name].iloc[i]!s:.50} is not a finite number" for name in wrong[:1]]
        rows.append(_Row(number, recording, "; ".join([*reasons, *_wrong(recording, cells, path.parent, columns)])))
    return rows


def _recording(
    folder: Path, cells: Mapping[str, str], label: str, values: Mapping[str, float], columns: _Columns, number: str
) -> Recording:
    features = {m: tuple(values[name] for name in names) for m, names in columns.numbers.items()}
    return Recording(
        id=cells.get("id", number),
        label=label,
        group=cells.get("group", ""),
        split=cells.get("split", ""),
        sources={m: folder / cells[name] for name in columns.files if cells[name] for m in FILES[name]},
        features={m: numbers for m, numbers in features.items() if not all(map(math.isnan, numbers))},
        **{name: None if math.isnan(values.get(name, math.nan)) else values[name] for name in TIMES},
    )


def _by_file(recordings: Sequence[Recording]) -> list[Recording]:
    """Return recordings with those that share files in one group, named by its first; unchanged if none do."""
    number = {
        path: i for i, path in enumerate(dict.fromkeys(p.resolve() for r in recordings for p in r.sources.values()))
    }
    n = len(recordings)
    edges = [(i, n + number[path.resolve()]) for i, r in enumerate(recordings) for path in r.sources.values()]
    ones, ends = np.ones(len(edges)), np.array(edges, dtype=int).reshape(-1, 2)
    graph = coo_matrix((ones, ends.T), shape=(n + len(number), n + len(number)))
    component = connected_components(graph, directed=False)[1][:n].tolist()
    first: dict[int, str] = {}
    for c, recording in zip(component, recordings, strict=True):
        first.setdefault(c, recording.id)
    if len(first) == n:
        return list(recordings)
    return [replace(r, group=first[c]) for c, r in zip(component, recordings, strict=True)]


def _wrong(recording: Recording, cells: Mapping[str, str], folder: Path, columns: _Columns) -> Iterator[str]:
    if not recording.id:
        yield "column 'id' is blank: expected a name for each sample"
    if "group" in cells and not recording.group:
        yield "column 'group' is blank: expected the name of a group"
    if "split" in cells and recording.split not in PARTS:
        yield f"column 'split': {recording.split!r} is not one of {', '.join(PARTS)}"
    for name in columns.files:
        reason = refusal(folder / cells[name], folder) if cells[name] else ""
        if reason:
            yield f"column {name!r}: {cells[name]} {reason}"
    if not recording.sources and not recording.features:
        yield "shows no modality: all its cells are blank"
    start, end = recording.start or 0.0, math.inf if recording.end is None else recording.end
    if not 0 <= start < end:
        yield f"start {recording.start} and end {recording.end}: expected seconds, 0 or more, the end after the start"
