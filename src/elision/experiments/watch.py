"""What a person sees while a grid runs: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from elision.experiments.runner import Watcher

_LINE_EVERY = 15.0


@contextmanager
def watching(total: int) -> Iterator[Watcher]:
    """A watcher that tells what runs, how much is done, and how long is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    bar = Progress(
        BarColumn(bar_width=16), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}  {task.description}"), console=console,
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting", total=total, left="")

        def show(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
            left = "" if seconds_left is None else f"about {duration(seconds_left)} left"
            bar.update(task, completed=done, description=" | ".join(running) or "done", left=left)

        yield show


def _lines() -> Watcher:
    last = -_LINE_EVERY

    def show(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
        nonlocal last
        if done < total and time.monotonic() - last < _LINE_EVERY:
            return
        last = time.monotonic()
        left = "" if seconds_left is None or done == total else f", about {duration(seconds_left)} left"
        print(f"{done} of {total} runs done{left}", file=sys.stderr, flush=True)

    return show


def duration(seconds: float) -> str:
    """Such as ``45 s``, ``3 min 20 s``, ``2 h 5 min``.

    Example:
        >>> duration(200)
        '3 min 20 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
