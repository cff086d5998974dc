"""The runner of grids: a list of runs in, a folder of results out; what is finished is never done again.

``python -m elision.study.runner OUT KEY`` carries out one run that the engine "list" has written down.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from elision.errors import InputError, check_choice
from elision.parallel import Failure, Placing, Watcher, work_through
from elision.parallel.tasks import carry_out
from elision.registries import ENGINES
from elision.study.commands import read_command, write_commands
from elision.study.folders import (
    FAILURE,
    RESULT,
    FailedRun,
    is_there,
    read_outcome,
    remove_stale,
    write_failure,
    write_result,
)

LIST = "list"
"""The engine that carries nothing out, but writes a command for each run."""
RUNS = "runs"


class GridRun(Protocol):
    """Say what decides a result: a frozen dataclass, which can be pickled."""

    @property
    def key(self) -> str:
        """Return the name of its folder: the same for equal runs, on every machine."""
        ...

    @property
    def title(self) -> str:
        """Return what a progress bar calls it."""
        ...

    @property
    def kind(self) -> tuple[str, ...]:
        """Return what tells how long it takes, the most telling part first."""
        ...


Work = Callable[[Any], Any]
"""What a run does: a function of a module, so that it can be sent; it returns JSON, or a dataclass of such."""


def run_grid(  # noqa: PLR0913
    runs: Sequence[GridRun],
    out: Path,
    workers: int,
    watch: Watcher,
    work: Work,
    *,
    engine: str = "local",
    retry_failed: bool = True,
    devices: Sequence[str] = (),
    gpus: float = 0.0,
    revive: Callable[[dict[str, Any]], Any] = dict,
) -> tuple[list[Any], list[FailedRun]]:
    """Carry out every run that has no result yet, in parallel processes of one thread each.

    A finished run is a folder ``out/runs/KEY`` that appears in one step. A run that raises is kept with its error and
    does not stop the others. Errors of the disk stop the grid. A result that was changed after it was written is
    reported among the failures, and neither used nor done again.

    Args:
        runs: the grid.
        out: the folder of results; with Ray, one that every node sees.
        workers: runs at once.
        watch: told of progress.
        work: what a run does.
        engine: "local", "ray", or "list": write a shell command for every run to do, one a line, into
            ``out/commands.txt``, for a scheduler of your own, and return what there is so far.
        retry_failed: do a run again that has failed before.
        devices: local: CUDA devices such as ("0", "1"), shared out among the workers.
        gpus: Ray: GPUs that a run needs.
        revive: makes of a result's JSON what is returned, and raises `InputError` for what is no result.

    Returns:
        The results and the failures, in the order of ``runs``.
    """
    check_choice("engine", engine, (*ENGINES, LIST))
    placing = Placing(workers, devices, gpus)
    folder = out / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    final = (RESULT,) if retry_failed else (RESULT, FAILURE)
    pending = [
        run for run in {run.key: run for run in runs}.values()
        if not any(is_there(folder, run.key, name) for name in final)
    ]  # fmt: skip
    if engine == LIST:
        write_commands(out, pending, work)
    elif pending:
        progress = _Progress(len(runs), pending, workers, watch)
        for done in work_through(pending, partial(_do, folder, work), placing, engine, progress.tell):
            if done.failure:
                _keep(folder, done.task, done.failure)
            progress.over(done.task, done.seconds)
    return read_outcomes(out, ((run.key, run.title) for run in runs), revive)


def read_outcomes(
    out: Path, runs: Iterable[tuple[str, str]], revive: Callable[[dict[str, Any]], Any] = dict
) -> tuple[list[Any], list[FailedRun]]:
    """Return the results and the failures of the runs of a grid's folder, (key, title), in that order."""
    read = [read_outcome(out / RUNS, key, title, revive) for key, title in runs]
    return [result for result, _ in read if result is not None], [failed for _, failed in read if failed is not None]


class Durations:
    """Remember how long runs took, and tell what that says of those to come."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, kind: tuple[str, ...], seconds: float) -> None:
        """Count a run that took so long, for its kind and for all kinds that begin alike."""
        for n in range(len(kind) + 1):
            self.seconds[kind[:n]].append(seconds)

    def expected(self, kind: tuple[str, ...], known: int = 0) -> float | None:
        """Return the mean of the kind, or of those that begin as it does in at least ``known`` words; else None."""
        for n in range(len(kind), known - 1, -1):
            if kind[:n] in self.seconds:
                return sum(self.seconds[kind[:n]]) / len(self.seconds[kind[:n]])
        return None


class _Progress:
    """Tell the watcher how much is done, and how long is left."""

    def __init__(self, total: int, pending: Sequence[GridRun], workers: int, watch: Watcher) -> None:
        self.total, self.workers, self.watch = total, workers, watch
        self.left = {run.key: run for run in pending}
        self.durations = Durations()

    def over(self, run: GridRun, seconds: float) -> None:
        del self.left[run.key]
        if seconds:
            self.durations.add(run.kind, seconds)

    def tell(self, running: Sequence[GridRun]) -> None:
        guesses = [self.durations.expected(run.kind) for run in self.left.values()]
        known = [seconds for seconds in guesses if seconds is not None]
        left = sum(known) / self.workers if self.durations.seconds else None
        self.watch(self.total - len(self.left), self.total, [run.title for run in running], left)


def _do(folder: Path, work: Work, run: GridRun) -> None:
    """Carry out a run and write its result, unless a worker that died since has left one."""
    if not is_there(folder, run.key, RESULT):
        write_result(folder, run.key, work(run))


def _keep(folder: Path, run: GridRun, failure: Failure) -> None:
    write_failure(folder, FailedRun(run.title, run.key, failure.error, failure.traceback))


def do_listed(out: str, key: str) -> int:
    """Carry out one run of ``out/commands``; 1 if it failed, as ``out/runs/KEY/failure.json`` then says too."""
    run, work = read_command(Path(out), key)
    folder = Path(out) / RUNS
    folder.mkdir(exist_ok=True)
    failure = carry_out(partial(_do, folder, work), run).of(run).failure
    if failure:
        _keep(folder, run, failure)
        print(f"{run.title}: {failure.error}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python -m {__spec__.name} OUT KEY")
    try:
        sys.exit(do_listed(*sys.argv[1:]))
    except InputError as error:
        print(f"elision: {error}", file=sys.stderr)
        sys.exit(2)
