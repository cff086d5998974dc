"""A trained run judged again: on its own test part, or on other data that was prepared alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from elision.data.store import Store
from elision.deep.assess import assess
from elision.deep.build import Modules
from elision.deep.model import load_model
from elision.deep.partition import StorePartition
from elision.deep.rows import Reading
from elision.errors import InputError
from elision.evaluation import Assessment
from elision.run_folder import RunFolder


def evaluate_run(
    run: str | Path,
    data: str | Path | None = None,
    average: str = "posteriors",
    device: str = "cpu",
    workers: int = 0,
    modules: Modules | None = None,
) -> Assessment:
    """Judge a run's model; see `elision.deep.assess.assess`.

    Args:
        run: a run's folder, or with ``data`` that of a model.
        data: a store prepared as the training data was, of which all labelled samples are judged; None, or the store
            that the run was trained on, judges its test part.
        average: of segments, "posteriors" or "logs".
        device: where to compute.
        workers: loader processes.
        modules: the user's own encoders.

    Raises:
        InputError: store and model do not go together, or there is no labelled sample.
    """
    model = load_model(run, device, modules)
    described = RunFolder(Path(run)).data
    if data is None and not described:
        raise InputError(f"{run} is no run that knows its data: say which store to evaluate on")
    store = Store(data or described["address"])
    model.check(store.info)
    if described and described["fingerprint"] == store.fingerprint():
        partition = StorePartition.of_store(store, model.config)
        samples, observed, what = partition.test, partition.observed, "test part of the training data"
    else:
        samples, observed, what = np.flatnonzero(store.codes >= 0), store.observed, "all labelled samples"
    if not len(samples):
        raise InputError(f"{store.address} has no labelled sample to evaluate on")
    shown = {m: observed[m] for m in model.modalities}
    reading = Reading(model.device, workers)
    judged = assess(model.method, store, samples, shown, reading, average, model.classes)
    return replace(judged, data=str(store.address), samples=what)
