"""Classification from several modalities when many training samples lack one of them."""

from elision.lazy import lazily

__version__ = "0.1.0"

_HOMES = {
    "ENCODERS": "elision.registries",
    "FUSIONS": "elision.registries",
    "InputError": "elision.errors",
    "METHODS": "elision.registries",
    "MultimodalClassifier": "elision.estimator",
    "TrainingError": "elision.errors",
}

__all__ = ["ENCODERS", "FUSIONS", "METHODS", "InputError", "MultimodalClassifier", "TrainingError", "__version__"]

__getattr__ = lazily(__name__, _HOMES)  # ``import elision`` and ``elision --help`` stay instant
