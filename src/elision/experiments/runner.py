"""The runner of grids: a list of runs in, a folder of results out; what is finished is never done again."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
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
    for stale in folder.glob(f".{'[0-9a-f]' * 16}-*"):
        if not Path(f"/proc/{stale.name.rpartition('-')[2]}").exists():
            shutil.rmtree(stale, ignore_errors=True)
    pending = [run for run in runs if not _read(folder / run.key / RESULT)]
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
        self.pool: ProcessPoolExecutor | None = None

    def go(self) -> None:
        """Until nothing is left; a worker that dies takes its pool along, and a new one goes on."""
        try:
            while self.queue or self.running:
                try:
                    self._fill()
                except BrokenProcessPool:
                    self._crashed()
                    continue
                self._report()
                finished, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
                self._collect(finished)
            self._report()
        finally:
            self._end_pool()

    def _fill(self) -> None:
        """Give the workers something to do; after a crash one run at a time, to tell which of them it was."""
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            size = min(self.workers, len(self.queue))
            self.pool = ProcessPoolExecutor(size, context, initializer=_start_worker)
        at_once = 1 if self.queue and self.crashes[self.queue[0].key] else self.workers
        with _for_the_newborn():
            while self.queue and len(self.running) < at_once:
                run = self.queue[0]
                future = self.pool.submit(_do, run, self.folder, self.work)
                self.running[future] = self.queue.pop(0)

    def _collect(self, finished: set[Future]) -> None:
        """Take in what has finished, then see to a worker that died."""
        broken = False
        for future in finished:
            if isinstance(future.exception(), BrokenProcessPool):
                broken = True
                continue
            seconds = future.result()
            run = self.running.pop(future)
            self.seconds[run.method, run.fusion].append(seconds)
        if broken:
            self._crashed()

    def _crashed(self) -> None:
        """Try each run that was under way again, alone; one that then dies alone is given up."""
        self._end_pool()
        alone = len(self.running) == 1
        for run in self.running.values():
            if (self.folder / run.key / RESULT).is_file():
                continue
            if alone and self.crashes[run.key]:
                error = "the process died twice without a word: out of memory, or killed"
                _write(self.folder, run, FAILURE, _failure(run, error))
            else:
                self.crashes[run.key] += 1
                self.queue.insert(0, run)
        self.running.clear()

    def _end_pool(self) -> None:
        if self.pool is not None:
            for process in list((self.pool._processes or {}).values()):
                process.terminate()
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None

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


@contextmanager
def _for_the_newborn() -> Iterator[None]:
    """What workers inherit: deaf to Ctrl-C, which is the parent's, and one thread, since spinning ones crawl."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        if main:
            signal.signal(signal.SIGINT, handler)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on, beside a second start that does the same run again."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _do(run: Run, folder: Path, work: Callable[[Run], dict[str, Any]]) -> float:
    started = time.perf_counter()
    try:
        name, content = RESULT, json.dumps(work(run), indent=1)
    except OSError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        name, content = FAILURE, _failure(run, text, traceback.format_exc())
    _write(folder, run, name, content)
    return time.perf_counter() - started


def _failure(run: Run, error: str, trace: str = "") -> str:
    return json.dumps({"run": run.title, "key": run.key, "error": error, "traceback": trace}, indent=1)


def _write(folder: Path, run: Run, name: str, content: str) -> None:
    """The run's folder appears with its content in it, or not at all."""
    staging, target = folder / f".{run.key}-{os.getpid()}", folder / run.key
    try:
        staging.mkdir()
        (staging / name).write_text(content, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    except OSError as error:  # a full disk does not say of which file
        raise OSError(error.errno, error.strerror, str(target)) from error


def _read(path: Path) -> dict[str, Any] | None:
    """What a run left, or None; a file that is no longer JSON counts as nothing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
