"""A batch holds the rows that were observed, and nothing in place of the others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor

from elision.bank import Rows
from elision.likelihood import UNLABELLED

_ROWS = 4096


R = TypeVar("R", bound=Rows)


@dataclass(frozen=True, eq=False)
class Batch(Generic[R]):
    """Hold samples of which each shows some modalities.

    Args:
        inputs: modality -> the rows in which it was observed, shape (n_m, ...), any dtype: tensors, or in a training
            set rows that are read when they are needed.
        rows: modality -> the sample of each of those rows, increasing, shape (n_m,), int64.
        labels: class indices, or -1 where there is no label; shape (n,), int64.
        source: modality -> where each row stands in the modality's array of the batch that this one was selected
            from, shape (n_m,), int64. Its own positions in a batch that was not selected from another.
        weights: how many samples each one counts as, above 0, shape (n,), float64; None counts each as one.

    Example:
        >>> seen = torch.tensor([True, False, True])
        >>> batch = Batch.pack({"x": torch.ones(3, 2)}, {"x": seen}, labels=torch.tensor([0, 1, 0]))
        >>> batch.inputs["x"].shape, batch.rows["x"]
        (torch.Size([2, 2]), tensor([0, 2]))
    """

    inputs: Mapping[str, R]
    rows: Mapping[str, Tensor]
    labels: Tensor
    source: Mapping[str, Tensor]
    weights: Tensor | None = None

    @staticmethod
    def pack(
        values: Mapping[str, Tensor],
        observed: Mapping[str, Tensor],
        labels: Tensor,
        weights: Tensor | None = None,
    ) -> "Batch[Tensor]":
        """Make a batch of dense arrays (n, ...) and masks (n,); what stands in an unobserved row is left behind."""
        rows = {m: observed[m].nonzero().squeeze(1) for m in values}
        inputs = {m: values[m][rows[m]] for m in values}
        source = {m: torch.arange(len(r), device=r.device) for m, r in rows.items()}
        return Batch(inputs, rows, labels, source, weights)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> int:
        """Return how many samples there are; unlike `len` it may stay a symbol, where the model is exported."""
        return self.labels.shape[0]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(self.inputs)

    @cached_property
    def positions(self) -> Mapping[str, Tensor]:
        """modality -> for each sample its row in ``inputs``, -1 where the modality is missing; shape (n,)."""
        absent = torch.full((self.size,), -1, device=self.labels.device)
        places = {m: torch.arange(rows.shape[0], device=rows.device) for m, rows in self.rows.items()}
        return {m: absent.index_copy(0, rows, places[m]) for m, rows in self.rows.items()}

    @cached_property
    def observed(self) -> Tensor:
        """Which samples show which modalities, in the order of ``modalities``; shape (n, M), bool."""
        return torch.stack([self.positions[m] >= 0 for m in self.modalities], dim=1)

    @property
    def complete(self) -> Tensor:
        """Indices of the samples that show every modality."""
        return self.observed.all(1).nonzero().squeeze(1)

    @property
    def labelled(self) -> Tensor:
        """Indices of the samples that have a label."""
        return (self.labels != UNLABELLED).nonzero().squeeze(1)

    def select(self, samples: Tensor) -> "Batch[R]":
        """Return the given samples, in the given order, as a batch of their own; ``samples``: indices, shape (b,)."""
        inputs, rows, source = {}, {}, {}
        for m in self.modalities:
            position = self.positions[m][samples]
            rows[m] = (position >= 0).nonzero().squeeze(1)
            source[m] = position[rows[m]]
            inputs[m] = self.inputs[m][source[m]]
        weights = None if self.weights is None else self.weights[samples]
        return Batch(inputs, rows, self.labels[samples], source, weights)

    def without(self, modality: str) -> "Batch[R]":
        """Return the same samples, ``modality`` missing in all of them."""
        none = {modality: self.rows[modality][:0]}
        emptied = {modality: self.inputs[modality][:0]}
        return replace(
            self, inputs={**self.inputs, **emptied}, rows={**self.rows, **none}, source={**self.source, **none}
        )

    def showing(self, shown: Tensor) -> "Batch[R]":
        """Return the same samples with only what ``shown`` lets through of what they show; shape (n, M), bool."""
        kept = {m: shown[rows, i] for i, (m, rows) in enumerate(self.rows.items())}
        inputs = {m: self.inputs[m][mask.nonzero().squeeze(1)] for m, mask in kept.items()}
        rows, source = ({m: part[m][mask] for m, mask in kept.items()} for part in (self.rows, self.source))
        return replace(self, inputs=inputs, rows=rows, source=source)

    def fill(self: "Batch[Tensor]", values: Mapping[str, Tensor]) -> "Batch[Tensor]":
        """Return the same samples made complete: ``values[m]``, shape (n, ...), where modality m is missing."""
        inputs = {m: values[m].index_copy(0, rows, self.inputs[m]) for m, rows in self.rows.items()}
        everything = dict.fromkeys(inputs, torch.arange(self.size, device=self.labels.device))
        return replace(self, inputs=inputs, rows=everything, source=everything)

    def map(self, functions: Mapping[str, "torch.nn.Module"]) -> "Batch[Tensor]":
        """Return the same samples, ``functions[m]`` applied to each modality's rows, some thousand at a time."""
        inputs = {m: torch.cat([functions[m](rows) for rows in x.split(_ROWS)]) for m, x in self.inputs.items()}
        return Batch(inputs, self.rows, self.labels, self.source, self.weights)

    def to(self: "Batch[Tensor]", device: torch.device | str, dtype: torch.dtype | None = None) -> "Batch[Tensor]":
        """Move the samples to another device, floating-point inputs to another precision."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, dtype if x.is_floating_point() else None)

        def every(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {m: move(x) for m, x in tensors.items()}

        weights = None if self.weights is None else self.weights.to(device)
        return Batch(every(self.inputs), every(self.rows), move(self.labels), every(self.source), weights)

    def weigh(self, features: Mapping[str, Tensor], chosen: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return features of the batch's rows, (n_m, k), with each row's log-weight as a further column, if any.

        The mean of exp over a modality's rows, with that column added to their scores, is the weighted mean.

        Args:
            features: modality -> (n_m, k).
            chosen: modality -> which rows these are, in any number and order; without an entry all in their order.
        """
        if self.weights is None:
            return dict(features)
        chosen = chosen or {}
        rows = {m: self.rows[m][chosen[m]] if m in chosen else self.rows[m] for m in features}
        shares = {m: self.weights[own] for m, own in rows.items()}
        logs = {m: (share / share.mean()).log()[:, None].to(features[m]) for m, share in shares.items()}
        return {m: torch.cat([x, logs[m]], dim=1) for m, x in features.items()}
