"""Runs on numbers: a table's or a pooled store's by the estimator, segments of videos by one model for all methods."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from elision.data.dataset import Dataset
from elision.data.formats import TableFormat
from elision.data.missing import LABELS
from elision.data.partition import Partition
from elision.ensemble import Specification, fit_members, log_posteriors
from elision.errors import InputError, check_choice
from elision.estimator import MultimodalClassifier
from elision.evaluation import assess_posteriors, average_segments
from elision.inputs import Arrays, Samples, Standardizer, observed_rows
from elision.registries import FUSIONS, METHODS
from elision.study.features import open_features
from elision.study.few_labels import fit_scikit, labelled_only
from elision.study.protocol import LEAST_STEPS
from elision.study.results import Result
from elision.study.run import LABEL_ONLY, LABEL_SPREADING, SELF_TRAINING, Run
from elision.training import EPOCHS, Schedule

SELECTIONS = ("best", "last")
Predict = Callable[[Arrays], np.ndarray]
"""From arrays, of which some may be absent, to log-probabilities, shape (n, K)."""


@dataclass(frozen=True)
class Parts:
    """The arrays and codes of a partition, modalities that were removed from training samples NaN.

    Args:
        train: training samples; -1 where there is no label.
        validation: labelled samples, as the data has them.
        test: likewise.
        classes: names of the class indices.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: tuple[str, ...]

    @property
    def complete(self) -> np.ndarray:
        """Which training samples show every modality, shape (n,), bool."""
        return np.logical_and.reduce([observed_rows(a) for a in self.train.arrays.values()])


def partition(run: Run) -> Parts:
    """Split the samples of a run, and remove what it misses: keyed on the seed alone, so the same for every method."""
    return _parts(*_divided(run))


def by_estimator(run: Run) -> Result:
    """Fit `MultimodalClassifier`, which may average several models, and assess it."""
    training = run.training
    if training.max_epochs is not None:
        raise InputError("max_epochs is not what the estimator counts: give the option max_steps")
    given = {"batch_size": training.batch_size, "learning_rate": training.learning_rate}
    options = dict(training.options) | {name: value for name, value in given.items() if value is not None}
    method = run.method if run.method in METHODS else "mle"
    model = MultimodalClassifier(
        method, run.fusion, run.objective, training.encoders, n_features=training.n_features, unlabelled=-1,
        random_state=run.seed, **options,
    )  # fmt: skip

    def fit(parts: Parts) -> tuple[Predict, dict[str, Any]]:
        if run.method in (SELF_TRAINING, LABEL_SPREADING):
            return fit_scikit(run.method, parts.train, len(parts.classes)), {}
        train = labelled_only(parts.train) if run.method == LABEL_ONLY else parts.train
        rest = parts.validation
        held = (rest.arrays, rest.codes, rest.weights) if len(rest.codes) else None
        with warnings.catch_warnings():  # the report says how many samples have no label; each run need not repeat it
            warnings.filterwarnings("ignore", message=r"\d+ samples have no label")
            model.fit(train.arrays, train.codes, validation=held, sample_weight=train.weights)
        return model.predict_log_proba, {"members": model.members_}

    return _fitted(run, fit)


def by_segments(run: Run) -> Result:
    """Train one model on segments, and average its posteriors into each video's; one segment where rows are flat.

    Every stage of every method (the autoencoders have several) takes the same number of steps. With the option
    ``selection`` "last", as where a paper speaks of epochs alone, its last parameters are tested; with "best" those of
    the lowest validation value.
    """
    options = dict(run.training.options)
    selection = options.pop("selection", SELECTIONS[0])
    check_choice("selection", selection, SELECTIONS)
    METHODS[run.method].claims.check(run.method, run.fusion, run.objective)
    return _fitted(run, lambda parts: _fit_segments(run, parts, selection == "best", options))


def judged(
    run: Run, parts: Parts, predict: Predict, seconds: float, details: Mapping[str, Any] | None = None
) -> Result:
    """Evaluate on the test samples as they are, and with each modality taken away.

    Args:
        run: what was carried out.
        parts: its samples.
        predict: gives log-probabilities.
        seconds: that fitting took.
        details: what else is told of it, JSON.
    """
    arrays, codes = parts.test.arrays, parts.test.codes

    def without(m: str, rest: np.ndarray) -> np.ndarray:
        return predict({other: a[rest] for other, a in arrays.items() if other != m})

    observed = {m: observed_rows(a) for m, a in arrays.items()}
    test = assess_posteriors(predict(arrays), codes, parts.classes, observed, without)
    return Result(run, len(parts.train.codes), int(parts.complete.sum()), test, seconds, details or {})


def _fitted(run: Run, fit: Callable[[Parts], tuple[Predict, dict[str, Any]]]) -> Result:
    data, divided = _divided(run)
    divided.check(validated=run.missing != LABELS)
    parts = _parts(data, divided)
    started = time.perf_counter()
    predict, details = fit(parts)
    return judged(run, parts, predict, time.perf_counter() - started, details)


def _fit_segments(run: Run, parts: Parts, best: bool, options: Mapping[str, Any]) -> tuple[Predict, dict[str, Any]]:
    training, (windows,) = run.training, {_windows(a) for a in parts.train.arrays.values()}
    train, validation = (_segments(part, windows) for part in (parts.train, parts.validation))
    defaults = Schedule(batch_size=training.batch_size)
    batches = math.ceil(len(train.codes) / defaults.steps(len(train.codes))[1])
    steps = max(EPOCHS * batches, LEAST_STEPS) if training.max_epochs is None else training.max_epochs * batches
    schedule = replace(
        defaults,
        max_steps=steps,
        learning_rate=training.learning_rate or defaults.learning_rate,
        patience=steps,  # nobody stops early: equally many epochs for all
        **options,
    )
    specification = Specification(
        method=METHODS[run.method],
        fusion=FUSIONS[run.fusion],
        objective=run.objective,
        encoders=dict.fromkeys(train.arrays, training.encoders),
        n_features=training.n_features,
        rank=None,
        bank="auto",
        options={},
    )
    standardizer = Standardizer.fit(train.arrays)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    fitted = standardizer.batch(train.arrays, train.codes).to(device, torch.float32)
    held = standardizer.batch(validation.arrays, validation.codes).to(device, torch.float32) if best else None
    members, histories = fit_members(
        [specification], (fitted, held), len(parts.classes), schedule, run.seed, lambda *_: None
    )
    member = members[0].to("cpu", torch.float32)

    def predict(arrays: Arrays) -> np.ndarray:
        n = len(next(iter(arrays.values())))
        nothing = {m: np.full((n, *a.shape[1:]), np.nan) for m, a in parts.test.arrays.items()}
        rows = _segments(Samples(nothing | dict(arrays), np.zeros(n, dtype=np.int64)), windows)
        batch = standardizer.batch(rows.arrays, rows.codes).to("cpu", torch.float32)
        logs = log_posteriors([member], batch)[0].double().numpy()
        return average_segments(logs.reshape(n, windows, -1))

    return predict, {"steps": [[stage.stage, stage.n_steps, stage.best_step] for stage in histories[0]]}


def _windows(values: np.ndarray) -> int:
    return values.shape[1] if values.ndim == 3 else 1


def _segments(samples: Samples, windows: int) -> Samples:
    """Return (n, windows, d), or (n, d) where there is one, as (n x windows, d)."""
    arrays = {m: a.reshape(len(a) * windows, -1) for m, a in samples.arrays.items()}
    return Samples(arrays, np.repeat(samples.codes, windows))


def _divided(run: Run) -> tuple[Dataset, Partition]:
    data = _load_once(run.source, run.form, run.fingerprint, run.visual)
    return data, Partition.of(data, run.seed, run.by_group, run.removal)


def _parts(data: Dataset, divided: Partition) -> Parts:
    samples = Samples(data.encoded(divided.train, divided.observed), divided.codes, data.weights)
    train, validation, test = (samples.take(rows) for rows in (divided.train, divided.validation, divided.test))
    for m, values in train.arrays.items():  # which are its own
        values[~divided.observed[m][divided.train]] = np.nan
    return Parts(train, validation, test, tuple(data.classes.tolist()))


@lru_cache(maxsize=8)
def _load_once(source: str, form: TableFormat, fingerprint: str, visual: str) -> Dataset:
    data, found = open_features(source, form)
    if found != fingerprint:
        raise InputError(f"{source} changed while the study ran: start it again with another --out")
    if visual:
        data = replace(data, arrays={"visual": data.arrays[visual], "audio": data.arrays["audio"]})
    for m, values in data.arrays.items():
        if not observed_rows(values).any():
            raise InputError(f"{source}: no sample shows modality {m!r}")
    return data
