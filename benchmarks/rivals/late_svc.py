"""One RBF `SVC(probability=True)` per modality on the rows that have it, log-posteriors added minus the log prior."""

import time
import warnings
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from elision.evaluation import evaluate
from elision.experiments.run import Partition, Run, assess, partition
from elision.inputs import Arrays, observed_rows

GRID = (1.0, 10.0, 100.0)
FLOOR = 1e-6
"""Probability of a class that the rows of a modality never show."""


class LateSVC:
    """log P(z) + sum over observed m of (log P(z | x_m) - log P(z)): the modalities independent given the label."""

    def __init__(self, c: float, seed: int) -> None:
        self.c, self.seed = c, seed

    def fit(self, parts: Partition) -> "LateSVC":
        arrays, codes = parts.train.arrays, parts.train.codes
        n_classes = len(parts.classes)
        counts = np.bincount(codes[codes >= 0], minlength=n_classes)
        self.log_prior = np.log(counts / counts.sum())
        self.experts = {}
        for m, values in arrays.items():
            rows = observed_rows(values) & (codes >= 0)
            expert = make_pipeline(StandardScaler(), SVC(C=self.c, probability=True, random_state=self.seed))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # probability=True: its replacement was worse here
                self.experts[m] = expert.fit(np.nan_to_num(values[rows]), codes[rows])
        return self

    def predict_log_proba(self, arrays: Arrays) -> np.ndarray:
        n = len(next(iter(arrays.values())))
        logs = np.tile(self.log_prior, (n, 1))
        for m, values in arrays.items():
            rows = observed_rows(values)
            if rows.any():
                probabilities = np.full((rows.sum(), len(self.log_prior)), FLOOR)
                probabilities[:, self.experts[m].classes_] = self.experts[m].predict_proba(np.nan_to_num(values[rows]))
                logs[rows] += np.log(probabilities / probabilities.sum(1, keepdims=True)) - self.log_prior
        return log_softmax(logs, axis=1)


def execute_late_svc(run: Run) -> dict[str, Any]:
    """C of the run's method name, ``late-svc C=1``; or ``late-svc``, C chosen by validation NLL."""
    parts = partition(run)
    _, _, fixed = run.method.partition("C=")
    started = time.perf_counter()
    candidates = [LateSVC(c, run.seed).fit(parts) for c in ([float(fixed)] if fixed else GRID)]
    validation = parts.validation
    best = min(candidates, key=lambda c: evaluate(c.predict_log_proba(validation.arrays), validation.codes).nll)
    return assess(run, parts, best.predict_log_proba, time.perf_counter() - started)
