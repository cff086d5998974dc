"""The question to a layout and its answer, and what all layouts refuse."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from elision.data.formats import DETECTED, TableFormat
from elision.data.recording import Problem, Recording
from elision.errors import InputError

_SYSTEM = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class LayoutOptions:
    """The choices that a user has; ``dialect`` decides how a list is read, and nothing of the store.

    Args:
        all_emotions: ravdess: neutral and calm too, beside the six emotions of the paper.
        label_column: manifest: the column of the list of recordings that holds the label; "" reads none.
        dialect: manifest: how the list is written; which column is what is not asked of it.
    """

    all_emotions: bool = False
    label_column: str = "label"
    dialect: TableFormat = DETECTED


@dataclass(frozen=True)
class Found:
    """The recordings of a source.

    Args:
        recordings: sorted by id.
        problems: what cannot be used, in the order of the files' names or of the rows of the list of recordings.
        features: numeric modality -> the names of its numbers.
        skipped: reason -> how many files or rows were left out on purpose, such as RAVDESS's songs.
    """

    recordings: tuple[Recording, ...]
    problems: tuple[Problem, ...] = ()
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)


Layout = Callable[[Path, LayoutOptions], Found]
"""(source, options) -> what it holds."""


@dataclass(frozen=True)
class Named:
    """A file whose name says which sample it belongs to, and as what.

    Args:
        recording: the sample without its files.
        role: in the sample; two files of one role are one too many.
        path: of the file.
    """

    recording: Recording
    role: str
    path: Path


def walk(root: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield all files below a folder in the order of their names; links and what cannot be listed become problems.

    Hidden files and those that an operating system leaves behind are passed over.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder: expected the one that holds the recordings")

    def unlisted(error: OSError) -> None:
        problems.append(
            Problem("", relative(Path(error.filename), root), f"the folder cannot be read: {error.strerror}")
        )

    for folder, folders, files in os.walk(root, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in (n for n in folders if Path(folder, n).is_symlink()):
            where = relative(Path(folder, name), root)
            problems.append(
                Problem("", where, "is a link to a folder, which is not followed: put the folder itself there")
            )
        for name in sorted(files):
            if not name.startswith(".") and name.lower() not in _SYSTEM:
                yield Path(folder, name)


def refusal(path: Path, root: Path) -> str:
    """Return why a file cannot be used, or "": it leaves the root, links resolved; there is none; it cannot be read."""
    try:
        resolved = path.resolve(strict=True)
    except FileNotFoundError:
        return "does not exist"
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL in the name
        return f"cannot be reached: {error}"
    if not resolved.is_relative_to(root.resolve()):
        return "leads out of the source folder: copy the file into it"
    if not resolved.is_file():
        return "is not a file"
    return "" if os.access(resolved, os.R_OK) else "cannot be read: its permissions forbid it"


def relative(path: Path, root: Path) -> str:
    """Return a path relative to a folder, for people: with slashes, bytes that are no UTF-8 replaced."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(inside.as_posix()).decode("utf-8", "replace")


def gather(
    root: Path, files: Iterable[Named], modalities: Mapping[str, tuple[str, ...]], problems: list[Problem]
) -> tuple[Recording, ...]:
    """Return the samples that the files make together.

    A sample is left out as a whole if two files claim the same role in it, or if one of its files cannot be used.

    Args:
        root: the source.
        files: in any order.
        modalities: name -> the roles that can show it, the best first.
        problems: takes what is set aside.
    """
    samples: dict[str, list[Named]] = defaultdict(list)
    for file in files:
        samples[file.recording.id].append(file)
    kept = []
    for name, members in sorted(samples.items()):
        wrong = list(_wrong(root, members))
        problems += [Problem(name, relative(file.path, root), reason) for file, reason in wrong]
        if not wrong:
            paths = {file.role: file.path for file in members}
            shown = {m: next((paths[role] for role in roles if role in paths), None) for m, roles in modalities.items()}
            sources = {m: path for m, path in shown.items() if path}
            kept.append(replace(members[0].recording, sources=sources))
    return tuple(kept)


def _wrong(root: Path, files: Iterable[Named]) -> Iterator[tuple[Named, str]]:
    first: dict[str, Named] = {}
    for file in files:
        if file.role in first:
            other = relative(first[file.role].path, root)
            yield (
                file,
                f"is a second file for this sample, beside {other}, so the sample is left out: keep one of the two",
            )
        elif reason := refusal(file.path, root):
            yield file, reason
        first.setdefault(file.role, file)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems sorted by file, then by id."""
    return tuple(sorted(problems, key=lambda problem: (problem.file, problem.id)))
