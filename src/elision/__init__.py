"""Classification from several modalities when many training samples lack one of them."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ENCODERS": "elision.encoders",
    "FUSIONS": "elision.fusion",
    "InputError": "elision.errors",
    "METHODS": "elision.methods",
    "MultimodalClassifier": "elision.estimator",
    "TrainingError": "elision.errors",
}

__all__ = ["ENCODERS", "FUSIONS", "METHODS", "InputError", "MultimodalClassifier", "TrainingError", "__version__"]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: ``import elision`` and ``elision --help`` stay instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'elision' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
