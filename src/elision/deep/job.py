"""What a training is given, where it stands, and what it tells while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from elision.checkpoints import Checkpoint
from elision.config import TrainConfig
from elision.deep.build import Modules
from elision.deep.partition import StorePartition
from elision.run_folder import RunFolder
from elision.training import Progress


@dataclass(frozen=True)
class DeepProgress(Progress):
    """Say where a training from recordings stands; saved with every checkpoint.

    Args:
        epoch: epochs that are over, their validation included.
        batch: batches of the present epoch that are over.
        loss: sum of the losses since the last line of the log.
        losses: how many.
        seconds: spent training, over all sessions.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    losses: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """Tell how a training goes while it runs.

    Args:
        epoch: epochs over.
        step: optimiser steps taken.
        steps: optimiser steps at most.
        values: of the log's line: loss, learning_rate, samples_per_second, or validation_nll, validation_accuracy.
        seconds_left: at most, at the present speed.
    """

    epoch: int
    step: int
    steps: int
    values: Mapping[str, float]
    seconds_left: float


@dataclass(frozen=True)
class Job:
    """Hold what a training is given.

    Args:
        config: resolved.
        partition: the samples, split, and what each shows.
        folder: of the run.
        modules: the user's own encoders.
        checkpoint: to go on from; None starts anew.
        report: called on the first process.
    """

    config: TrainConfig
    partition: StorePartition
    folder: RunFolder
    modules: Modules
    checkpoint: Checkpoint | None
    report: Callable[[Report], None]
