"""What is asked of a served model: samples of some modalities, from JSON or from a form's parts."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elision.errors import InputError, quoted

MOST_SAMPLES = 1000
"""Samples that one request may ask about."""
EXAMPLE = '{"modalities": {"NAME": [1.0, 2.0]}}'
_MEMBERS = ("id", "modalities")


@dataclass(frozen=True)
class Taken:
    """Say what a modality is sent as.

    Args:
        takes: "numbers" or "recording".
        shape: of a sample's cells.
        columns: their names, where they have names.
        categories: position of a column that holds no number -> the values that training showed.
        typical: the training samples' mean of each column, where it is known and one.
    """

    takes: str
    shape: list[int] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)
    typical: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class NewSample:
    """Hold what somebody sent of a sample.

    Args:
        id: of their choice, or its position.
        numbers: modality -> its value as JSON has it.
        recordings: modality, or "recording" for what a video shows and sounds -> a file of ours with what was sent.
    """

    id: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    recordings: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """Ask about samples.

    Args:
        samples: at least one.
        coverage: with which probability a set of classes is to hold the truth; None is the usual one.
    """

    samples: Sequence[NewSample]
    coverage: float | None = None


def read_json(text: bytes | str, where: str = "the body") -> Any:
    """Return the value of a JSON text that says nothing twice and no number that is none.

    Raises:
        InputError: it is no such text.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except InputError as error:
        raise InputError(f"{where} {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply to be read: expected JSON such as {EXAMPLE}") from error
    except ValueError as error:
        raise InputError(f"{where} is no JSON: {error}; expected such as {EXAMPLE}") from error


def read_question(body: bytes) -> Question:
    """Read a JSON body: one sample, or "samples": a list of them.

    Raises:
        InputError: it asks nothing that can be understood.
    """
    if not body.strip():
        raise InputError(f"the body is empty: expected JSON such as {EXAMPLE}")
    asked = read_json(body)
    if not isinstance(asked, dict):
        raise InputError(f"the body is a JSON {_type(asked)}: expected an object such as {EXAMPLE}")
    coverage = asked.pop("coverage", None)
    if "samples" in asked and set(asked) - {"samples"}:
        beside = min(set(asked) - {"samples"})
        raise InputError(f"the body has 'samples' and {beside!r} beside it: put that into each sample")
    samples = asked.get("samples", [asked])
    if not isinstance(samples, list) or not samples:
        raise InputError("'samples' is no list of samples: expected one at least")
    return _question([_sample(i, s) for i, s in enumerate(samples)], coverage)


def read_parts(parts: Iterable[tuple[str, str | Path]], modalities: Sequence[str]) -> Question:
    """Read the parts of a form: a part is a modality, text of JSON for numbers, a file for a recording.

    Args:
        parts: (name, text or file); the name is a modality, "recording", or either of them after a sample's id and a
            slash: several samples are asked about so.
        modalities: that the model has, whose names may hold slashes too.

    Raises:
        InputError: a modality is given twice, or there is no part.
    """
    given: dict[str, tuple[dict[str, Any], dict[str, Path]]] = {}
    coverage = None
    for name, content in parts:
        if name == "coverage" and isinstance(content, str):
            coverage = read_json(content, "coverage")
            continue
        sample, slash, m = name.partition("/") if name not in modalities else ("0", "", name)
        sample, m = (sample, m) if slash else ("0", name)
        numbers, recordings = given.setdefault(sample, ({}, {}))
        if m in numbers or m in recordings:
            raise InputError(f"modality {m!r} is given twice{_of(sample, slash)}: give it once")
        if isinstance(content, str):
            numbers[m] = read_json(content, f"modality {m!r}{_of(sample, slash)}")
        else:
            recordings[m] = content
    if not given:
        raise InputError("the form has no part: expected one for each modality that the sample shows")
    return _question([NewSample(name, *both) for name, both in given.items()], coverage)


def read_value(value: Any, taken: Taken, where: str) -> np.ndarray:
    """Return what was sent of a modality as numbers in the model's order, NaN for null, in the shape of a row.

    A category is its place among those that training showed.

    Args:
        value: as JSON has it: a list, or an object of columns, or a cell where there is one only.
        taken: what is expected of the modality.
        where: what it is, for errors.

    Raises:
        InputError: it has another shape, or a cell that cannot be one.
    """
    columns, shape = taken.columns, taken.shape
    if isinstance(value, dict):
        if not columns:
            raise InputError(
                f"{where} is an object, and its columns have no names: expected a list of shape {tuple(shape)}"
            )
        unknown = [c for c in value if c not in columns]
        lacking = [c for c in columns if c not in value]
        if unknown or lacking:
            wrong = f"has {unknown[0]!r}, which is no column of it" if unknown else f"lacks column {lacking[0]!r}"
            raise InputError(f"{where} {wrong}: expected {quoted(columns, 8)}, null where a value is missing")
        value = [value[c] for c in columns]
    elif not isinstance(value, list):
        value = [value]
    cells = np.array(value, dtype=object)
    if cells.shape != tuple(shape):
        named = f" ({quoted(columns, 8)})" if columns else ""
        raise InputError(f"{where} has shape {cells.shape}: expected {tuple(shape)}{named}")
    known = {int(place): values for place, values in taken.categories.items()}
    flat = enumerate(cells.ravel().tolist())
    read = [_place(c, known[i], where) if i in known else _number(c, where) for i, c in flat]
    return np.array(read).reshape(cells.shape)


def _sample(position: int, sample: Any) -> NewSample:
    where = f"sample {position}"
    if not isinstance(sample, dict) or set(sample) - set(_MEMBERS) or "modalities" not in sample:
        found = f"is a {_type(sample)}"
        if isinstance(sample, dict):
            found = f"has {', '.join(map(repr, sample)) or 'nothing'}"
        raise InputError(f"{where} {found}: expected 'modalities' and, if you like, 'id'; such as {EXAMPLE}")
    if not isinstance(sample["modalities"], dict):
        raise InputError(f"'modalities' of {where} is a {_type(sample['modalities'])}: expected name -> value")
    name = sample.get("id", str(position))
    if not isinstance(name, (str, int)):
        raise InputError(f"'id' of {where} is a {_type(name)}: expected a text")
    return NewSample(str(name), sample["modalities"])


def _question(samples: Sequence[NewSample], coverage: Any) -> Question:
    if len(samples) > MOST_SAMPLES:
        raise InputError(f"{len(samples)} samples are asked about at once: expected at most {MOST_SAMPLES}")
    ((name, times),) = Counter(sample.id for sample in samples).most_common(1)
    if times > 1:
        raise InputError(f"id {name!r} is given to {times} samples: expected unique ids")
    if coverage is not None and (not isinstance(coverage, (int, float)) or isinstance(coverage, bool)):
        raise InputError(f"coverage is a {_type(coverage)}: expected a number between 0 and 1, such as 0.9")
    return Question(samples, coverage)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InputError(f"gives {twice!r} twice: give it once")
    return values


def _no_number(text: str) -> None:
    raise InputError(f"holds {text}, which is no number of JSON: write null where a value is missing")


def _number(cell: Any, where: str) -> float:
    if cell is None:
        return math.nan
    if not isinstance(cell, (int, float)):
        raise InputError(f"{where} holds a {_type(cell)}: expected numbers, null where one is missing")
    try:
        number = float(cell)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where} holds a number beyond 1.8e308: expected finite numbers, null where one is missing")
    return number


def _place(cell: Any, values: Sequence[str], where: str) -> float:
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    if cell is None or text in values:
        return math.nan if cell is None else float(values.index(text))
    raise InputError(f"{where} holds {cell!r}: training showed there {quoted(values, 8)}; null where it is missing")


def _of(sample: str, slash: str) -> str:
    return f" of sample {sample!r}" if slash else ""


def _type(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
