"""Classification from several modalities when many training samples lack one of them."""

from elision.lazy import lazily

__version__ = "0.1.0"

_HOMES = {
    "DATASETS": "elision.registries",
    "ENCODERS": "elision.registries",
    "FUSIONS": "elision.registries",
    "InputError": "elision.errors",
    "METHODS": "elision.registries",
    "MultimodalClassifier": "elision.estimator",
    "NETWORKS": "elision.registries",
    "Splittable": "elision.alignment",
    "TableConfig": "elision.config",
    "TableFormat": "elision.data.formats",
    "TrainConfig": "elision.config",
    "TrainingError": "elision.errors",
    "as_modalities": "elision.adapters",
    "evaluate": "elision.runs.doors",
    "load": "elision.runs.doors",
    "predict": "elision.runs.doors",
    "train": "elision.runs.doors",
}

__all__ = sorted({*_HOMES, "__version__"})

__getattr__, __dir__ = lazily(__name__, _HOMES)  # ``import elision`` and ``elision --help`` stay instant
