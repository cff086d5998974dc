"""Work in parallel that survives what it does: kept processes on this machine, or a Ray cluster."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from elision.errors import check_choice
from elision.parallel.processes import DIED
from elision.parallel.tasks import Done, Failure, Placing, Watcher
from elision.registries import ENGINES

Engine = Callable[[deque, Callable, Placing, Callable], Iterator[Done]]
"""How tasks are carried out: (tasks, function, placing, tell) -> each as it ends, as `work_through` says."""


def work_through(
    tasks: Sequence[Any],
    function: Callable[[Any], Any],
    placing: Placing,
    engine: str = "local",
    tell: Callable[[Sequence[Any]], None] = lambda running: None,
) -> Iterator[Done]:
    """Do every task, several at once, and yield each as it ends: ``function(task)``, or why there is no such value.

    A task that raises does not stop the others, and neither does one whose process dies (a crash in native code, a
    kill for memory): that is tried once more when nothing else runs, then given up. Errors of the disk, `OSError`,
    stop everything, since they would strike every task.

    Engine "local" keeps spawned processes of one thread each, deaf to Ctrl-C; they end with this process, however
    that ends. "ray" does the same on the cluster at ``RAY_ADDRESS``, or on one that it starts here, and needs files
    that every node sees at the same path.

    Args:
        tasks: picklable; they begin in this order.
        function: picklable, so a function of a module.
        placing: where, and how many at once.
        engine: a name in `ENGINES`.
        tell: is given the tasks under way, after every change and every second.

    Raises:
        InputError: no such engine, or it cannot serve.
        OSError: raised by a task.
        RuntimeError: worker processes cannot start.
    """
    check_choice("engine", engine, ENGINES)
    return ENGINES[engine](deque(tasks), function, placing, tell)


__all__ = ["DIED", "Done", "Engine", "Failure", "Placing", "Watcher", "work_through"]
