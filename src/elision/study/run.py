"""One run of an experiment: its configuration, a stable name for it, and how it is carried out."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from elision.data.dataset import Dataset
from elision.data.missing import NONE
from elision.data.partition import Partition, Removal
from elision.data.sources import load
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.evaluation import confusion, evaluate
from elision.inputs import Arrays, Samples, observed_rows
from elision.methods import Claims
from elision.registries import METHODS

UPPER_BOUND = "upper-bound"
"""No method: the reference that a comparison can show beside them."""
CLAIMS: dict[str, Claims] = {name: method.claims for name, method in METHODS.items()} | {
    UPPER_BOUND: replace(
        METHODS["mle"].claims,
        summary="Not a method: mle on the training data before anything was removed from it. The distance to it is "
        "what the missing data costs.",
        source="The same samples, complete",
    )
}
"""What a comparison's lines say of themselves: the methods, and the reference."""


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's result.

    Args:
        source: a name in `DATASETS`, or a table's path; not part of the run's identity.
        data: the data set's name.
        fingerprint: of the data set's content.
        by_group: split by whole groups.
        method: a name in `METHODS`.
        fusion: a name in `FUSIONS`.
        objective: "all" (that the method has, averaged), "joint" or "conditional".
        encoders: a name in `ENCODERS`, or "auto".
        missing: the modality to remove from training samples, "any", or "none".
        rate: share of the training samples to remove it from, in [0, 1].
        seed: of the split, of what goes missing, and of the model.
        mechanism: which samples lose it, a name in `MECHANISMS`: "mcar" (at random), "mar" (depending on what remains
            observed), "mnar" (depending on what goes missing).
    """

    source: str
    data: str
    fingerprint: str
    by_group: bool
    method: str
    fusion: str
    objective: str
    encoders: str
    missing: str
    rate: float
    seed: int
    mechanism: str = "mcar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", float(self.rate))  # 1 and 1.0 are one run
        if not 0 <= self.rate <= 1:
            raise InputError(f"rate is {self.rate}: expected a share between 0 and 1")

    @property
    def key(self) -> str:
        """Return a name that is the same on every machine: a hash of all that decides the result."""
        identity = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "source"}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """For a progress bar."""
        lost = "as it is" if self.missing == NONE else f"{self.missing} missing {self.rate:.0%}"
        return f"{self.method}, {self.fusion}, {lost}, seed {self.seed}"


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
    data = _load_once(run.source)
    if data.fingerprint() != run.fingerprint:
        raise InputError(f"{run.source} changed while the comparison ran: start it again with another --out")
    removal = Removal() if run.method == UPPER_BOUND else Removal(run.missing, run.rate, run.mechanism)
    found = Partition.of(data, run.seed, run.by_group, removal)
    samples = Samples(data.arrays, data.codes)
    train, validation, test = (samples.take(chosen) for chosen in (found.train, found.validation, found.test))
    kept = {m: mask[found.train] for m, mask in found.observed.items()}
    train = Samples({m: np.where(kept[m][:, None], a, np.nan) for m, a in train.arrays.items()}, train.codes)
    return Parts(train, validation, test, tuple(data.classes.tolist()))


def execute(run: Run) -> dict[str, Any]:
    """Fit the run's method, and assess it. Returns what `assess` does, and the fitted models' summary."""
    parts = partition(run)
    method = "mle" if run.method == UPPER_BOUND else run.method
    model = MultimodalClassifier(method, run.fusion, run.objective, run.encoders, unlabelled=-1, random_state=run.seed)
    started = time.perf_counter()
    with warnings.catch_warnings():  # the report says how many samples have no label; each run need not say it again
        warnings.filterwarnings("ignore", message=r"\d+ samples have no label")
        model.fit(parts.train.arrays, parts.train.codes, validation=(parts.validation.arrays, parts.validation.codes))
    seconds = time.perf_counter() - started
    if len(model.classes_) < len(parts.classes):
        raise InputError("a class has no labelled training sample in this split: add samples of it, or remove it")
    return assess(run, parts, model.predict_log_proba, seconds) | {"members": model.members_}


def assess(run: Run, parts: Parts, predict: Callable[[Arrays], np.ndarray], seconds: float) -> dict[str, Any]:
    """Evaluate on the test samples as they are, and with each modality taken away.

    Args:
        run: what was carried out.
        parts: its samples.
        predict: arrays, of which some may be absent, to log-probabilities, shape (n, K).
        seconds: that fitting took.

    Returns:
        JSON: the configuration, the counts, the metrics, the metrics per removed modality, the confusion counts.
    """
    test = parts.test
    logs = predict(test.arrays)
    removed = {}
    for m in test.arrays if len(test.arrays) > 1 else ():
        others = {other: a for other, a in test.arrays.items() if other != m}
        removed[m] = asdict(evaluate(predict(others), test.codes))
    return {
        "run": asdict(run),
        "n_train": len(parts.train.codes),
        "n_complete": int(parts.complete.sum()),
        "metrics": asdict(evaluate(logs, test.codes)),
        "removed": removed,
        "confusion": confusion(logs, test.codes).tolist(),
        "classes": list(parts.classes),
        "seconds": seconds,
    }


@lru_cache(maxsize=4)
def _load_once(source: str) -> Dataset:
    return load(source)
