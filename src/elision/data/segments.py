"""Segments of a store as a PyTorch data set, whose batches carry observed rows only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from elision.batch import Batch
from elision.data.sharing import Sent, own_arena, size_of
from elision.data.store import Store
from elision.errors import InputError
from elision.kinds import Allocate


@dataclass(frozen=True, eq=False)
class Segment:
    """One window of one sample; nothing is read before it is put into a batch.

    Args:
        whole: the segments that it belongs to.
        position: among them.
    """

    whole: "Segments"
    position: int


class Segments(Dataset[Segment]):
    """The windows of some samples: item i is window ``windows[i % W]`` of sample ``samples[i // W]``, W windows each.

    An image and features are the same in each window of a sample. Nothing of a modality is read or decoded where
    ``observed`` says that it is missing. For a DataLoader, with `collate`.

    Args:
        store: opened; each worker process maps its shards itself.
        samples: indices into the store, shape (n,).
        observed: modality -> which of the store's samples show it, shape (len(store),), bool: the store's own masks or
            fewer, as `elision.data.missing.remove` gives them. A modality left out is left out of the batches.
        windows: which, such as ``range(30)``; None takes all.

    Raises:
        InputError: a modality, sample or window that the store does not have.
    """

    def __init__(
        self,
        store: Store,
        samples: np.ndarray,
        observed: Mapping[str, np.ndarray] | None = None,
        windows: Sequence[int] | None = None,
    ) -> None:
        self.store = store
        self.samples = np.asarray(samples, dtype=np.int64)
        most = max((modality.windows for modality in store.info.modalities.values()), default=1)
        self.windows = tuple(range(most) if windows is None else windows)
        masks = store.observed if observed is None else observed
        _check(store, self.samples, masks, self.windows)
        self.observed = {m: np.asarray(mask)[self.samples] for m, mask in masks.items()}
        self._labels = store.codes[self.samples]
        self._ranks = {m: np.cumsum(mask) - 1 for m, mask in self.observed.items()}

    def __len__(self) -> int:
        return len(self.samples) * len(self.windows)

    def __getitem__(self, position: int) -> Segment:
        if not -len(self) <= position < len(self):
            raise IndexError(f"segment {position} of {len(self)}")
        return Segment(self, int(position) % len(self))

    @property
    def labels(self) -> Tensor:
        """Class of each segment, -1 where there is none; shape (len,), int64."""
        return torch.from_numpy(np.repeat(self._labels, len(self.windows)))

    def batch(self, positions: Sequence[int], empty: Allocate | None = None) -> Batch:
        """Return the given segments as a batch, in the given order.

        Args:
            positions: among all.
            empty: (shape, dtype) -> memory for rows; None takes new memory.

        Returns:
            Frames and images uint8 (n_m, 3, height, width) in channels-last memory, spectrograms float32
            (n_m, 1, bands, frames), features float32 (n_m, d), NaN where a cell was blank; ``source[m]`` is where each
            row stands among all rows of modality m that these segments have.
        """
        at = np.asarray(positions, dtype=np.int64)
        samples, windows = np.divmod(at, len(self.windows))
        inputs, rows, source = {}, {}, {}
        for m, mask in self.observed.items():
            shown = np.flatnonzero(mask[samples])
            where, when = samples[shown], windows[shown]
            inputs[m] = self._read(m, self.samples[where].tolist(), [self.windows[w] for w in when], empty)
            rows[m] = torch.from_numpy(shown)
            source[m] = torch.from_numpy(self._ranks[m][where] * len(self.windows) + when)
        return Batch(inputs, rows, torch.from_numpy(self._labels[samples]), source)

    def room(self, n: int) -> int:
        """Return the bytes that the rows of n segments need where nothing is missing."""
        shown = {m: self.store.info.modalities[m] for m in self.observed}
        return size_of({m: ((n, *v.form.memory(v)), v.form.torch_dtype) for m, v in shown.items()})

    def _read(self, m: str, samples: Sequence[int], windows: Sequence[int], empty: Allocate | None) -> Tensor:
        modality = self.store.info.modalities[m]
        read = (self.store.window(sample, m, window) for sample, window in zip(samples, windows, strict=True))
        return modality.form.rows(len(samples), read, modality, empty)


def collate(segments: Sequence[Segment]) -> Batch | Sent:
    """Decode segments of one `Segments` and return them as a batch, for a DataLoader; see `Segments.batch`.

    In a worker process the batch lies in memory that is used again, see `elision.data.sharing`; what the DataLoader
    gives is a `Batch` always.
    """
    whole, positions = segments[0].whole, [segment.position for segment in segments]
    if get_worker_info() is None:
        return whole.batch(positions)
    slot = own_arena(whole.room(len(segments))).claim()
    if slot is None:
        return whole.batch(positions)
    try:
        return slot.send(whole.batch(positions, slot.empty))
    except BaseException:
        slot.release()
        raise


def _check(store: Store, samples: np.ndarray, observed: Mapping[str, np.ndarray], windows: Sequence[int]) -> None:
    if len(samples) and not 0 <= samples.min() <= samples.max() < len(store):
        raise InputError(f"samples {samples.min()} to {samples.max()} of a store of {len(store)}: expected its indices")
    for m, mask in observed.items():
        if m not in store.info.modalities:
            raise InputError(f"the store has no modality {m!r}: expected some of {', '.join(store.info.modalities)}")
        if np.shape(mask) != (len(store),):
            raise InputError(f"the mask of {m!r} has shape {np.shape(mask)}: expected one per sample, {(len(store),)}")
        if (mask & ~store.observed[m]).any():
            raise InputError(f"the mask of {m!r} shows samples in which the store lacks it: expected fewer, not more")
        most = store.info.modalities[m].windows
        if not windows or min(windows) < 0 or (most > 1 and max(windows) >= most):
            raise InputError(f"windows {list(windows)}: expected some of 0 to {most - 1}, which modality {m!r} has")
