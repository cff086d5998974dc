"""The empirical marginals: averages over the bank of a modality, the training samples that show it.

`log_mean_exp_dot` is the one expensive average of the project. Every fusion's marginal is made of it, and it never
holds the (queries x bank) table of scores. While the encoders move, an estimate says what the bank's features are:
`ExactBank`, `MemoryBank` and `BatchBank`, in `BANKS`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**18
"""Scores, and numbers of keys, that `log_mean_exp_dot` looks at together: 1 MB in float32 stays in a core's cache."""

DRAWN_ROWS = 2**12
"""A step looks at so many remembered rows at most, drawn at random: more would make its cost grow with the data."""

EXACT_ROWS, EXACT_NUMBERS = 4096, 2**24
"""`auto` recomputes the bank exactly up to so many training samples, and so many input numbers in all."""

Packed = Mapping[str, Tensor]
"""modality -> a tensor with one row per sample that shows it, (n_m, ...)."""
Encode = Callable[[Packed], dict[str, Tensor]]
"""Packed inputs to packed features, modality -> (n_m, k)."""


@runtime_checkable
class Rows(Protocol):
    """Hold a training set's rows of one modality, (n_m, ...): a tensor, or what reads them when they are needed."""

    def __len__(self) -> int:
        """Return how many rows there are."""
        ...

    def __getitem__(self, index: Tensor | slice, /) -> Any:
        """Return some of the rows."""
        ...

    def split(self, size: int, /) -> Iterable[Tensor]:
        """Return the rows in order, at most ``size`` at a time."""
        ...


EncodeAll = Callable[[Mapping[str, Rows]], dict[str, Tensor]]
"""A training set's packed inputs to packed features, modality -> (n_m, k), some rows at a time."""
Total = Callable[[int], int]
"""A number of rows in this process to that in all processes that train together; `int` where there is one only."""


def log_mean_exp_dot(queries: Tensor, keys: Tensor) -> Tensor:
    """Return log( 1/N sum_j exp(q_i . k_j) ) for every query, without the table of the q_i . k_j.

    Equal to ``torch.logsumexp(queries @ keys.T, 1) - log(N)``. Works in blocks with a running maximum, and computes
    the scores again in the backward pass: memory O(Q + (Q + N) d), time close to its four matrix products.

    Args:
        queries: shape (Q, d).
        keys: the bank, shape (N, d), N >= 1.

    Returns:
        Shape (Q,). Half precision is computed as float32. Differentiable once.

    Example:
        >>> log_mean_exp_dot(torch.zeros(1, 2), torch.randn(5, 2))
        tensor([0.])
    """
    if len(keys) == 0:
        raise ValueError("the bank is empty: expected at least one row to average over, got 0")
    precise = torch.promote_types(queries.dtype, torch.float32)
    if len(queries) * len(keys) <= BLOCK:  # the table is one block: nothing is saved by not keeping it
        scores = queries.to(precise) @ keys.to(precise).T
        return (torch.logsumexp(scores, 1) - math.log(len(keys))).to(queries.dtype)
    return _LogMeanExpDot.apply(queries.to(precise), keys.to(precise)).to(queries.dtype)


class _LogMeanExpDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries: Tensor, keys: Tensor) -> Tensor:
        log_sums = torch.cat([_log_sum_exp(rows, keys) for rows in queries.split(_block_shape(queries)[0])])
        ctx.save_for_backward(queries, keys, log_sums)
        return log_sums - math.log(len(keys))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore
        queries, keys, log_sums = ctx.saved_tensors
        wants_queries, wants_keys = ctx.needs_input_grad
        grad_queries = torch.zeros_like(queries)
        grad_keys = torch.empty_like(keys) if len(queries) else torch.zeros_like(keys)
        height, width = _block_shape(queries)
        for start in range(0, len(queries), height):
            rows = slice(start, start + height)
            weighted = grad[rows, None] * queries[rows]
            shift = -log_sums[rows, None]
            for begin in range(0, len(keys), width):
                block = slice(begin, begin + width)
                share = torch.addmm(shift, queries[rows], keys[block].T).exp_()
                if wants_queries:
                    grad_queries[rows].addmm_(share, keys[block])
                if wants_keys:  # beta 0 overwrites
                    grad_keys[block].addmm_(share.T, weighted, beta=float(start > 0))
        return grad_queries.mul_(grad[:, None]) if wants_queries else None, grad_keys if wants_keys else None


def _block_shape(queries: Tensor) -> tuple[int, int]:
    """Return (queries, keys) of a block: neither its scores nor its keys hold more than `BLOCK` numbers."""
    height = max(min(len(queries), 512), 1)
    return height, max(min(BLOCK // height, BLOCK // max(queries.shape[1], 1)), 1)


def _log_sum_exp(queries: Tensor, keys: Tensor) -> Tensor:
    """Return log sum_j exp(q_i . k_j), by blocks of keys, each rescaled to the running maximum."""
    maximum = queries.new_full((len(queries), 1), -math.inf)
    total = queries.new_zeros((len(queries), 1))
    for block in keys.split(_block_shape(queries)[1]):
        scores = queries @ block.T
        higher = torch.maximum(maximum, scores.amax(1, keepdim=True))
        total = total * (maximum - higher).exp() + scores.sub_(higher).exp_().sum(1, keepdim=True)
        maximum = higher
    return (maximum + total.log()).squeeze(1)


class BankEstimate(ABC):
    """Stands for the bank's features at a training step, while the encoders move.

    Attributes:
        features: those remembered from step to step, modality -> (N_m, k); empty for an estimate without memory.
    """

    features: dict[str, Tensor]

    @abstractmethod
    def __call__(self, encode: Encode, inputs: Packed, source: Packed) -> tuple[Packed, Packed, Packed]:
        """Return the features of a mini-batch, those of the bank, and which rows of the training set the bank's are.

        The last has no entry for a modality of which the bank is all rows, in their order.

        Args:
            encode: the encoders.
            inputs: the mini-batch's packed inputs.
            source: where each of those rows stands in the training set's packed inputs.
        """

    def refresh(self) -> None:  # noqa: B027 what remembers nothing has nothing to do
        """Recompute whatever is remembered, with the encoders as they are."""


class ExactBank(BankEstimate):
    """Recomputes every feature of the bank, with gradient, at every step.

    Args:
        inputs: the training set's packed inputs.
        scaled: accepted for all estimates; nothing to scale here.
    """

    def __init__(self, encode: Encode, inputs: Packed, scaled: bool, total: Total = int) -> None:
        self.inputs, self.features = inputs, {}

    def __call__(self, encode: Encode, inputs: Packed, source: Packed) -> tuple[Packed, Packed, Packed]:
        """Return rows of the bank's features for the mini-batch's: nothing is encoded twice."""
        bank = encode(self.inputs)
        return {m: bank[m][source[m]] for m in bank}, bank, {}


class MemoryBank(BankEstimate):
    """Remembers the last features seen of every row, and takes fresh ones for the mini-batch's.

    Only fresh rows carry a gradient. With ``scaled`` it is multiplied by (bank rows / fresh rows), which makes it an
    unbiased estimate of the whole bank's: the joint objective's normaliser diverges without. The conditional
    objective trains better with plain gradients. Of more than `DRAWN_ROWS` remembered rows, so many are drawn anew at
    each step and stand beside the fresh ones.

    Args:
        encode: the encoders that the first memories, and those of a `refresh`, are made with.
        inputs: the training set's packed inputs.
        scaled: multiply the gradient as said.
        total: a number of rows here to the number in all processes that train together.
    """

    def __init__(self, encode: EncodeAll, inputs: Mapping[str, Rows], scaled: bool, total: Total = int) -> None:
        self.encode, self.inputs, self.scaled, self.total = encode, inputs, scaled, total
        self.features = {}

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode all of the bank; done by itself before the first step if nobody did."""
        self.features = {m: features.clone() for m, features in self.encode(self.inputs).items()}

    def __call__(self, encode: Encode, inputs: Packed, source: Packed) -> tuple[Packed, Packed, Packed]:
        """Store the fresh features for the steps to come."""
        if not self.features:
            self.refresh()
        fresh = encode(inputs)
        bank, rows = {}, {}
        for m, features in fresh.items():
            remembered, n = self.features[m], len(features)
            if len(remembered) <= DRAWN_ROWS:
                scale = self._scale(len(remembered), n)
                bank[m] = remembered.index_copy(0, source[m], _scale_gradient(features, scale))
                self.features[m] = bank[m].detach()
                continue
            drawn = torch.randint(len(remembered), (DRAWN_ROWS,), device=remembered.device)
            bank[m] = torch.cat([_scale_gradient(features, self._scale(DRAWN_ROWS + n, n)), remembered[drawn]])
            rows[m] = torch.cat([source[m], drawn])
            remembered.index_copy_(0, source[m], features.detach())
        return fresh, bank, rows

    def _scale(self, n_bank: int, n_fresh: int) -> float:
        return self.total(n_bank) / max(self.total(n_fresh), 1) if self.scaled else 1.0


class BatchBank(BankEstimate):
    """Takes the mini-batch's own rows for the bank: biased low by Jensen's inequality, kept for comparison."""

    def __init__(self, encode: EncodeAll, inputs: Mapping[str, Rows], scaled: bool, total: Total = int) -> None:
        self.features = {}

    def __call__(self, encode: Encode, inputs: Packed, source: Packed) -> tuple[Packed, Packed, Packed]:
        """Return the mini-batch's features, twice, and its rows."""
        features = encode(inputs)
        return features, features, source


BANKS: dict[str, Callable[..., BankEstimate]] = {"exact": ExactBank, "bank": MemoryBank, "batch": BatchBank}


def choose_bank(n_samples: int, n_numbers: int) -> str:
    """Return what `auto` means: `exact` up to `EXACT_ROWS` samples and `EXACT_NUMBERS` input numbers, else `bank`."""
    return "exact" if n_samples <= EXACT_ROWS and n_numbers <= EXACT_NUMBERS else "bank"


def _scale_gradient(x: Tensor, scale: float) -> Tensor:
    """Return x itself, its gradient multiplied by ``scale``."""
    return x.detach() + scale * (x - x.detach())
