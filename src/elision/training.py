"""The one training loop: steps, validations, the best parameters, patience; `Loop` is it, for every method and stage.

Fits of small features (here) and trainings from recordings (`elision.deep.loop`) take their steps by it. What
Lightning's Fabric and Trainer would add to a fit of small features is measured in `benchmarks/training_loops.py`.
"""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from elision.batch import Batch
from elision.errors import InputError, TrainingError
from elision.fusion import Fusion
from elision.methods.base import Method, Stage
from elision.rates import Adam, one_cycle, parameter_groups

LEAST_STEPS, MOST_STEPS, EPOCHS, FULL_BATCH_ROWS, MINI_BATCH = 200, 4000, 20, 4096, 256
VALIDATIONS = 30
"""Validations spread over a stage's steps."""
_GENERATOR = threading.RLock()
"""Whoever holds it draws from torch's generator, of which all threads of a process have the same."""


@dataclass(frozen=True)
class Schedule:
    """Say how a stage is optimised: Adam with L2 regularisation, under torch's `OneCycleLR`.

    The rate rises over the first tenth of the steps and falls to nearly nothing over the others, both by a cosine;
    Adam's first momentum goes the other way (Smith and Topin 2018).

    Args:
        max_steps: optimiser steps at most; None means 20 epochs of mini-batches, at least 200 steps and at most
            4,000.
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
    patience: int = 8

    def steps(self, n_samples: int) -> tuple[int, int]:
        """(steps, batch size) for so many training samples."""
        size = self.batch_size or (n_samples if n_samples <= FULL_BATCH_ROWS else MINI_BATCH)
        size = min(size, n_samples)
        epochs = EPOCHS * math.ceil(n_samples / size)
        return self.max_steps or min(max(LEAST_STEPS, epochs), MOST_STEPS), size


@dataclass(frozen=True)
class History:
    """Say what happened in a stage.

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
    with seeded(seed, _devices(train)):
        for index, stage in enumerate(method.stages(train)):
            before = follow[index] if follow else None
            loop = _FeatureLoop(method, stage, train, validation, schedule, seed, before, progress)
            histories.append(loop.train())
    return histories


@contextmanager
def seeded(seed: int, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Key all of torch's draws inside on a seed, and leave its generator as it was; one thread at a time has it."""
    with _GENERATOR, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Progress:
    """Say where a stage stands, in plain numbers.

    Args:
        step: optimiser steps taken.
        best: lowest validation value so far.
        best_step: the step that it was reached at; None before the first validation.
        stale: validations since.
        finished: no step is left to take.
    """

    step: int = 0
    best: float = math.inf
    best_step: int | None = None
    stale: int = 0
    finished: bool = False

    def validated(self, value: float) -> Self:
        """Return where it stands after a validation."""
        if value < self.best:
            return replace(self, best=value, best_step=self.step, stale=0)
        return replace(self, stale=self.stale + 1)


P = TypeVar("P", bound=Progress)


class Loop(ABC, Generic[P]):
    """Train one stage of a method by `run`: subclasses say where batches come from and where the best is kept.

    Args:
        method: trained in place.
        stage: of the method.
        optimizer: of the stage's parameters.
        n_steps: optimiser steps at most.
        every: steps between two validations; the last step is followed by one in any case.
        patience: validations without improvement after which it stops; 0 is never.
        progress: where it begins.
    """

    def __init__(
        self,
        method: Method,
        stage: Stage,
        optimizer: "torch.optim.Optimizer | Adam",
        n_steps: int,
        every: int,
        patience: int,
        progress: P,
    ) -> None:
        self.method, self.stage, self.optimizer = method, stage, optimizer
        self.n_steps, self.every, self.patience, self.progress = n_steps, every, patience, progress
        self.stop = False

    def run(self) -> None:
        """Take steps until the last one, until patience runs out, or until a subclass sets ``stop``."""
        if self.progress.finished:
            return
        for batches in self.steps():
            self.set_rate(self.progress.step)
            self.optimizer.zero_grad(set_to_none=True)
            for batch in batches:
                self.method.train()
                self.learn(batch)
            self.take_step()
            self.progress = replace(self.progress, step=self.progress.step + 1)
            self.after_step()
            if self._is_due():
                self._validate()
            if self.progress.finished or self.stop:
                return

    def settle(self, exact: bool = True) -> None:
        """Make the method ready to predict with its present parameters; see `Stage.settle`."""
        self.method.eval()
        if self.stage.settle:
            with torch.no_grad():
                self.stage.settle(exact)

    def refresh(self) -> None:
        """Compute all remembered features again, without dropout."""
        if self.stage.bank:
            self.method.eval()
            self.stage.bank.refresh()

    @abstractmethod
    def steps(self) -> Iterator[Iterable[Batch]]:
        """Yield the batches of each optimiser step to come; their gradients are added up."""

    @abstractmethod
    def set_rate(self, step: int) -> None:
        """Give the optimiser the rate of its step, counted from 0."""

    @abstractmethod
    def learn(self, batch: Batch) -> None:
        """Add the gradient of a batch; raise `TrainingError` if its loss is no finite number."""

    def take_step(self) -> None:
        """Move the parameters."""
        self.optimizer.step()

    @abstractmethod
    def after_step(self) -> None:
        """Tell of a step, or write it down."""

    @abstractmethod
    def validate(self) -> float | None:
        """Return the value that is to be low; None where nothing can tell."""

    @abstractmethod
    def keep(self) -> None:
        """Keep the parameters as they are: none before were better."""

    def after_validation(self) -> None:
        """Tell of a validation, or write it down."""

    def _is_due(self) -> bool:
        return self.progress.step % self.every == 0 or self.progress.step == self.n_steps

    def _validate(self) -> None:
        value = self.validate()
        if value is not None:
            self.progress = self.progress.validated(value)
            if self.progress.best_step == self.progress.step:
                self.keep()
        over = self.progress.step >= self.n_steps or 0 < self.patience <= self.progress.stale
        self.progress = replace(self.progress, finished=over)
        self.after_validation()


class _FeatureLoop(Loop[Progress]):
    """Train a stage on features in memory; the best parameters are kept there too."""

    def __init__(self, method, stage, train, validation, schedule, seed, follow, progress) -> None:  # noqa: PLR0913
        n_samples = len(stage.samples)
        planned, self.batch_size = schedule.steps(n_samples)
        self.planned = math.ceil(stage.share * planned)
        if follow:
            self.planned, self.batch_size = follow.n_steps, min(follow.batch_size or n_samples, n_samples)
        last = follow.best_step if follow else self.planned
        groups = parameter_groups(method, stage.parameters, schedule.learning_rate)
        optimizer = Adam(groups, schedule.weight_decay)
        every = max(self.planned // VALIDATIONS, 1)
        super().__init__(method, stage, optimizer, last, every, schedule.patience, Progress())
        self.adam = optimizer
        self.clip = min((module.clip for module in method.modules() if isinstance(module, Fusion)), default=math.inf)
        self.samples, self.validation, self.seed, self.report = stage.targets or train, validation, seed, progress
        self.peak = schedule.learning_rate
        self.values: list[tuple[int, float]] = []
        self.state = None

    def train(self) -> History:
        """Take all steps, and put the best parameters back."""
        self.refresh()
        self.run()
        if self.report:
            self.report(self.stage.name, 1.0)
        if self.state is not None:
            self.method.load_state_dict(self.state)
        self.settle()
        everything = self.batch_size == len(self.stage.samples)
        best = self.progress.best_step or self.progress.step
        return History(self.stage.name, self.planned, None if everything else self.batch_size, self.values, best)

    def steps(self) -> Iterator[Iterable[Batch]]:
        return ([batch] for batch in _batches(self.samples, self.stage.samples, self.batch_size, self.seed))

    def set_rate(self, step: int) -> None:
        self.adam.factor, self.adam.beta = one_cycle(step, self.planned)

    def learn(self, batch: Batch) -> None:
        loss = self.stage.loss(batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of stage {self.stage.name!r} became {loss.item()} at step {self.progress.step + 1}: "
                f"lower the learning rate (now {self.peak}), or look for extreme values in the data"
            )
        loss.backward()

    def take_step(self) -> None:
        """Move the parameters, by a gradient no longer than the fusion allows."""
        if math.isfinite(self.clip):
            nn.utils.clip_grad_norm_(self.stage.parameters, self.clip)
        super().take_step()

    def after_step(self) -> None:
        if self.report and self._is_due() and self.progress.step < self.n_steps:
            self.report(self.stage.name, self.progress.step / self.n_steps)

    def validate(self) -> float | None:
        if self.validation is None:
            return None
        self.settle(exact=False)
        with torch.no_grad():
            value = self.stage.validate(self.validation)
        if value is not None:
            self.values.append((self.progress.step, value))
        return value

    def keep(self) -> None:
        self.state = {name: x.clone() for name, x in self.method.state_dict().items()}


def _batches(train: Batch, samples: Tensor, size: int, seed: int) -> Iterator[Batch]:
    """Yield mini-batches without end; the order of each epoch is keyed on (seed, epoch)."""
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


def _devices(batch: Batch) -> list[torch.device]:
    return [batch.labels.device] if batch.labels.device.type == "cuda" else []
