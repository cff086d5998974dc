"""Batches from worker processes through shared memory that is used again.

A fresh piece of shared memory per batch costs a page fault per 4 KiB, up to a third of the time that decoding takes.
Here a worker keeps a few slots. The process that receives a batch marks its slot as free once no tensor of the batch
is left; a worker that finds none free sends the batch as torch does by itself.
"""

import ctypes
import itertools
import math
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elision.batch import Batch
from elision.parallel.processes import is_running

SLOTS = 4
"""A worker's: two that wait to be fetched (torch's prefetch factor), one in use, one that is being filled."""
_ALIGNED = 64
_HEADER = 4096  # a flag per slot: 1 from the worker's claim until the receiver's release

_Key = tuple[int, int]
_numbers = itertools.count()
_own: dict[int, "Arena"] = {}


class Arena:
    """The slots of one worker, in one piece of shared memory.

    Args:
        size: bytes per slot.
    """

    def __init__(self, size: int) -> None:
        self.size = math.ceil(size / _HEADER) * _HEADER
        storage = torch.UntypedStorage._new_shared(_HEADER + SLOTS * self.size)  # as torch's default_collate does
        self.memory = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.memory[:_HEADER] = 0
        self.key = (os.getpid(), next(_numbers))
        self.announced = False
        self._flags = self.memory.numpy()

    def claim(self) -> "Slot | None":
        """Claim a slot that nobody uses, if there is one."""
        for number in range(SLOTS):
            if not self._flags[number]:
                self._flags[number] = 1
                return Slot(self, number)
        return None


class Slot:
    """A place for one batch; tensors are taken from it one after the other."""

    def __init__(self, arena: Arena, number: int) -> None:
        self.arena, self.number = arena, number
        self._start = self._next = _HEADER + number * arena.size

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return an uninitialised tensor in the slot; in memory of its own if the slot is full."""
        size = math.prod(shape) * dtype.itemsize
        begin, self._next = self._next, self._next + _aligned(size)
        if self._next > self._start + self.arena.size:
            return torch.empty(tuple(shape), dtype=dtype)
        return self.arena.memory[begin : begin + size].view(dtype).view(tuple(shape))

    def send(self, batch: Batch) -> "Sent | Batch":
        """Return what to send of a batch: its place here, or itself, with the slot freed, if it lies elsewhere."""
        whole = self.arena.memory.untyped_storage().data_ptr()
        if all(x.untyped_storage().data_ptr() == whole for x in batch.inputs.values()):
            return Sent(batch, self)
        self.release()
        return batch

    def release(self) -> None:
        """Mark the slot as free."""
        self.arena.memory[self.number] = 0


class Sent:
    """A batch in a worker's slot: pickled as the place of its inputs, unpickled as the batch."""

    def __init__(self, batch: Batch, slot: Slot) -> None:
        self._batch, self._slot = batch, slot

    def __reduce__(self) -> tuple[Any, ...]:
        arena, batch = self._slot.arena, self._batch
        memory = None if arena.announced else arena.memory
        arena.announced = True  # messages of one worker arrive in their order
        start = _HEADER + self._slot.number * arena.size
        inputs = {
            m: (x.storage_offset() * x.itemsize - start, x.dtype, tuple(x.shape), x.stride())
            for m, x in batch.inputs.items()
        }
        indices = [{m: x.numpy() for m, x in batch.rows.items()}, {m: x.numpy() for m, x in batch.source.items()}]
        return _receive, (arena.key, memory, arena.size, self._slot.number, inputs, *indices, batch.labels.numpy())


def own_arena(size: int) -> Arena:
    """Return this process's arena; ``size`` bytes a slot when it is first asked for."""
    pid = os.getpid()  # a forked process has none of its own yet
    if pid not in _own:
        _own.clear()
        _own[pid] = Arena(size)
    return _own[pid]


def size_of(shapes: Mapping[str, tuple[Sequence[int], torch.dtype]]) -> int:
    """Return the bytes of a slot for tensors of these shapes."""
    return sum(_aligned(math.prod(shape) * dtype.itemsize) for shape, dtype in shapes.values())


def _aligned(size: int) -> int:
    return math.ceil(size / _ALIGNED) * _ALIGNED


_arenas: dict[_Key, np.ndarray] = {}


def _receive(  # noqa: PLR0913
    key: _Key,
    memory: Tensor | None,
    size: int,
    number: int,
    inputs: Mapping[str, tuple[int, torch.dtype, tuple[int, ...], tuple[int, ...]]],
    rows: Mapping[str, np.ndarray],
    source: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> Batch:
    if memory is not None:
        _forget_the_dead()
        _arenas[key] = memory.numpy()
    whole = _arenas[key]
    place = (ctypes.c_uint8 * size).from_buffer(whole, _HEADER + number * size)
    release = weakref.finalize(place, _release, whole, number)  # `place` lives as long as any tensor that lies in it
    release.atexit = False
    content = np.frombuffer(place, np.uint8)

    def tensor(offset: int, dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        span = 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if math.prod(shape) else 0
        flat = torch.from_numpy(content[offset : offset + span * dtype.itemsize]).view(dtype)
        return flat.as_strided(shape, stride)

    def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        return {m: torch.from_numpy(array) for m, array in arrays.items()}

    places = {m: tensor(*described) for m, described in inputs.items()}
    return Batch(places, tensors(rows), torch.from_numpy(labels), tensors(source))


def _release(whole: np.ndarray, number: int) -> None:
    whole[number] = 0


def _forget_the_dead() -> None:
    """Let go of the memory of workers that ended; batches in it keep it until they go."""
    for key in [key for key in _arenas if not is_running(key[0])]:
        _arenas.pop(key, None)
