"""What a person sees while a model trains: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from elision.study.watch import duration

if TYPE_CHECKING:
    from elision.deep.module import Report

_LINE_EVERY = 15.0


@contextmanager
def training() -> Iterator[Callable[["Report"], None]]:
    """Told of each line of a training's log; shows the loss, validation accuracy, samples a second and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console, known = Console(stderr=True), {}
    if not console.is_terminal:
        yield _lines(known)
        return
    bar = Progress(
        BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn(),
        TextColumn("{task.description}"), console=console,
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting", total=None)

        def show(report: "Report") -> None:
            known.update(report.values)
            bar.update(task, completed=report.step, total=report.steps, description=_told(report, known))

        yield show


def _lines(known: dict[str, float]) -> Callable[["Report"], None]:
    last = -_LINE_EVERY

    def show(report: "Report") -> None:
        nonlocal last
        known.update(report.values)
        if report.step < report.steps and time.monotonic() - last < _LINE_EVERY:
            return
        last = time.monotonic()
        print(f"step {report.step} of {report.steps}: {_told(report, known)}", file=sys.stderr, flush=True)

    return show


def _told(report: "Report", known: dict[str, float]) -> str:
    parts = [
        ("loss", "loss {:.3f}"),
        ("validation_accuracy", "validation accuracy {:.1%}"),
        ("validation_nll", "NLL {:.3f}"),
        ("samples_per_second", "{:.0f} segments/s"),
    ]
    told = [text.format(known[name]) for name, text in parts if name in known]
    return ", ".join([*told, f"about {duration(report.seconds_left)} left"])
