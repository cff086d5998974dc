"""The runner of grids: a list of runs in, a folder of results out; what is finished is never done again."""

import json
import multiprocessing
import os
import shutil
import signal
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

from elision.experiments.run import Run, execute

RESULT = "result.json"
FAILURE = "failure.json"


class Watcher(Protocol):
    """Is told how the grid goes on."""

    def __call__(self, done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
        """After every change; ``seconds_left`` is None until a run has finished."""


def run_grid(
    runs: Sequence[Run],
    out: Path,
    workers: int,
    watch: Watcher,
    work: Callable[[Run], dict[str, Any]] = execute,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Carry out every run that has no result yet, in parallel processes of one thread each.

    A finished run is a folder ``out/runs/KEY`` that appears in one step. A run that raises is kept with its error and
    does not stop the others; it is tried again by the next call. Errors of the disk stop the grid.

    Args:
        runs: the grid.
        out: the folder of results.
        workers: processes.
        watch: told of progress.
        work: what a run does; a picklable function, for tests.

    Returns:
        The results and the failures, in the order of ``runs``.
    """
    folder = out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".*"):
        shutil.rmtree(stale)
    pending = [run for run in runs if not (folder / run.key / RESULT).is_file()]
    if pending:
        _Grid(pending, len(runs), folder, workers, watch, work).go()
    results = [_read(folder / run.key / RESULT) for run in runs]
    failures = [_read(folder / run.key / FAILURE) for run in runs]
    return [r for r in results if r], [f for f in failures if f]


class _Grid:
    """Keeps `workers` runs going, so that it knows which they are."""

    def __init__(self, pending, total, folder, workers, watch, work) -> None:
        self.queue, self.total, self.folder, self.workers = list(pending), total, folder, max(workers, 1)
        self.watch, self.work = watch, work
        self.running: dict[Future, Run] = {}
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.crashes: dict[str, int] = defaultdict(int)

    def go(self) -> None:
        pool = self._pool()
        try:
            while self.queue or self.running:
                while self.queue and len(self.running) < self.workers:
                    run = self.queue.pop(0)
                    self.running[pool.submit(_do, run, self.folder, self.work)] = run
                self._report()
                finished, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
                if not self._collect(finished):
                    pool.shutdown(wait=True, cancel_futures=True)
                    pool = self._pool()
            self._report()
        finally:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> ProcessPoolExecutor:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: two spinning threads on two busy cores crawl
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(min(self.workers, len(self.queue) + len(self.running)), context, _start_worker)

    def _collect(self, finished: set[Future]) -> bool:
        """Take in finished runs; False when a worker died and took the pool with it."""
        for future in finished:
            try:
                seconds = future.result()
            except BrokenProcessPool:
                self._crashed()
                return False
            run = self.running.pop(future)
            self.seconds[run.method, run.fusion].append(seconds)
        return True

    def _crashed(self) -> None:
        """Try each run that was under way once more, then give it up."""
        for run in self.running.values():
            self.crashes[run.key] += 1
            if self.crashes[run.key] < 2:
                self.queue.append(run)
            else:
                error = "the process died twice without a word: out of memory, or killed"
                _write(self.folder, run, FAILURE, {"run": run.title, "key": run.key, "error": error})
        self.running.clear()

    def _report(self) -> None:
        known = [s for times in self.seconds.values() for s in times]
        left = None
        if known:
            average = sum(known) / len(known)
            each = {kind: sum(times) / len(times) for kind, times in self.seconds.items()}
            ahead = [*self.queue, *self.running.values()]
            left = sum(each.get((run.method, run.fusion), average) for run in ahead) / self.workers
        done = self.total - len(self.queue) - len(self.running)
        self.watch(done, self.total, [run.title for run in self.running.values()], left)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    import torch

    torch.set_num_threads(1)


def _do(run: Run, folder: Path, work: Callable[[Run], dict[str, Any]]) -> float:
    started = time.perf_counter()
    try:
        name, content = RESULT, work(run)
    except OSError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        content = {"run": run.title, "key": run.key, "error": text, "traceback": traceback.format_exc()}
        name = FAILURE
    _write(folder, run, name, content)
    return time.perf_counter() - started


def _write(folder: Path, run: Run, name: str, content: dict[str, Any]) -> None:
    """The run's folder appears with its content in it, or not at all."""
    staging = folder / f".{run.key}-{os.getpid()}"
    staging.mkdir()
    (staging / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    target = folder / run.key
    if target.exists():
        shutil.rmtree(target)
    staging.rename(target)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
