"""What the processes that train one model together must share, so that n of them learn what one would."""

from abc import ABC, abstractmethod

from torch import Tensor

from elision.bank import Packed
from elision.batch import Batch
from elision.fusion import Fusion
from elision.likelihood import mean


class Across(ABC):
    """Reaches over all processes, each of which holds its own part of the samples.

    Values are those of one process that holds all samples. Gradients are such that their average over the processes,
    which is what data parallel training takes, is that one process's gradient.
    """

    @abstractmethod
    def total(self, n: int) -> int:
        """A number of rows, summed over the processes."""

    @abstractmethod
    def mean(self, values: Tensor) -> Tensor:
        """Over the first axis, of all processes' values; 0 if there are none."""

    @abstractmethod
    def marginals(self, fusion: Fusion, bank: Packed) -> Packed:
        """`Fusion.marginals` of the bank of which each process holds a part: only marginals travel, not the bank."""

    @abstractmethod
    def rows(self, x: Tensor) -> list[Tensor]:
        """Return every process's rows, (n, ...) each."""

    @abstractmethod
    def gather(self, features: Batch) -> Batch:
        """All processes' samples in one batch; its inputs are features, (n_m, k)."""

    @abstractmethod
    def tie(self, loss: Tensor, marginals: Packed) -> Tensor:
        """Return the loss as it is, made to depend on what came from other processes even where it does not."""


class Alone(Across):
    """One process: nothing to reach for."""

    def total(self, n: int) -> int:
        """Return n: there is no other process."""
        return n

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the first axis."""
        return mean(values)

    def marginals(self, fusion: Fusion, bank: Packed) -> Packed:
        """Return the marginals of the bank."""
        return fusion.marginals(bank)

    def rows(self, x: Tensor) -> list[Tensor]:
        """Return the rows of the one process."""
        return [x]

    def gather(self, features: Batch) -> Batch:
        """Return the same batch."""
        return features

    def tie(self, loss: Tensor, marginals: Packed) -> Tensor:
        """Return the loss as it is."""
        return loss


ALONE = Alone()
"""The one process of most trainings."""
