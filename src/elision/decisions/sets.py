"""Sets of classes that hold the truth as often as asked for, for samples of every pattern of modalities.

Split-conformal prediction with adaptive scores (Vovk, Gammerman, Shafer 2005; Romano, Sesia, Candes 2020): of samples
that the model has not learnt from, the score of a label is the probability of all classes that are more likely, plus a
part of its own. A set holds every class whose score is at most the quantile of the calibration samples' scores.
Among exchangeable samples of one pattern it holds the truth with at least the asked probability, whatever the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from elision.errors import InputError

ENOUGH = 100
"""Calibration samples below which a pattern borrows those of the patterns nearest to it."""
_DIGITS = 1e4  # of a log-posterior, the fourth decimal and those behind it: far above rounding, far below what matters


@dataclass(frozen=True)
class Calibration:
    """The scores of calibration samples, for each pattern of modalities.

    Args:
        scores: pattern -> sorted scores in [0, 1] of the samples that show exactly that, and of neighbours.
        own: pattern -> how many of them show exactly that.
        everything: the sorted scores of all samples, for patterns that none of them shows.
    """

    scores: Mapping[tuple[bool, ...], np.ndarray]
    own: Mapping[tuple[bool, ...], int]
    everything: np.ndarray

    @classmethod
    def of(cls, log_posteriors: np.ndarray, codes: np.ndarray, observed: np.ndarray) -> "Calibration":
        """Score labelled samples that the model has not learnt from.

        Patterns of fewer than 100 samples borrow from those that differ in the fewest modalities, nearest first.

        Args:
            log_posteriors: shape (n, K).
            codes: class indices, shape (n,).
            observed: which samples show which modalities, shape (n, M), bool.
        """
        scores = class_scores(log_posteriors)[np.arange(len(codes)), codes]
        patterns, which = np.unique(observed, axis=0, return_inverse=True)
        which = which.ravel()
        found, own = {}, {}
        for index, pattern in enumerate(patterns):
            distance = (patterns != pattern).sum(1)
            own[tuple(pattern.tolist())] = int((which == index).sum())
            near = which == index
            for reach in range(observed.shape[1] + 1):
                near = np.isin(which, np.flatnonzero(distance <= reach))
                if near.sum() >= ENOUGH:
                    break
            found[tuple(pattern.tolist())] = np.sort(scores[near])
        return cls(found, own, np.sort(scores))

    def described(self) -> dict[str, list]:
        """Return it as JSON holds it; `restored` takes it back."""
        return {
            "patterns": [list(pattern) for pattern in self.scores],
            "scores": [scores.tolist() for scores in self.scores.values()],
            "own": [self.own[pattern] for pattern in self.scores],
            "everything": self.everything.tolist(),
        }

    @classmethod
    def restored(cls, values: Mapping[str, list]) -> "Calibration":
        """Read what `described` gave."""
        patterns = [tuple(pattern) for pattern in values["patterns"]]
        scores = [np.array(scores) for scores in values["scores"]]
        return cls(
            dict(zip(patterns, scores, strict=True)),
            dict(zip(patterns, values["own"], strict=True)),
            np.array(values["everything"]),
        )

    def thresholds(self, observed: np.ndarray, coverage: float) -> np.ndarray:
        """Return the largest score that a set may hold, for each sample; shape (n,), 2 where all classes are in.

        Args:
            observed: shape (n, M), bool.
            coverage: in (0, 1).

        Raises:
            InputError: there are too few calibration samples for that coverage.
        """
        if len(self.everything) < needed(coverage):
            raise InputError(
                f"{len(self.everything)} samples calibrate the sets, and a coverage of {coverage} needs "
                f"{needed(coverage)} at "
                "least: calibrate on more, or ask for less"
            )
        patterns, which = np.unique(observed, axis=0, return_inverse=True)
        found = [_quantile(self.scores.get(tuple(p.tolist()), self.everything), coverage) for p in patterns]
        return np.array(found)[which.ravel()]

    def pooled(self, observed: np.ndarray) -> np.ndarray:
        """Return for which samples other patterns' calibration samples were borrowed; shape (n,), bool."""
        return np.array([self.own.get(tuple(row), 0) < ENOUGH for row in observed.tolist()])


def class_scores(log_posteriors: np.ndarray) -> np.ndarray:
    """Return the adaptive score of every class: the mass of all that is more likely, and a part of its own.

    Which part is as good as random, and decided by the sample alone (the digits of its least log-posterior), so that a
    sample's set does not depend on where it stands or on what is asked beside it.

    Args:
        log_posteriors: shape (n, K).

    Returns:
        Shape (n, K), in [0, 1]; near uniform for the true class of a model whose probabilities are right.
    """
    probabilities = np.exp(log_posteriors)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, 1)
    before = np.cumsum(ordered, axis=1) - ordered
    scores = np.empty_like(probabilities)
    least = np.maximum(log_posteriors.min(axis=1, keepdims=True), -1e4)
    np.put_along_axis(scores, order, before + (_DIGITS * least % 1.0) * ordered, 1)
    return scores


def prediction_sets(
    log_posteriors: np.ndarray, observed: np.ndarray, calibration: Calibration, coverage: float
) -> np.ndarray:
    """Return which classes each sample's set holds, never none; shape (n, K), bool.

    Args:
        log_posteriors: shape (n, K).
        observed: shape (n, M), bool.
        calibration: of samples that the model has not learnt from.
        coverage: the probability with which a set is to hold the truth, in (0, 1).
    """
    scores = class_scores(log_posteriors)
    held = scores <= calibration.thresholds(observed, coverage)[:, None]
    held[np.arange(len(held)), log_posteriors.argmax(1)] = True
    return held


def as_classes(held: np.ndarray, log_posteriors: np.ndarray, classes: np.ndarray) -> list[tuple]:
    """Return each set as the classes in it, the most probable first."""
    order = np.argsort(-log_posteriors, axis=1, kind="stable")
    return [tuple(classes[c] for c in row if inside[c]) for row, inside in zip(order, held, strict=True)]


def needed(coverage: float) -> int:
    """Return how many calibration samples sets of a coverage need at least; `InputError` unless it is in (0, 1)."""
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage!r}: expected a share between 0 and 1, such as 0.9")
    return ceil(coverage / (1 - coverage) - 1e-9)


def _quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the ceil((n + 1) coverage)-th smallest score, or 2, which no score reaches, where there are too few."""
    rank = floor((len(scores) + 1) * coverage + 1 - 1e-9)
    return float(scores[rank - 1]) if rank <= len(scores) else 2.0
