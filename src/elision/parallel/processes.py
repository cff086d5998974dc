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

from elision.parallel.tasks import TICK, Done, Failure, Placing, Reply, carry_out, failure

DIED = "the worker process died twice and left no error: it ran out of memory, or was killed"
_STARTS = 3  # workers that end before they begin, in a row, until this is given up


def locally(tasks: deque, function: Callable, placing: Placing, tell: Callable) -> Iterator[Done]:
    """Do tasks in processes of this machine; see `work_through`."""
    staff = _Staff(tasks, function, placing)
    ending = weakref.finalize(staff, end_workers, staff.workers)  # also at the interpreter's end
    try:
        while staff.assign():
            tell(staff.running)
            yield from staff.next_done()
        tell(())
    finally:
        ending()


class _Staff:
    """Keep workers and the one task of each, so that it is known over which task a worker died."""

    def __init__(self, tasks: deque, function: Callable, placing: Placing) -> None:
        self.tasks, self.function, self.placing = tasks, function, placing
        self.suspects: deque = deque()  # their worker died: they are tried again alone, when all others are done
        self.workers: list[Worker] = []
        self.failed_starts = 0

    @property
    def running(self) -> list[Any]:
        return [worker.task for worker in self.workers if worker.busy]

    def assign(self) -> bool:
        """Give every idle worker a task and start more workers if needed; return False when nothing is left."""
        while self.tasks and len(self.running) < self.placing.workers:
            self._idle().give(self.tasks.popleft())
        if self.suspects and not self.running:
            self._idle().give(self.suspects.popleft(), retried=True)
        return bool(self.running)

    def next_done(self) -> Iterator[Done]:
        """Yield the tasks that end within the next second."""
        wait([end for worker in self.workers for end in (worker.connection, worker.process.sentinel)], TICK)
        for worker in list(self.workers):
            try:
                reply = worker.hear()
            except (EOFError, ConnectionError):
                done = self._bury(worker)
            else:
                done = reply.of(worker.task) if reply else None
            if worker.ready:
                self.failed_starts = 0
            if done:
                yield done

    def _idle(self) -> "Worker":
        for worker in self.workers:
            if not worker.busy:
                return worker
        devices = self.placing.devices
        taken = [worker.device for worker in self.workers]
        device = min(devices, key=taken.count) if devices else None
        self.workers.append(Worker(self.function, device))
        return self.workers[-1]

    def _bury(self, worker: "Worker") -> Done | None:
        """Remove a worker that died; return its task as failed, or put it back to be tried again."""
        self.workers.remove(worker)
        end_workers([worker])
        if not worker.ready:
            self.failed_starts += 1
            if self.failed_starts >= _STARTS:
                raise RuntimeError(
                    f"worker processes end before they begin (exit code {worker.process.exitcode}): see their errors "
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


class Worker:
    """Keep a process that waits for tasks."""

    def __init__(self, function: Callable, device: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.device, self.ready, self.busy, self.retried, self.task = device, False, False, False, None
        self.process = context.Process(target=_serve, args=(theirs, function, device))
        with _for_the_newborn():
            self.process.start()
        theirs.close()

    def give(self, task: Any, retried: bool = False) -> None:
        """Send it a task, once it has started."""
        self.task, self.busy, self.retried = task, True, retried
        if self.ready:
            self._send()

    def hear(self) -> "Reply | None":
        """Return what became of its task, or None while there is no reply.

        Raises:
            EOFError, ConnectionError: the process died.
        """
        if not self.connection.poll():
            if not self.process.is_alive() and not self.connection.poll():
                raise EOFError  # a child of its own may hold the pipe open
            return None
        reply = self.connection.recv()
        if not self.ready:
            self.ready = True
            if self.busy:
                self._send()
            return None
        self.busy = False
        return reply

    def _send(self) -> None:
        with suppress(BrokenPipeError):  # it died: that is heard next
            self.connection.send(self.task)


def _serve(connection: Connection, function: Callable, device: str | None) -> None:
    """Run a worker: report that it has started, then answer each task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    connection.send(None)
    while True:
        try:
            reply = carry_out(function, connection.recv())
        except EOFError:
            return
        except Exception as error:  # a task that cannot be read here
            reply = Reply(failure=failure(error))
        try:
            connection.send(reply)
        except OSError:
            return
        except Exception as error:  # a result that cannot be sent
            connection.send(Reply(failure=failure(error), seconds=reply.seconds))


def _end_with_parent() -> None:
    """End this worker once its parent has ended; else it would work on beside a second start of the same tasks."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def end_workers(workers: list[Worker]) -> None:
    """End their processes, whatever they do."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(5.0)
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


def is_running(pid: int) -> bool:
    """Return whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another user's
    return True


@contextmanager
def _for_the_newborn() -> Iterator[None]:
    """Set what a new worker inherits: Ctrl-C is ignored, as the parent handles it, and one thread is used."""
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
