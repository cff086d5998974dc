"""Data sets, splits and missingness."""

from collections.abc import Callable
from pathlib import Path

from elision.data.dataset import Dataset
from elision.data.digits import digits
from elision.data.manifest import read_manifest

DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits}


def load(source: str) -> Dataset:
    """The data set of that name, or the manifest at that path."""
    return DATASETS[source]() if source in DATASETS else read_manifest(Path(source))


__all__ = ["DATASETS", "Dataset", "load", "read_manifest"]
