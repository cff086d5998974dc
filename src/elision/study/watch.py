"""What a person sees while something long goes on: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from elision.parallel import Watcher

_LINE_EVERY = 15.0


@contextmanager
def watching(
    total: int | None = None, what: str = "runs", rate: bool = False, news: bool = False, quiet: bool = False
) -> Iterator[Watcher]:
    """Show on stderr how much is done, what is under way, and how long is left, as the watcher is told.

    Args:
        total: how many things there are to do; None if that shows later.
        what: their name, in the plural.
        rate: also show how many are done in a second.
        news: show what is under way in lines too, since it tells how the work goes, such as a loss.
        quiet: show nothing.
    """
    if quiet:
        yield lambda done, total, running, seconds_left: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console, pace = Console(stderr=True), _Pace(what if rate else "")
    if not console.is_terminal:
        yield _lines(what, pace, news)
        return
    bar = Progress(
        BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn(what), TimeElapsedColumn(),
        TextColumn("{task.fields[left]}  {task.description}"), console=console,
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting", total=total, left="")

        def show(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
            left = "" if seconds_left is None else f"about {duration(seconds_left)} left"
            told = ", ".join(filter(None, [pace(done), left]))
            description = escape(" | ".join(running)) or "done"
            bar.update(task, completed=done, total=total, description=description, left=told)

        yield show


class _Pace:
    """Tells how many are done in a second, since the first was."""

    def __init__(self, what: str) -> None:
        self.what, self.first = what, (0, 0.0)

    def __call__(self, done: int) -> str:
        before, since = self.first
        if not since or done <= before:
            self.first = done, time.monotonic()
            return ""
        return f"{(done - before) / max(time.monotonic() - since, 1e-3):.1f} {self.what}/s" if self.what else ""


def _lines(what: str, pace: _Pace, news: bool) -> Watcher:
    last, ended = -_LINE_EVERY, False

    def show(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
        nonlocal last, ended
        told = pace(done)
        if ended or (done < total and time.monotonic() - last < _LINE_EVERY):
            return
        last, ended = time.monotonic(), done == total
        left = "" if seconds_left is None or done == total else f"about {duration(seconds_left)} left"
        words = [f"{done} of {total} {what} done", told, *(running if news else ()), left]
        print(", ".join(filter(None, words)), file=sys.stderr, flush=True)

    return show


def duration(seconds: float) -> str:
    """Return a time in words, such as ``45 s``, ``3 min 20 s``, ``2 h 5 min``.

    Example:
        >>> duration(200)
        '3 min 20 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
