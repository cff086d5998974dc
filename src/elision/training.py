"""One training loop for every method: stages, mini-batches, early stopping on validation likelihood.

Plain PyTorch on purpose. A fit of small features is a few hundred steps of one to three milliseconds; what
Lightning's Trainer and Fabric add to that is measured in `benchmarks/training_loops.py` and written in
`benchmarks/RESULTS.md`. A method's stage is all that a loop needs, so a Trainer can drive the same stages.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from elision.batch import Batch
from elision.errors import InputError, TrainingError
from elision.methods.base import Method, Stage
from elision.rates import parameter_groups

FULL_BATCH_ROWS, MINI_BATCH = 4096, 256
VALIDATIONS = 60
"""Validations spread over a stage's steps."""


@dataclass(frozen=True)
class Schedule:
    """How a stage is optimised: Adam with L2 regularisation, under torch's `OneCycleLR`.

    The rate rises over the first tenth of the steps and falls to nearly nothing over the others, both by a cosine;
    Adam's first momentum goes the other way (Smith and Topin 2018).

    Args:
        max_steps: optimiser steps at most; None means 300, or 20 epochs of mini-batches if that is more.
        batch_size: None means all samples at once up to 4096 of them, and 256 beyond.
        learning_rate: at its peak, after the first tenth of the steps; of matrices of up to 128 inputs, wider ones
            take less, see `elision.rates`.
        weight_decay: L2 regularisation of all parameters.
        patience: validations without improvement after which a stage stops.
    """

    max_steps: int | None = None
    batch_size: int | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    patience: int = 15

    def steps(self, n_samples: int) -> tuple[int, int]:
        """(steps, batch size) for so many training samples."""
        size = self.batch_size or (n_samples if n_samples <= FULL_BATCH_ROWS else MINI_BATCH)
        size = min(size, n_samples)
        return self.max_steps or max(300, 20 * math.ceil(n_samples / size)), size


@dataclass(frozen=True)
class History:
    """What happened in a stage.

    Args:
        stage: its name.
        n_steps: the steps that were planned.
        batch_size: samples per step; None means all of them.
        validation: (steps taken, validation value) at each validation.
        best_step: the steps taken by the parameters that were kept.
    """

    stage: str
    n_steps: int
    batch_size: int | None
    validation: Sequence[tuple[int, float]]
    best_step: int


def train(
    method: Method,
    train: Batch,
    validation: Batch | None,
    schedule: Schedule,
    seed: int,
    follow: Sequence[History] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[History]:
    """Fit a method in place, and leave it settled, in evaluation mode, with its best parameters.

    Args:
        method: freshly built.
        train: all training samples.
        validation: samples for early stopping; None trains without.
        schedule: how to optimise.
        seed: keys the order of mini-batches and every draw in between (dropout, random tuples).
        follow: the histories of an earlier fit: each stage takes its schedule and batch size, and its best step is
            the last.
        progress: called with a stage's name and the fraction of its steps that is done.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    if not len(train.labelled):
        raise InputError("no training sample has a label: expected some")
    histories = []
    with torch.random.fork_rng(devices=_devices(train)):
        torch.manual_seed(seed)
        for index, stage in enumerate(method.stages(train)):
            before = follow[index] if follow else None
            histories.append(_run(method, stage, train, validation, schedule, seed, before, progress))
    return histories


def _run(method, stage, train, validation, schedule, seed, follow, progress) -> History:  # noqa: PLR0913
    n_samples = len(stage.samples)
    n_steps, batch_size = schedule.steps(n_samples)
    n_steps = math.ceil(stage.share * n_steps)
    if follow:
        n_steps, batch_size = follow.n_steps, min(follow.batch_size or n_samples, n_samples)
    last = follow.best_step if follow else n_steps
    groups = parameter_groups(method, stage.parameters, schedule.learning_rate)
    optimizer = torch.optim.Adam(groups, weight_decay=schedule.weight_decay, fused=True)
    warm_up = max(0.1, 2 / max(n_steps, 3))  # OneCycleLR divides by zero if a phase has no step
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=max(n_steps, 3), pct_start=warm_up
    )
    keeper = _BestKeeper(method, stage, validation, schedule.patience)
    if stage.bank:
        method.eval()  # the remembered features start without dropout
        stage.bank.refresh()
    every = max(n_steps // VALIDATIONS, 1)
    for step, batch in enumerate(_batches(stage.targets or train, stage.samples, batch_size, seed), start=1):
        method.train()
        optimizer.zero_grad(set_to_none=True)
        loss = stage.loss(batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of stage {stage.name!r} became {loss.item()} at step {step}: "
                f"lower the learning rate (now {schedule.learning_rate}), or look for extreme values in the data"
            )
        loss.backward()
        optimizer.step()
        rate.step()
        if validation is not None and (step % every == 0 or step == n_steps) and keeper.look(step):
            break
        if step == last:
            break
        if progress and step % every == 0:
            progress(stage.name, step / last)
    if progress:
        progress(stage.name, 1.0)
    best = keeper.finish(step)
    return History(stage.name, n_steps, None if batch_size == n_samples else batch_size, keeper.values, best)


def _batches(train: Batch, samples: Tensor, size: int, seed: int) -> Iterator[Batch]:
    """Mini-batches without end; the order of each epoch is keyed on (seed, epoch)."""
    if size == len(samples):
        everything = train.select(samples)
        while True:
            yield everything
    epoch = 0
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(samples), generator=generator).to(samples.device)
        for chosen in order.split(size):
            yield train.select(samples[chosen])
        epoch += 1


class _BestKeeper:
    """Remembers the parameters of the lowest validation value, and puts them back."""

    def __init__(self, method: Method, stage: Stage, validation: Batch | None, patience: int) -> None:
        self.method, self.stage, self.validation, self.patience = method, stage, validation, patience
        self.values: list[tuple[int, float]] = []
        self.best, self.best_step, self.state = math.inf, 0, None

    @torch.no_grad()
    def look(self, step: int) -> bool:
        """Validate; True when patience has run out."""
        self._settle()
        value = self.stage.validate(self.validation)
        if value is None:
            return False
        self.values.append((step, value))
        if value < self.best:
            self.best, self.best_step, self.state = value, step, copy.deepcopy(self.method.state_dict())
        return sum(s > self.best_step for s, _ in self.values) >= self.patience

    @torch.no_grad()
    def finish(self, step: int) -> int:
        """Settle with the best parameters; the steps that they took."""
        if self.state is not None:
            self.method.load_state_dict(self.state)
        self._settle()
        return self.best_step or step

    def _settle(self) -> None:
        self.method.eval()
        if self.stage.settle:
            self.stage.settle()


def _devices(batch: Batch) -> list[torch.device]:
    return [batch.labels.device] if batch.labels.device.type == "cuda" else []
