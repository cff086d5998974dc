"""Shards: Arrow IPC files of one row per sample, whose bytes are a pure function of the rows."""

import hashlib
import io
import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from elision.errors import InputError
from elision.files import write_atomically

Value = list[bytes] | bytes | np.ndarray
"""Frames: a JPEG per window; an image: one JPEG; a spectrogram or features: numbers in the modality's shape."""

TEXT = ("id", "label", "group", "split")
_PREFIX = "modality."  # a modality may be called "id"


@dataclass(frozen=True)
class Modality:
    """What every sample that shows a modality has of it.

    Args:
        kind: "frames" (a JPEG per window), "image" (one JPEG), "spectrogram" (float16) or "features" (float32).
        shape: of one window, decoded: (3, height, width), (bands, frames) or (d,).
        windows: how many; 1 for an image and features, which every window of a sample shares.
    """

    kind: str
    shape: tuple[int, ...]
    windows: int = 1

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"a modality of kind {self.kind!r}: expected one of {', '.join(_KINDS)}")


@dataclass(frozen=True)
class Row:
    """A sample as it is stored.

    Args:
        id: unique in its store.
        label: "" where there is none; so with group and split.
        group: samples of one group can be kept together in a split.
        split: "train", "val", "test", or "".
        duration: seconds, or None where nothing was recorded over time.
        values: modality -> what it shows; a missing modality is no key.
    """

    id: str
    label: str = ""
    group: str = ""
    split: str = ""
    duration: float | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Shard:
    """A finished shard, as the store's manifest lists it.

    Args:
        file: its name in the store's folder.
        samples: how many rows.
        bytes: its size.
        sha256: of its content, 64 hexadecimal digits.
        labels: label -> how many rows have it, "" among them.
        observed: modality -> how many rows show it.
    """

    file: str
    samples: int
    bytes: int
    sha256: str
    labels: Mapping[str, int]
    observed: Mapping[str, int]


def write_shard(path: Path | str, rows: Sequence[Row], modalities: Mapping[str, Modality]) -> Shard:
    """Write rows as one Arrow IPC file, whole or not at all; the same rows give the same bytes.

    Args:
        path: a file, or an fsspec address such as ``s3://bucket/store/shard-00000.arrow``.
        rows: of the store's order.
        modalities: name -> what its values must look like.

    Raises:
        InputError: a value does not have its modality's shape, or there is no such modality.
    """
    for row in rows:
        _check(row, modalities)
    content = _encode(rows, modalities)
    if "://" in str(path):
        import fsspec

        with fsspec.open(str(path), "wb") as file:
            file.write(content)
    else:
        write_atomically(Path(path), content)
    observed = {m: sum(m in row.values for row in rows) for m in modalities}
    labels = dict(sorted(Counter(row.label for row in rows).items()))
    name = str(path).rsplit("/", 1)[-1]
    return Shard(name, len(rows), len(content), hashlib.sha256(content).hexdigest(), labels, observed)
