"""Data sets, recordings, splits and missingness."""

from importlib import import_module
from typing import Any

_HOMES = {
    "DATASETS": "elision.data.sources",
    "Dataset": "elision.data.dataset",
    "Segments": "elision.data.segments",
    "Store": "elision.data.store",
    "collate": "elision.data.segments",
    "load": "elision.data.sources",
    "read_manifest": "elision.data.manifest",
}

__all__ = ["DATASETS", "Dataset", "Segments", "Store", "collate", "load", "read_manifest"]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: a worker that reads clips needs no tables and no classifiers."""
    if name not in _HOMES:
        raise AttributeError(f"module 'elision.data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
