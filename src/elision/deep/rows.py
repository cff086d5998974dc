"""Rows that stay in the store until they are needed, in the place of a training set's tensors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from elision.bank import Rows
from elision.batch import Batch
from elision.data.segments import Segments

PIECE = 64
"""Rows that are read and encoded together where nothing is learnt from them."""


@dataclass(frozen=True)
class Reading:
    """The settings that rows are read with.

    Args:
        device: where they go.
        workers: loader processes.
        piece: rows at a time.
    """

    device: torch.device
    workers: int = 0
    piece: int = PIECE


class LazyRows(Rows):
    """Hold a training set's rows of one modality, (n_m, ...), in the store: they are read piece by piece.

    Args:
        segments: that show the modality and no other.
        modality: its name.
        positions: the segments whose rows these are, shape (n_m,).
        reading: how they are read.
    """

    def __init__(self, segments: Segments, modality: str, positions: np.ndarray, reading: Reading) -> None:
        self.segments, self.modality, self.positions, self.reading = segments, modality, positions, reading

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Tensor | slice, /) -> "LazyRows":
        """Return some of the rows, still unread."""
        where = index if isinstance(index, slice) else index.cpu().numpy()
        return LazyRows(self.segments, self.modality, self.positions[where], self.reading)

    def split(self, size: int, /) -> Iterator[Tensor]:
        """Yield the rows, read in order, at most ``size`` at a time and at most as many as the reading allows."""
        pieces = np.split(
            self.positions, range(min(size, self.reading.piece), len(self), min(size, self.reading.piece))
        )
        loader = DataLoader(
            _Pieces(self.segments, self.modality, pieces if len(self) else []),
            batch_size=None,
            num_workers=self.reading.workers if len(pieces) > 2 else 0,
            generator=torch.Generator(),
        )
        return (rows.to(self.reading.device) for rows in loader)


class _Pieces(torch.utils.data.Dataset[Tensor]):
    def __init__(self, segments: Segments, modality: str, pieces: list[np.ndarray]) -> None:
        self.segments, self.modality, self.pieces = segments, modality, pieces

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> Tensor:
        return self.segments.batch(self.pieces[index]).inputs[self.modality]


def lazy_batch(segments: Segments, reading: Reading) -> Batch[LazyRows]:
    """Return all segments as one batch whose inputs are `LazyRows`: what methods see of a training set."""
    width = len(segments.windows)
    shown = {m: np.flatnonzero(np.repeat(mask, width)) for m, mask in segments.observed.items()}
    inputs = {m: LazyRows(_only(segments, m), m, positions, reading) for m, positions in shown.items()}
    rows = {m: torch.from_numpy(positions).to(reading.device) for m, positions in shown.items()}
    source = {m: torch.arange(len(r), device=reading.device) for m, r in rows.items()}
    return Batch(inputs, rows, segments.labels.to(reading.device), source)


def _only(segments: Segments, modality: str) -> Segments:
    masks = np.zeros(len(segments.store), dtype=bool)
    masks[segments.samples] = segments.observed[modality]
    return Segments(segments.store, segments.samples, {modality: masks}, segments.windows)
