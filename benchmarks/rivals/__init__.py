"""What people do today with data that lacks modalities, on the same samples as Elision's methods.

Every rival is a list of candidates (a small, stated budget), of which the one with the best validation NLL is assessed:
the same validation samples that Elision's own methods stop and weigh by. None is trained on the validation samples.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from elision.evaluation import evaluate
from elision.inputs import Arrays
from elision.study.on_arrays import Parts, judged, partition
from elision.study.results import Result
from elision.study.run import Run

FLOOR = 1e-6
"""Least probability of a class, so that a rival that rules a class out is not infinitely wrong."""


class Candidate(Protocol):
    """One setting of a rival."""

    def fit(self, parts: Parts) -> None:
        """On the training part; the validation part may serve to stop early."""

    def predict_log_proba(self, arrays: Arrays) -> np.ndarray:
        """Of samples of which some modalities may be absent; shape (n, K)."""


def execute_rival(run: Run, candidates: Sequence[Callable[[], Candidate]]) -> Result:
    """Fit every candidate, choose by validation NLL, and assess the choice as `execute` does for ours."""
    parts = partition(run)
    started = time.perf_counter()
    best, losses = fit_and_choose(candidates, parts)
    details = {"chosen": losses.index(min(losses)), "validation_nll": losses}
    return judged(run, parts, best.predict_log_proba, time.perf_counter() - started, details)


def fit_and_choose(candidates: Sequence[Callable[[], Candidate]], parts: Parts) -> tuple[Candidate, list[float]]:
    """The candidate of the least validation NLL, fitted, and that NLL of each."""
    fitted = [build() for build in candidates]
    losses = []
    for candidate in fitted:
        candidate.fit(parts)
        logs = candidate.predict_log_proba(parts.validation.arrays)
        losses.append(evaluate(logs, parts.validation.codes).nll)
    return fitted[losses.index(min(losses))], losses


def log_floored(probabilities: np.ndarray, columns: np.ndarray, n_classes: int) -> np.ndarray:
    """log of probabilities of the classes ``columns``, floored, over all K classes; shape (n, K)."""
    full = np.full((len(probabilities), n_classes), FLOOR)
    full[:, columns] = np.maximum(probabilities, FLOOR)
    return np.log(full / full.sum(1, keepdims=True))
