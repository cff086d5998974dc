"""Layouts: how a folder of recordings names its samples. None of them opens a recording."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from elision.data.recording import Problem, Recording


@dataclass(frozen=True)
class LayoutOptions:
    """What a user may choose.

    Args:
        all_emotions: RAVDESS: neutral and calm too, beside the six emotions of the paper.
        label_column: manifest: the column that holds the label.
    """

    all_emotions: bool = False
    label_column: str = "label"


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Args:
        recordings: sorted by id.
        problems: what does not follow the layout, sorted by file.
        features: numeric modality -> the names of its numbers.
        skipped: reason -> how many files were left out on purpose, such as RAVDESS's songs.
    """

    recordings: tuple[Recording, ...]
    problems: tuple[Problem, ...] = ()
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


Layout = Callable[[Path, LayoutOptions], Found]

LAYOUTS: dict[str, Layout] = {}
