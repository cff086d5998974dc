"""Versions of the libraries that decide a result."""

import importlib.metadata
from contextlib import suppress

from elision import __version__


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Elision and of those packages that are installed, by their names in the package index."""
    found = {"elision": __version__}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
