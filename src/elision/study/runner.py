"""The runner of grids: a list of runs in, a folder of results out; what is finished is never done again.

``python -m elision.study.runner OUT KEY`` carries out one run that the engine "list" has written down.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from elision.errors import InputError, check_choice
from elision.parallel import Placing, Watcher, work_through
from elision.parallel.tasks import carry_out
from elision.registries import ENGINES
from elision.study import commands, folders
from elision.study.folders import FAILURE, RESULT

LIST = "list"
"""The engine that carries nothing out, but writes a command for each run."""


class GridRun(Protocol):
    """What can be a run: a frozen dataclass, picklable, that decides its result."""

    @property
    def key(self) -> str:
        """A name for its folder: the same for equal runs, on every machine."""

    @property
    def title(self) -> str:
        """For a progress bar."""


Work = Callable[[Any], dict[str, Any]]
"""What a run does: a function of a module, so that it can be sent; it returns JSON."""


def _method_and_fusion(run: GridRun) -> Hashable:
    return getattr(run, "method", None), getattr(run, "fusion", None)


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
    kind: Callable[[Any], Hashable] = _method_and_fusion,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
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
        kind: runs of one kind take about the same time, for the estimate of the time left.

    Returns:
        The results and the failures, in the order of ``runs``.
    """
    check_choice("engine", engine, (*ENGINES, LIST))
    placing = Placing(workers, devices, gpus)
    folder = out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    folders.remove_stale(folder)
    final = (RESULT,) if retry_failed else (RESULT, FAILURE)
    pending = [
        run for run in {run.key: run for run in runs}.values()
        if not any(folders.is_there(folder, run.key, name) for name in final)
    ]  # fmt: skip
    if engine == LIST:
        commands.write(out, pending, work)
    elif pending:
        times = _Times(runs, pending, workers, watch, kind)
        for done in work_through(pending, partial(_do, folder, work), placing, engine, times.tell):
            if done.failure:
                error, trace = done.failure.error, done.failure.traceback
                folders.write_failure(folder, done.task.key, done.task.title, error, trace)
            times.over(done.task, done.seconds)
    read = [folders.read(folder, run.key, run.title) for run in runs]
    return [content for content, _ in read if content], [failure for _, failure in read if failure]


class _Times:
    """Tells the watcher how much is done, and from the times of runs of the same kind how long is left."""

    def __init__(self, runs, pending, workers, watch, kind) -> None:
        self.total, self.workers, self.watch, self.kind = len(runs), workers, watch, kind
        self.left = {run.key: run for run in pending}
        self.seconds: dict[Hashable, list[float]] = defaultdict(list)

    def over(self, run: GridRun, seconds: float) -> None:
        del self.left[run.key]
        if seconds:
            self.seconds[self.kind(run)].append(seconds)

    def tell(self, running: Sequence[GridRun]) -> None:
        self.watch(self.total - len(self.left), self.total, [run.title for run in running], self._seconds_left())

    def _seconds_left(self) -> float | None:
        known = [s for times in self.seconds.values() for s in times]
        if not known:
            return None
        average = sum(known) / len(known)
        each = {kind: sum(times) / len(times) for kind, times in self.seconds.items()}
        return sum(each.get(self.kind(run), average) for run in self.left.values()) / self.workers


def _do(folder: Path, work: Work, run: GridRun) -> None:
    if not folders.is_there(folder, run.key, RESULT):  # else the worker died just after it was written
        folders.write_result(folder, run.key, work(run))


def main(out: str, key: str) -> int:
    """Carry out one run of ``out/commands``; 1 if it failed, as ``out/runs/KEY/failure.json`` then says too."""
    run, work = commands.read(Path(out), key)
    folder = Path(out) / "runs"
    folder.mkdir(exist_ok=True)
    outcome = carry_out(partial(_do, folder, work), run).of(run)
    if outcome.failure:
        folders.write_failure(folder, key, run.title, outcome.failure.error, outcome.failure.traceback)
        print(f"{run.title}: {outcome.failure.error}", file=sys.stderr)
    return 1 if outcome.failure else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python -m {__spec__.name} OUT KEY")
    try:
        sys.exit(main(*sys.argv[1:]))
    except InputError as error:
        print(f"elision: {error}", file=sys.stderr)
        sys.exit(2)
