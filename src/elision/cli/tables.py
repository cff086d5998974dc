"""Results on the screen."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


_WIDE = 10_000


def console() -> "Console":
    """Return where tables go: as wide as the terminal, and unwrapped where there is none, as in a pipe or a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE)


def show_assessment(values: Mapping[str, Any]) -> None:
    """Show accuracy, NLL, ECE and Brier score of the samples as they are, per pattern, and without each modality."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from elision.evaluation import assessment_rows

    table = Table(box=SIMPLE_HEAD)
    table.add_column("samples", no_wrap=True)
    for heading in ("n", "accuracy", "NLL", "ECE", "Brier"):
        table.add_column(heading, justify="right")
    for name, m in assessment_rows(values).items():
        table.add_row(name, str(m["n"]), f"{m['accuracy']:.1%}", *(f"{m[k]:.3f}" for k in ("nll", "ece", "brier")))
    console().print(table)
