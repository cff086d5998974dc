"""Work functions for the runner that worker processes can import. Each writes the run's key into a log as it begins."""

import errno
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from elision.study.run import Run

LOG = "ELISION_TEST_LOG"
"""The environment variable with the log's path."""


def square(run: Run) -> dict[str, Any]:
    _log(run)
    return {"run": asdict(run), "value": run.seed**2, "padding": list(range(20_000))}


def slow_square(run: Run) -> dict[str, Any]:
    time.sleep(0.3)
    return square(run)


def die_once(run: Run) -> dict[str, Any]:
    """The first time, the run of seed 1 takes its process with it."""
    if run.seed == 1 and run.key not in began():
        _log(run)
        os._exit(1)
    return square(run)


def die_always(run: Run) -> dict[str, Any]:
    """The run of seed 1 takes its process with it."""
    if run.seed == 1:
        _log(run)
        os._exit(1)
    return square(run)


def die_beside(run: Run) -> dict[str, Any]:
    """The run of seed 1 dies, each time once that of seed 0 has begun, or after three seconds; seed 0 takes longer."""
    earlier = began().count(run.key)
    if run.seed == 1:
        _log(run)
        deadline = time.monotonic() + 3
        while began().count(replace(run, seed=0).key) <= earlier and time.monotonic() < deadline:
            time.sleep(0.02)
        os._exit(1)
    result = square(run)
    time.sleep(2)
    return result


def fail(run: Run) -> dict[str, Any]:
    """The run of seed 1 raises, that of seed 2 returns what JSON cannot hold."""
    result = square(run)
    if run.seed == 1:
        raise ValueError("seed 1 is unlucky")
    return result | ({"value": {1, 2}} if run.seed == 2 else {})


def fill_the_disk(run: Run) -> dict[str, Any]:
    if run.seed == 1:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return square(run)


def slow_mle(run: Run) -> dict[str, Any]:
    time.sleep(0.6 if run.method == "mle" else 0)
    return square(run)


@dataclass(frozen=True)
class Nested:
    share: float
    nothing: None


@dataclass(frozen=True)
class OtherRun:
    """Not the runner's own kind of run."""

    name: str
    numbers: tuple[int, ...]
    nested: Nested

    @property
    def key(self) -> str:
        return "0" * 16

    @property
    def title(self) -> str:
        return f"other {self.name}"

    @property
    def kind(self) -> tuple[str, ...]:
        return ("other",)


def total(run: OtherRun) -> dict[str, Any]:
    return {"total": sum(run.numbers) + run.nested.share}


@dataclass(frozen=True)
class LoggedRun:
    """Says in a file of its own that it began."""

    log: str
    number: int

    @property
    def key(self) -> str:
        return f"{self.number:016d}"

    @property
    def title(self) -> str:
        return f"logged {self.number}"

    @property
    def kind(self) -> tuple[str, ...]:
        return ("logged",)


def die_once_logged(run: LoggedRun) -> dict[str, Any]:
    """The first time, number 1 takes its process with it."""
    with Path(run.log).open("a") as log:
        log.write(f"{run.number}\n")
    if run.number == 1 and Path(run.log).read_text().split().count("1") == 1:
        os._exit(1)
    return {"number": run.number}


def began() -> list[str]:
    """The keys of the runs that began, in order."""
    log = Path(os.environ[LOG])
    return log.read_text().split() if log.exists() else []


def _log(run: Run) -> None:
    with Path(os.environ[LOG]).open("a") as log:
        log.write(run.key + "\n")
