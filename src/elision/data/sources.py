"""Where data comes from: a name, a table, or a prepared store."""

import warnings
from pathlib import Path

from elision.data.dataset import Dataset
from elision.data.formats import DETECTED, TableFormat
from elision.data.samples import check_samples, read_samples
from elision.files import local
from elision.registries import DATASETS


def load(source: str, form: TableFormat = DETECTED) -> Dataset:
    """Return the data set of that name, the table at that path, or a store (a folder or fsspec address), pooled.

    Args:
        source: one of these.
        form: how a table is written, and which of its columns is what; of no use to the others.

    Raises:
        InputError: it is none of them, or what it holds cannot be compared on.
    """
    if source in DATASETS:
        return DATASETS[source]()
    if local(source) is None or Path(source, "manifest.json").is_file():
        return _pooled(source)
    return read_samples(Path(source), form)


def load_again(source: str, form: TableFormat = DETECTED) -> Dataset:
    """Return what `load` does, and say nothing: what there is to say was said when it was first read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(source, form)


def _pooled(source: str) -> Dataset:
    from elision.data.pooled import pooled  # pictures and Arrow only where there is a store
    from elision.data.store import Store

    store = Store(source)
    columns = {"label": store.labels, "id": store.ids, "group": store.groups, "split": store.parts}
    check_samples(source, {name: c for name, c in columns.items() if c is not None}, range(1, len(store) + 1))
    return pooled(store)
