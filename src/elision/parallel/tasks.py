"""Tasks, and what becomes of them."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from elision.errors import InputError

TICK = 1.0
"""Seconds between two calls of the watcher."""


class Watcher(Protocol):
    """A function that is told how a long piece of work proceeds."""

    def __call__(self, done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
        """Show how far the work is: called after every change and every second.

        Args:
            done: tasks that are over.
            total: all tasks.
            running: names of the tasks under way.
            seconds_left: estimate of the time left; None until there is one.
        """


@dataclass(frozen=True)
class Failure:
    """Why a task has no result.

    Args:
        error: one line, such as ``ValueError: no such class``.
        traceback: of the exception; "" where the process died.
        died: whether the worker process died twice while it did the task.
    """

    error: str
    traceback: str = ""
    died: bool = False


@dataclass(frozen=True)
class Done:
    """A task that is over.

    Args:
        task: as it was given.
        result: what the function returned; None after a failure.
        failure: None after a success.
        seconds: that the function took; 0 where the process died.
    """

    task: Any
    result: Any = None
    failure: Failure | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Placing:
    """Say where tasks run.

    Args:
        workers: tasks at once, at least 1.
        devices: local: CUDA devices such as ("0", "1"), which the workers share out among themselves; () leaves all
            devices to all.
        gpus: Ray: GPUs that a task needs; 0.5 puts two on one.
    """

    workers: int = 1
    devices: Sequence[str] = ()
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers is {self.workers}: expected at least 1")


@dataclass(frozen=True)
class Reply:
    """Carry a task's result or failure to the parent, in plain values, since not every exception can be sent."""

    result: Any = None
    failure: Failure | None = None
    disk: tuple | None = None
    seconds: float = 0.0

    def of(self, task: Any) -> Done:
        """Return the task as done with this reply, or raise OSError if the disk failed."""
        if self.disk:
            raise OSError(*self.disk)
        return Done(task, self.result, self.failure, self.seconds)


def carry_out(function: Callable, task: Any) -> Reply:
    """Call the function on the task, in the worker, and keep errors of the disk apart from other failures."""
    started = time.perf_counter()
    try:
        return Reply(function(task), seconds=time.perf_counter() - started)
    except OSError as error:
        return Reply(disk=(error.errno, error.strerror, error.filename) if error.errno else (str(error),))
    except (Exception, SystemExit) as error:
        return Reply(failure=failure(error), seconds=time.perf_counter() - started)


def failure(error: BaseException) -> Failure:
    """Return an exception as a failure in plain text."""
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
