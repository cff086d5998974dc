"""What measuring a missing modality is worth, before it is measured.

With S shown, m missing, and y running over the rows of the bank of m, the model itself says what would be seen and
what would then be believed:

    joint weight        a(y, z)          = log R_Z(z) + s_{S+m}(z; y)
    bank posterior      log Q(y | x_S)   = logsumexp_z a(y, z) - logsumexp_{y, z} a(y, z)
    after measuring     Q(z | x_S, y)    = softmax_z a(y, z)
    coherence           Q(z | x_S)       = sum_y Q(y | x_S) Q(z | x_S, y)
    value, nats         H(Q(z | x_S)) - sum_y Q(y | x_S) H(Q(z | x_S, y)) = I(z; x_m | x_S) >= 0
    value, accuracy     sum_y Q(y | x_S) max_z Q(z | x_S, y) - max_z Q(z | x_S) >= 0

An average of members is a model too: its Q(y, z | x_S) is the average of the members' own, so that all of this holds
for it. Sums over y are taken in blocks, and no array of samples x bank x classes is ever built. All of it goes beyond
the paper.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

HEIGHT, WIDTH = 32, 256
"""Samples and bank rows that are looked at together: a block of 10 classes stays in a core's cache."""


class Outlook(ABC):
    """Q(y, z | x_S) of one model: what each sample would show if it were measured, and its class.

    Attributes:
        marginal: Q(z | x_S), the sum over y; shape (n, K).
        n_rows: N, of the bank.
    """

    marginal: Tensor
    n_rows: int

    @abstractmethod
    def block(self, samples: slice, rows: slice) -> Tensor:
        """Q(y, z | x_S) of some samples and some rows of the bank; shape (K, samples, rows)."""


class Factored(Outlook):
    """The outlook of an additive fusion, whose joint weight is a sum: a(y, z) = known(z) + table(y, z).

    Args:
        known: log R_Z(z) + s_S(z) without the measured modality's part; shape (n, K).
        table: that part for each row of the bank, f_m(y) . h_m(z); shape (N, K).
    """

    def __init__(self, known: Tensor, table: Tensor) -> None:
        highest = table.amax(0)
        self._rows = (table - highest).exp()
        totals = self._rows.sum(0)
        scaled = known + highest
        normaliser = torch.logsumexp(scaled + totals.log(), dim=1, keepdim=True)
        self._samples = (scaled - normaliser).exp()  # both factors are at most 1, whatever the scores
        self.marginal = self._samples * totals
        self.n_rows = len(table)

    def block(self, samples: slice, rows: slice) -> Tensor:
        """Multiply the two factors."""
        return self._samples[samples].T[:, :, None] * self._rows[rows].T[:, None, :]


class Enumerated(Outlook):
    """The outlook of any model, from its joint weights; they are computed twice.

    Args:
        weights: (samples, rows), two slices, to a(y, z) of shape (K, samples, rows).
        n: samples.
        n_rows: N.
    """

    def __init__(self, weights: Callable[[slice, slice], Tensor], n: int, n_rows: int) -> None:
        self._weights, self.n_rows = weights, n_rows
        marginals, normalisers = [], []
        for samples in _slices(n, HEIGHT):
            sums = torch.stack([weights(samples, rows).logsumexp(2) for rows in _slices(n_rows, WIDTH)]).logsumexp(0)
            normalisers.append(sums.logsumexp(0))
            marginals.append((sums - normalisers[-1]).exp().T)
        self._normaliser, self.marginal = torch.cat(normalisers), torch.cat(marginals)

    def block(self, samples: slice, rows: slice) -> Tensor:
        """Compute the joint weights once more, and normalise them."""
        return (self._weights(samples, rows) - self._normaliser[samples, None]).exp()


@dataclass(frozen=True)
class Worth:
    """Say what a measurement is expected to bring, for each sample.

    Args:
        nats: reduction of the label's entropy, I(z; x_m | x_S) >= 0; shape (n,).
        accuracy: gain in the probability of the most probable class, >= 0; shape (n,).
    """

    nats: Tensor
    accuracy: Tensor


def expected_value(outlooks: Sequence[Outlook], weights: Tensor) -> Worth:
    """Return what a measurement is worth to an average of models.

    Args:
        outlooks: of its members, over the same rows of the bank.
        weights: of the members for each sample, each column sums to 1; shape (members, n).

    Returns:
        Exact for the bank that the outlooks hold; rounding below 0 is cut off.
    """
    n, n_rows = weights.shape[1], outlooks[0].n_rows
    marginal = _total(w[:, None] * outlook.marginal for w, outlook in zip(weights, outlooks, strict=True))
    after, certainty = torch.zeros_like(weights[0]), torch.zeros_like(weights[0])
    for samples in _slices(n, HEIGHT):
        share = weights[:, samples, None]
        for rows in _slices(n_rows, WIDTH):
            joint = _total(w * outlook.block(samples, rows) for w, outlook in zip(share, outlooks, strict=True))
            after[samples] += torch.special.entr(joint).sum((0, 2)) - torch.special.entr(joint.sum(0)).sum(1)
            certainty[samples] += joint.amax(0).sum(1)
    nats = torch.special.entr(marginal).sum(1) - after
    return Worth(nats.clamp(min=0), (certainty - marginal.amax(1)).clamp(min=0))


def _total(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
