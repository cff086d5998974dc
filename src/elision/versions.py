"""Versions of the libraries that decide a result."""

import importlib.metadata

from elision import __version__


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Elision and of some installed packages, by their names in the package index."""
    return {"elision": __version__, **{package: importlib.metadata.version(package) for package in packages}}
