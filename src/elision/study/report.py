"""The report of a study: what it consists of, and what every one tells."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elision.versions import versions


@dataclass(frozen=True)
class Study:
    """Hold what is written in a folder beside its runs.

    Args:
        kind: a name in `elision.study.plan.REPORTS`.
        settings: what decides with the runs what the results mean; no folder mixes results of different ones.
        about: what the report tells that no result does.
        runs: key -> title of every run that was ever planned for the folder.
        folder: where it lies; "" of one that lies nowhere.
    """

    kind: str
    settings: dict[str, Any]
    about: dict[str, Any]
    runs: dict[str, str]
    folder: str = ""


@dataclass(frozen=True)
class ReportFiles:
    """Hold the files of a report.

    Args:
        files: name -> content.
        pages: those of them that a person opens first.
    """

    files: Mapping[str, str | bytes]
    pages: Sequence[str]


def environment() -> dict[str, str]:
    """Return the versions of Elision, Python and the packages that decide a result, and the machine."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    found = versions("torch", "numpy", "scikit-learn", "pandas", "torchvision", "lightning", "av")
    return {"elision": found["elision"], "python": platform.python_version(), **found, "machine": machine}
