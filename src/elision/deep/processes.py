"""Several processes that train one model: n of them learn what one would on the same batch.

Every process computes the loss of the global batch from its own rows and from what the others send. A sum over the
processes, as `_AllReduce` and `_AllGather` take it, has as its gradient the sum of the gradients of all processes'
losses, n times that of one; data parallel training averages over the n processes, which leaves one.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor

from elision.bank import Packed
from elision.batch import Batch
from elision.fusion import Fusion
from elision.methods.across import ALONE, Across


class Together(Across):
    """All processes of torch's default group."""

    def total(self, n: int) -> int:
        """Summed over the processes."""
        return sum(self._counts([n])[:, 0].tolist())

    def mean(self, values: Tensor) -> Tensor:
        """Over the first axis, of all processes' values."""
        return _AllReduce.apply(values.sum(0) + _anchor(values)) / max(self.total(len(values)), 1)

    def marginals(self, fusion: Fusion, bank: Packed) -> Packed:
        """Each process's marginals travel: K numbers a modality where there is a closed form, else features."""
        sizes = self._counts([len(features) for features in bank.values()])
        own = fusion.marginals(bank)
        return {m: fusion.join(self.rows(own[m]), sizes[:, i]) for i, m in enumerate(own)}

    def gather(self, features: Batch) -> Batch:
        """All processes' samples, process by process."""
        sizes = self._counts([len(features)])[:, 0]
        starts = (sizes.cumsum(0) - sizes).tolist()
        inputs = {m: torch.cat(self.rows(x)) for m, x in features.inputs.items()}
        rows = {m: self._shifted(r, starts) for m, r in features.rows.items()}
        labels = torch.cat(self.rows(features.labels))
        source = {m: torch.arange(len(r), device=r.device) for m, r in rows.items()}
        return Batch(inputs, rows, labels, source)

    def tie(self, loss: Tensor, marginals: Packed) -> Tensor:
        """Whoever does not run the backward of an exchange keeps the others waiting for ever."""
        return loss + 0 * sum(x.sum() for x in marginals.values())

    def _shifted(self, rows: Tensor, starts: Sequence[int]) -> Tensor:
        return torch.cat([part + start for part, start in zip(self.rows(rows), starts, strict=True)])

    def _counts(self, counts: Sequence[int]) -> Tensor:
        """Every process's numbers, shape (processes, len(counts))."""
        return torch.stack(_exchange(torch.tensor(counts)))

    def rows(self, x: Tensor) -> list[Tensor]:
        """Every process's rows, (n_r, ...) each, of which there may be more here than there."""
        sizes = self._counts([len(x)])[:, 0].tolist()
        longest = max(sizes)
        padded = torch.cat([x, x.new_zeros(longest - len(x), *x.shape[1:])])
        gathered = _AllGather.apply(padded, _anchor(x)) if x.is_floating_point() else _exchange(padded)
        return [part[:n] for part, n in zip(gathered, sizes, strict=True)]


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _summed(grad)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, anchor: Tensor) -> tuple[Tensor, ...]:
        return tuple(_exchange(x))

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        return _summed(torch.stack(grads))[dist.get_rank()], None


def _summed(x: Tensor) -> Tensor:
    total = x.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=_group(dist.group.WORLD))
    return total.to(x.device)


def _exchange(x: Tensor) -> list[Tensor]:
    """The tensors of this shape that all processes hold, in the order of the processes."""
    own = x.detach().cpu().contiguous()
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own, group=_group(dist.group.WORLD))
    return [part.to(x.device) for part in parts]


@cache
def _group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """A group of its own, over the CPU: in a backward pass data parallel training exchanges gradients too, and which
    comes first may differ from process to process."""
    return dist.new_group(backend="gloo")


def _anchor(like: Tensor) -> Tensor:
    """A zero that wants a gradient: a process whose rows want none must take part in the backward all the same."""
    return torch.zeros((), dtype=like.dtype, device=like.device, requires_grad=torch.is_grad_enabled())


def across() -> Across:
    """Everyone, if processes have joined; this process alone otherwise."""
    return Together() if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1 else ALONE


def rank() -> int:
    """This process among all that train together, also before they have joined (torchrun's and Lightning's names)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return int(os.environ.get("RANK", int(os.environ.get("LOCAL_RANK", "0")) or int(node)))


def count() -> int:
    """Processes that have joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def any_of(flag: bool) -> bool:
    """Return whether a flag is set in any process; every process must ask."""
    return across().total(int(flag)) > 0


def touch(loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """The loss as it is, made to depend on all parameters where several processes train.

    Data parallel training waits for the gradient of each of them in every process, and a process whose batch lacks a
    modality, or is empty, has none to give.
    """
    return loss + 0 * sum(p.sum() for p in parameters if p.requires_grad) if count() > 1 else loss


@torch.no_grad()
def gather_parts(x: Tensor) -> list[Tensor]:
    """Every process's rows, without gradient; every process must ask."""
    return Together().rows(x.detach()) if count() > 1 else [x]


def gather_rows(x: Tensor) -> Tensor:
    """All processes' rows, process by process, without gradient; every process must ask."""
    return torch.cat(gather_parts(x))
