"""The report of a study: what it consists of, and what every one tells."""

import base64
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elision import __version__

_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "torchvision", "lightning", "av")


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


def embedded(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Return pictures as a page holds them: in base64."""
    return {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}


def environment(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Elision, Python and those of the ``packages`` that are installed, and the machine."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"elision": __version__, "python": platform.python_version(), **found, "machine": machine}
