"""Table 2's way: every method trained on the same extracted features, for equally many epochs."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from elision.data.dataset import Dataset
from elision.data.partition import Partition, Removal
from elision.ensemble import Member, Specification, fit_members, log_posteriors
from elision.errors import InputError, check_choice
from elision.evaluation import average_segments, confusion, evaluate
from elision.inputs import Arrays, Samples, Standardizer, observed_rows
from elision.registries import FUSIONS, METHODS
from elision.study.features import fingerprint as fingerprint_of
from elision.study.features import load_features
from elision.study.paper_run import PaperRun
from elision.training import History, Schedule

SELECTIONS = ("best", "last")


def train_and_assess(run: PaperRun) -> dict[str, Any]:
    """Fit the run's method on segments, average their posteriors into each video's, and assess those.

    Every stage of every method (the autoencoders have several) takes the same number of steps. With the option
    ``selection`` "last", as where a paper speaks of epochs alone, its last parameters are tested; with "best" those of
    the lowest validation value.
    """
    data = _load_once(run.address, run.fingerprint)
    parts = partition_of(run, data)
    parts.check()
    samples = Samples({m: data.arrays[m] for m in run.modalities}, data.codes)
    train, validation, test = (samples.take(chosen) for chosen in (parts.train, parts.validation, parts.test))
    kept = {m: parts.observed[m][parts.train] for m in run.modalities}
    train = Samples({m: np.where(_like(kept[m], a), a, np.nan) for m, a in train.arrays.items()}, train.codes)
    windows = windows_of(train.arrays)
    started = time.perf_counter()
    member, history, standardizer = _fit(run, _segments(train, windows), _segments(validation, windows), data)
    seconds = time.perf_counter() - started
    rows = _segments(test, windows)
    batch = standardizer.batch(rows.arrays, rows.codes).to("cpu", torch.float32)
    logs = log_posteriors([member.to("cpu", torch.float32)], batch)[0].double().numpy()
    logs = average_segments(logs.reshape(len(test.codes), windows, -1))
    return {
        "n_train": len(train.codes),
        "n_complete": int(parts.complete.sum()),
        "metrics": asdict(evaluate(logs, test.codes)),
        "confusion": confusion(logs, test.codes).tolist(),
        "classes": data.classes.tolist(),
        "seconds": seconds,
        "steps": [[stage.stage, stage.n_steps, stage.best_step] for stage in history],
    }


def partition_of(run: PaperRun, data: Dataset) -> Partition:
    """Split the samples of a run, and remove what it misses: keyed on the seed alone, so the same for every method."""
    shown = replace(data, arrays={m: data.arrays[m] for m in run.modalities})
    return Partition.of(shown, run.seed, run.by_group, Removal(run.missing, run.setting.rate))


def windows_of(arrays: Arrays) -> int:
    """Segments per video: 1 where rows are flat."""
    (windows,) = {a.shape[1] if a.ndim == 3 else 1 for a in arrays.values()}
    return windows


def _segments(samples: Samples, windows: int) -> Samples:
    """(n, windows, d), or (n, d) where there is one, to (n x windows, d)."""
    arrays = {m: a.reshape(len(a) * windows, -1) for m, a in samples.arrays.items()}
    return Samples(arrays, np.repeat(samples.codes, windows))


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape(-1, *[1] * (array.ndim - 1))


def _fit(
    run: PaperRun, train: Samples, validation: Samples, data: Dataset
) -> tuple[Member, Sequence[History], Standardizer]:
    training, setting = run.training, run.setting
    options = dict(training.options)
    selection = options.pop("selection", SELECTIONS[0])
    check_choice("selection", selection, SELECTIONS)
    defaults = Schedule(batch_size=training.batch_size)
    steps, size = defaults.steps(len(train.codes))
    if training.max_epochs is not None:
        steps = training.max_epochs * math.ceil(len(train.codes) / size)
    schedule = replace(
        defaults,
        max_steps=steps,
        learning_rate=training.learning_rate or defaults.learning_rate,
        patience=steps,  # nobody stops early: equally many epochs for all
        **options,
    )
    METHODS[setting.method].claims.check(setting.method, setting.fusion, setting.objective)
    specification = Specification(
        method=METHODS[setting.method],
        fusion=FUSIONS[setting.fusion],
        objective=setting.objective,
        encoders=dict.fromkeys(run.modalities, training.encoder),
        n_features=training.n_features,
        rank=None,
        bank="auto",
        options={},
    )
    standardizer = Standardizer.fit(train.arrays)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = tuple(
        standardizer.batch(part.arrays, part.codes).to(device, torch.float32) if part else None
        for part in (train, validation if selection == "best" else None)
    )
    members, histories = fit_members(
        [specification], batches, len(data.classes), schedule, run.seed, None, lambda *_: None
    )
    return members[0], histories[0], standardizer


@lru_cache(maxsize=2)
def _load_once(address: str, fingerprint: str) -> Dataset:
    if fingerprint_of(address) != fingerprint:
        raise InputError(f"{address} changed while the grid ran: start it again with another --out")
    data = load_features(address)
    for m in data.arrays:
        if not observed_rows(data.arrays[m]).any():
            raise InputError(f"{address}: no sample shows modality {m!r}")
    return data
