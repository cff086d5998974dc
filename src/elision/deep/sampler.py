"""The order of an epoch: in natural proportion, stratified, and a function of (seed, epoch) alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class BatchOrder:
    """Which segments make each batch of each epoch.

    Segments of every stratum (a pattern of modalities, labelled or not) are spread evenly over an epoch, so that each
    batch has as many of each as its size says, to within one. Where that leaves a batch without a complete segment
    though there are some, one is added to it.

    Args:
        strata: stratum of each segment at hand; 0 is that of complete, labelled ones; -1 is never drawn. Shape (n,).
        shares: the segments of one share are dealt among the batches by themselves; shape (n,), from 0 on.
        batch_size: segments per batch over all shares.
        total: segments that can be drawn, over all shares.
        per_epoch: segments in an epoch over all shares; None is all.
        seed: of every draw.
    """

    strata: np.ndarray
    shares: np.ndarray
    batch_size: int
    total: int
    per_epoch: int | None
    seed: int

    @property
    def n_batches(self) -> int:
        """Return how many batches an epoch has."""
        return max(-(-min(self.per_epoch or self.total, self.total) // self.batch_size), 1)

    def epoch(self, epoch: int, shares: Sequence[int]) -> list[np.ndarray]:
        """Return the batches of an epoch: of each the segments of the given shares."""
        dealt = [self._deal(epoch, share) for share in shares]
        return [np.concatenate(batch) for batch in zip(*dealt, strict=True)]

    def _deal(self, epoch: int, share: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, 3, epoch, share])
        kept_of_all = min(self.per_epoch or self.total, self.total) / max(self.total, 1)
        places, segments = [], []
        strata = np.where(self.shares == share, self.strata, -1)
        for stratum in np.unique(strata[strata >= 0]):
            members = rng.permutation(np.flatnonzero(strata == stratum))
            kept = members[: math.floor(kept_of_all * len(members) + rng.random())]
            places.append((np.arange(len(kept)) + rng.random()) / max(len(kept), 1))
            segments.append(kept)
        order = (
            np.concatenate(segments)[np.argsort(np.concatenate(places), kind="stable")]
            if segments
            else np.empty(0, int)
        )
        batches = np.array_split(order, self.n_batches)
        complete = rng.permutation(np.flatnonzero(strata == 0))
        return [self._with_complete(batch, complete, i) for i, batch in enumerate(batches)]

    def _with_complete(self, batch: np.ndarray, complete: np.ndarray, index: int) -> np.ndarray:
        if not len(complete) or (self.strata[batch] == 0).any():
            return batch
        return np.append(batch, complete[index % len(complete)])


def strata(observed: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return the stratum of each segment, a number for its pattern (n, M) and whether it has a label; 0 lacks nothing.

    Example:
        >>> strata(np.array([[True, True], [True, False]]), np.array([True, False]))
        array([0, 6])
    """
    bits = ~np.column_stack([observed, labelled])
    return bits @ (1 << np.arange(bits.shape[1]))


def deal(strata: np.ndarray, n_shares: int) -> np.ndarray:
    """Deal samples into shares, each with its part of every stratum; shape (n,), 0 to n_shares - 1."""
    shares = np.empty(len(strata), dtype=np.int64)
    shares[np.argsort(strata, kind="stable")] = np.arange(len(strata)) % n_shares
    return shares
