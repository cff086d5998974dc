"""Processes of this machine that are kept from task to task."""

import multiprocessing
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from elision.parallel.tasks import TICK, Done, Failure, Outcome, Placing, carry_out, failure

DIED = "the process died twice without a word: out of memory, or killed"
_STARTS = 3  # workers that end before they begin, in a row, until this is given up


def locally(tasks: deque, function: Callable, placing: Placing, tell: Callable) -> Iterator[Done]:
    """As `work_through` says."""
    staff = _Staff(tasks, function, placing)
    ending = weakref.finalize(staff, _end, staff.workers)  # also at the interpreter's end
    try:
        while staff.assign():
            tell(staff.running)
            yield from staff.next_done()
        tell(())
    finally:
        ending()


class _Staff:
    """Workers and what they work on: one task each, so that it is known over which of them a worker died."""

    def __init__(self, tasks: deque, function: Callable, placing: Placing) -> None:
        self.tasks, self.function, self.placing = tasks, function, placing
        self.suspects: deque = deque()  # their worker died: they are tried again alone, when all others are done
        self.workers: list[_Worker] = []
        self.failed_starts = 0

    @property
    def running(self) -> list[Any]:
        return [worker.task for worker in self.workers if worker.busy]

    def assign(self) -> bool:
        """Give the idle something to do, hire if need be; False when nothing is left."""
        while self.tasks and len(self.running) < self.placing.workers:
            self._idle().give(self.tasks.popleft())
        if self.suspects and not self.running:
            self._idle().give(self.suspects.popleft(), retried=True)
        return bool(self.running)

    def next_done(self) -> Iterator[Done]:
        """What has ended within the next second."""
        wait([end for worker in self.workers for end in (worker.connection, worker.process.sentinel)], TICK)
        for worker in list(self.workers):
            try:
                outcome = worker.hear()
            except (EOFError, ConnectionError):
                done = self._bury(worker)
            else:
                done = outcome.of(worker.task) if outcome else None
            if worker.ready:
                self.failed_starts = 0
            if done:
                yield done

    def _idle(self) -> "_Worker":
        for worker in self.workers:
            if not worker.busy:
                return worker
        devices = self.placing.devices
        taken = [worker.device for worker in self.workers]
        device = min(devices, key=taken.count) if devices else None
        self.workers.append(_Worker(self.function, device))
        return self.workers[-1]

    def _bury(self, worker: "_Worker") -> Done | None:
        """See to a worker that died, and to its task."""
        self.workers.remove(worker)
        _end([worker])
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts >= _STARTS:
                raise RuntimeError(
                    f"worker processes end before they begin (exit code {worker.process.exitcode}): what they said is "
                    "above; a script that starts them needs its work under: if __name__ == '__main__'"
                )
        if not worker.busy:
            return None
        if worker.ready and worker.retried:
            return Done(worker.task, failure=Failure(DIED, died=True))
        if worker.ready or worker.retried:
            self.suspects.append(worker.task)
        else:
            self.tasks.appendleft(worker.task)
        return None


class _Worker:
    """A process that waits for tasks."""

    def __init__(self, function: Callable, device: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.device, self.ready, self.busy, self.retried, self.task = device, False, False, False, None
        self.process = context.Process(target=_serve, args=(theirs, function, device))
        with _for_the_newborn():
            self.process.start()
        theirs.close()

    def give(self, task: Any, retried: bool = False) -> None:
        self.task, self.busy, self.retried = task, True, retried
        if self.ready:
            self._send()

    def hear(self) -> "Outcome | None":
        """What became of its task, if it says something.

        Raises:
            EOFError, ConnectionError: it died.
        """
        if not self.connection.poll():
            if not self.process.is_alive() and not self.connection.poll():
                raise EOFError  # a child of its own may hold the pipe open
            return None
        outcome = self.connection.recv()
        if not self.ready:
            self.ready = True
            if self.busy:
                self._send()
            return None
        self.busy = False
        return outcome

    def _send(self) -> None:
        with suppress(BrokenPipeError):  # it died: that is heard next
            self.connection.send(self.task)


def _serve(connection: Connection, function: Callable, device: str | None) -> None:
    """The life of a worker: it says that it is there, then answers each task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    connection.send(None)
    while True:
        try:
            outcome = carry_out(function, connection.recv())
        except EOFError:
            return
        except Exception as error:  # a task that cannot be read here
            outcome = Outcome(failure=failure(error))
        try:
            connection.send(outcome)
        except OSError:
            return
        except Exception as error:  # a result that cannot be sent
            connection.send(Outcome(failure=failure(error), seconds=outcome.seconds))


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on, beside a second start that does the same again."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(5.0)
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


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
