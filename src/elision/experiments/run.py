"""One run of an experiment: its configuration, a stable name for it, and how it is carried out."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from elision.data import Dataset, load
from elision.data.missing import remove
from elision.data.splits import split
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.evaluation import confusion, evaluate

NONE = "none"


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's result.

    Args:
        source: a name in `DATASETS`, or a manifest's path; not part of the run's identity.
        data: the data set's name.
        fingerprint: of the data set's content.
        by_group: split by whole groups.
        method: a name in `METHODS`.
        fusion: a name in `FUSIONS`.
        objective: "auto", "joint" or "conditional".
        encoders: a name in `ENCODERS`, or "auto".
        missing: the modality to remove from training samples, "any", or "none".
        rate: share of the training samples to remove it from, in [0, 1].
        seed: of the split, of what goes missing, and of the model.
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

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise InputError(f"rate is {self.rate}: expected a share between 0 and 1")

    @property
    def key(self) -> str:
        """The same on every machine and in every version that runs the same thing."""
        identity = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "source"}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """For a progress bar."""
        lost = "as it is" if self.missing == NONE else f"{self.missing} missing {self.rate:.0%}"
        return f"{self.method}, {self.fusion}, {lost}, seed {self.seed}"


def execute(run: Run) -> dict[str, Any]:
    """Split, remove, fit, and evaluate on the test samples as they are and with each modality removed.

    Returns:
        JSON of the configuration, the counts, the metrics, the metrics per removed modality, the confusion counts.
    """
    data = _load_once(run.source)
    if data.fingerprint() != run.fingerprint:
        raise RuntimeError(f"{run.source} changed while the comparison ran: start it again with another --out")
    codes, n_classes = data.codes, len(data.classes)
    parts = data.parts if data.parts is not None else split(codes, data.groups if run.by_group else None, run.seed)
    rows = {
        part: np.flatnonzero((parts == part) & ((codes >= 0) | (part == "train"))) for part in ("train", "val", "test")
    }
    train, val, test = ({m: a[rows[part]] for m, a in data.arrays.items()} for part in rows)
    observed = {m: mask[rows["train"]] for m, mask in data.observed.items()}
    if run.missing != NONE:
        observed = remove(observed, run.missing, run.rate, run.seed)
        train = {m: np.where(observed[m].reshape(-1, *[1] * (a.ndim - 1)), a, np.nan) for m, a in train.items()}
    started = time.perf_counter()
    model = MultimodalClassifier(
        run.method, run.fusion, run.objective, run.encoders, unlabelled=-1, random_state=run.seed
    ).fit(train, codes[rows["train"]], validation=(val, codes[rows["val"]]))
    seconds = time.perf_counter() - started
    truth = np.searchsorted(model.classes_, codes[rows["test"]])
    logs = model.predict_log_proba(test)
    removed = {}
    for m in data.arrays if len(data.arrays) > 1 else ():
        removed[m] = asdict(evaluate(model.predict_log_proba({o: a for o, a in test.items() if o != m}), truth))
    return {
        "run": asdict(run),
        "n_train": len(rows["train"]),
        "n_complete": int(np.logical_and.reduce(list(observed.values())).sum()),
        "metrics": asdict(evaluate(logs, truth)),
        "removed": removed,
        "confusion": confusion(logs, truth).tolist(),
        "classes": data.classes.tolist(),
        "n_classes": n_classes,
        "members": model.members_,
        "seconds": seconds,
    }


@lru_cache(maxsize=4)
def _load_once(source: str) -> Dataset:
    return load(source)
