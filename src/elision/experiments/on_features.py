"""Table 2's way: every method trained on the same extracted features, for equally many epochs."""

import math
import time
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

from elision.data import Dataset
from elision.data.missing import remove
from elision.data.splits import PARTS, split
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.evaluation import average_segments, confusion, evaluate
from elision.experiments.features import fingerprint as fingerprint_of
from elision.experiments.features import load_features
from elision.experiments.paper_run import PaperRun
from elision.inputs import Arrays, Samples, observed_rows
from elision.training import Schedule


def train_and_assess(run: PaperRun) -> dict[str, Any]:
    """Fit the run's method on segments, average their posteriors into each video's, and assess those.

    Every stage of every method (the autoencoders have several) takes the same number of steps, and keeps the
    parameters of the lowest validation value.
    """
    data = _load_once(run.address, run.fingerprint)
    parts, observed = plan_samples(run, data)
    samples = Samples({m: data.arrays[m] for m in run.modalities}, data.codes)
    chosen = {name: np.flatnonzero((parts == name) & (data.codes >= 0)) for name in PARTS}
    train = samples.take(chosen["train"])
    kept = {m: observed[m][chosen["train"]] for m in observed}
    arrays = {m: np.where(_like(kept[m], a), a, np.nan) for m, a in train.arrays.items()}
    windows = windows_of(arrays)
    rows, codes = _segments(arrays, windows), np.repeat(train.codes, windows)
    validation = samples.take(chosen["val"])
    model = _classifier(run, len(codes))
    started = time.perf_counter()
    held_out = (_segments(validation.arrays, windows), np.repeat(validation.codes, windows))
    model.fit(rows, codes, validation=held_out)
    seconds = time.perf_counter() - started
    if len(model.classes_) < len(data.classes):
        raise InputError("a class has no training sample in this split: add samples of it, or remove it")
    test = samples.take(chosen["test"])
    logs = average_segments(
        model.predict_log_proba(_segments(test.arrays, windows)).reshape(len(test.codes), windows, -1)
    )
    return {
        "n_train": len(train.codes),
        "n_complete": int(np.logical_and.reduce(list(kept.values())).sum()),
        "metrics": asdict(evaluate(logs, test.codes)),
        "confusion": confusion(logs, test.codes).tolist(),
        "classes": data.classes.tolist(),
        "seconds": seconds,
        "best_steps": model.members_[0]["steps"],
    }


def plan_samples(run: PaperRun, data: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(part of each sample, modality -> which samples show it after removal from the training part).

    Keyed on the seed alone, so the same for every method.

    Args:
        run: its split, rate and seed count.
        data: a `Dataset`, or a `Store`.
    """
    if run.by_group and data.groups is None:
        raise InputError(f"{run.data} names no groups, such as speakers: it can be split by video only")
    parts = data.parts
    if parts is None:
        parts = split(data.codes, data.groups if run.by_group else None, run.seed, data.classes)
    training = np.flatnonzero(parts == "train")
    observed = {m: mask.copy() for m, mask in data.observed.items() if m in run.modalities}
    kept = remove({m: mask[training] for m, mask in observed.items()}, run.missing, run.setting.rate, run.seed)
    for m, mask in kept.items():
        observed[m][training] = mask
    return parts, observed


def windows_of(arrays: Arrays) -> int:
    """Segments per video: 1 where rows are flat."""
    (windows,) = {a.shape[1] if a.ndim == 3 else 1 for a in arrays.values()}
    return windows


def _segments(arrays: Arrays, windows: int) -> dict[str, np.ndarray]:
    """(n, windows, d), or (n, d) where there is one, to (n x windows, d)."""
    return {m: a.reshape(len(a) * windows, -1) for m, a in arrays.items()}


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape(-1, *[1] * (array.ndim - 1))


def _classifier(run: PaperRun, n_rows: int) -> MultimodalClassifier:
    training, setting = run.training, run.setting
    schedule = Schedule(batch_size=training.batch_size)
    steps, size = schedule.steps(n_rows)
    if training.max_epochs is not None:
        steps = training.max_epochs * math.ceil(n_rows / size)
    return MultimodalClassifier(
        setting.method,
        setting.fusion,
        setting.objective,
        training.encoder,
        n_features=training.n_features,
        max_steps=steps,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate or schedule.learning_rate,
        patience=steps,  # nobody stops early: equally many epochs for all
        random_state=run.seed,
        device="cpu" if n_rows <= 4096 else "auto",
        **dict(training.options),
    )


@lru_cache(maxsize=2)
def _load_once(address: str, fingerprint: str) -> Dataset:
    if fingerprint_of(address) != fingerprint:
        raise InputError(f"{address} changed while the grid ran: start it again with another --out")
    data = load_features(address)
    for m in data.arrays:
        if not observed_rows(data.arrays[m]).any():
            raise InputError(f"{address}: no sample shows modality {m!r}")
    return data
