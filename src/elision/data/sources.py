"""Where data comes from: a name, a table, or a prepared store."""

import warnings
from dataclasses import fields
from pathlib import Path

from elision.data.dataset import Dataset
from elision.data.formats import DETECTED, TableFormat
from elision.data.samples import check_samples, read_samples
from elision.errors import InputError
from elision.files import local
from elision.registries import DATASETS


def load(source: str, form: TableFormat = DETECTED) -> Dataset:
    """Return the data set of that name, the table at that path, or a store (a folder or fsspec address), pooled.

    Args:
        source: one of these.
        form: how a table is written, and which of its columns is what; the others take none.

    Raises:
        InputError: it is none of them, what it holds cannot be compared on, or a form is given of what is no table.
    """
    is_store = local(source) is None or Path(source, "manifest.json").is_file()
    if form != DETECTED and (source in DATASETS or is_store):
        given = next(f.name for f in fields(form) if getattr(form, f.name) != getattr(DETECTED, f.name))
        raise InputError(f"{given} is told of a table, and {source} is none: leave it out")
    if source in DATASETS:
        return DATASETS[source]()
    if is_store:
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
