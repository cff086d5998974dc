"""A recording, found but not read yet, and why one is set aside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Recording:
    """One sample of a source folder: which files and numbers show it.

    Args:
        id: unique in its source.
        label: its class; "" where there is none.
        group: such as the speaker; samples of one group can be kept together in a split; "" where not given.
        split: "train", "val" or "test"; "" where not given.
        sources: modality -> the file that shows it; "visual" and "audio" may name the same file.
        features: numeric modality -> its numbers, shape (d,); a missing modality is no key.
        start: seconds into its files, or None for their beginning.
        end: seconds into its files, or None for their end.
    """

    id: str
    label: str = ""
    group: str = ""
    split: str = ""
    sources: Mapping[str, Path] = field(default_factory=dict)
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Problem:
    """A recording or file that was set aside, and the reason.

    Args:
        id: of the recording, or "" where it has none.
        file: path relative to the source, or the row of the list of recordings.
        reason: a sentence for the user.
    """

    id: str
    file: str
    reason: str
