"""Data sets, recordings, splits and missingness."""

from elision.lazy import lazily

_HOMES = {
    "DATASETS": "elision.registries",
    "Dataset": "elision.data.dataset",
    "Segments": "elision.data.segments",
    "Store": "elision.data.store",
    "collate": "elision.data.segments",
    "load": "elision.data.sources",
    "read_samples": "elision.data.samples",
    "with_features": "elision.data.extraction",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazily(__name__, _HOMES)  # a worker that reads clips needs no tables and no classifiers
