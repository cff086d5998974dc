"""Layouts: how a folder of recordings names its samples. None of them opens a recording."""

from collections.abc import Callable
from pathlib import Path

from elision.data.layouts.enterface05 import enterface05
from elision.data.layouts.found import Found, LayoutOptions
from elision.data.layouts.listed import listed
from elision.data.layouts.ravdess import ravdess

Layout = Callable[[Path, LayoutOptions], Found]
"""(source, options) -> what it holds. Its docstring is the help: which names it reads, where the data comes from."""

LAYOUTS: dict[str, Layout] = {"ravdess": ravdess, "enterface05": enterface05, "manifest": listed}

__all__ = ["LAYOUTS", "Found", "Layout", "LayoutOptions"]
