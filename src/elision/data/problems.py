"""The outcome of preparing a source, and problems.csv, which records what was set aside or is missing, and why."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elision.data.layouts.found import relative
from elision.data.recording import Problem, Recording
from elision.data.staging import Record
from elision.files import Address, join, read_file

PROBLEMS = "problems.csv"
_COLUMNS = ("id", "file", "modality", "reason", "outcome")
_SET_ASIDE, _MISSING, _USED = "set aside", "missing", "used"


@dataclass(frozen=True)
class Summary:
    """The outcome of preparing a source.

    Args:
        dest: the store.
        prepared: samples in the store.
        set_aside: recordings and files that are not in it, and why.
        missing: modalities that a sample in the store lacks although its recording names a file for it, and why.
        notes: modality -> samples in the store for which its file was not taken as usual, and in what.
        skipped: reason -> files left out on purpose.
        observed: modality -> samples that show it.
    """

    dest: Address
    prepared: int
    set_aside: tuple[Problem, ...] = ()
    missing: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    notes: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    observed: Mapping[str, int] = field(default_factory=dict)


def problem(record: Record, recording: Recording, root: Path) -> Problem:
    """Return why a recording was set aside; files are named relative to the source's ``root``."""
    files = [record.file] if record.file else sorted({str(path) for path in recording.sources.values()})
    return Problem(record.id, "; ".join(relative(Path(file), root) for file in files), record.problem)


def by_modality(
    records: Sequence[Record], said: Callable[[Record], Mapping[str, str]], names: Mapping[str, Recording], root: Path
) -> dict[str, tuple[Problem, ...]]:
    """Return for each modality the recordings used of whose file for it something is ``said``."""
    found: dict[str, list[Problem]] = {}
    for record in records:
        for m, reason in () if record.problem else said(record).items():
            file = relative(names[record.id].sources[m], root)
            found.setdefault(m, []).append(Problem(record.id, file, reason))
    return {m: tuple(problems) for m, problems in sorted(found.items())}


def table(
    set_aside: Sequence[Problem], missing: Mapping[str, Sequence[Problem]], notes: Mapping[str, Sequence[Problem]]
) -> bytes:
    """Return the content of problems.csv; in a line without a modality, the whole recording was set aside."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((p.id, p.file, "", p.reason, _SET_ASIDE) for p in set_aside)
    for outcome, listed in ((_MISSING, missing), (_USED, notes)):
        writer.writerows((p.id, p.file, m, p.reason, outcome) for m, problems in listed.items() for p in problems)
    return text.getvalue().encode("utf-8", "backslashreplace")


def read_problems(
    dest: Address,
) -> tuple[tuple[Problem, ...], dict[str, tuple[Problem, ...]], dict[str, tuple[Problem, ...]]]:
    """Read a store's problems.csv: what was set aside, and by modality what is missing, and what is notable."""
    try:
        content = read_file(join(dest, PROBLEMS)).decode("utf-8")
    except FileNotFoundError:
        return (), {}, {}
    set_aside, missing, notes = [], {}, {}
    for row in csv.DictReader(io.StringIO(content)):
        of_modality = notes if row.get("outcome") == _USED else missing
        kept = of_modality.setdefault(row["modality"], []) if row["modality"] else set_aside
        kept.append(Problem(row["id"], row["file"], row["reason"]))
    return tuple(set_aside), *({m: tuple(listed) for m, listed in each.items()} for each in (missing, notes))


def commonest(problems: Sequence[Problem]) -> str:
    """Return the most frequent reason with one of its files, and how frequent it is where there are other reasons."""
    (reason, count), *others = Counter(p.reason for p in problems).most_common()
    first = next(problem for problem in problems if problem.reason == reason)
    return f"{_said(first)} ({count} of {len(problems)})" if others else _said(first)


def _said(problem: Problem) -> str:
    return f"{problem.file or problem.id}: {problem.reason}"
