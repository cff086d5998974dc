"""Results on the screen: lines and tables for a person, JSON for a program."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from elision.evaluation import Assessment
    from elision.study.folders import FailedRun

_WIDE = 10_000

AsJson = Annotated[
    bool, Parameter(name="--json", negative="", help="Print the result as JSON, and nothing else, on stdout.")
]
Quiet = Annotated[
    bool, Parameter(negative="", help="Show no progress and no tables: only warnings, errors and --json.")
]


def console() -> "Console":
    """Return where tables go: as wide as the terminal, and unwrapped where there is none, as in a pipe or a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE)


@dataclass(frozen=True)
class Screen:
    """Print the result of a verb as asked.

    Args:
        as_json: print the one JSON value that `give` gets, and nothing for a person.
        quiet: print nothing for a person.
    """

    as_json: bool = False
    quiet: bool = False

    @property
    def mute(self) -> bool:
        """Return whether nothing is printed for a person."""
        return self.as_json or self.quiet

    def say(self, text: str) -> None:
        """Print a line for a person."""
        if not self.mute:
            print(text)

    def show(self, table: "Table") -> None:
        """Print a table for a person."""
        if not self.mute:
            console().print(table)

    def give(self, values: Any) -> None:
        """Print plain values for a program, as one JSON value in which NaN and infinity are null."""
        if self.as_json:
            print(json.dumps(_finite(values), indent=1, ensure_ascii=False))


def tell_failures(failures: "Sequence[FailedRun]") -> None:
    """Name on stderr the runs that failed, and why."""
    for failure in failures:
        print(f"failed: {failure.run}: {failure.error}", file=sys.stderr)


def _finite(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(name): _finite(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def empty_table(texts: Sequence[str], numbers: Sequence[str]) -> "Table":
    """Make a table of columns of text, then of numbers, without a row."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in texts:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def assessment_table(judged: "Assessment") -> "Table":
    """Make a table of accuracy, NLL, ECE and Brier score of the samples as they are and with modalities missing."""
    table = empty_table(["samples"], ["n", "accuracy", "NLL", "ECE", "Brier"])
    for name, m in judged.rows.items():
        table.add_row(name, str(m.n), f"{m.accuracy:.1%}", *(f"{x:.3f}" for x in (m.nll, m.ece, m.brier)))
    return table
