"""How good predicted probabilities are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax, logsumexp
from sklearn.metrics import confusion_matrix

from elision.errors import check_choice

BINS = 15


@dataclass(frozen=True)
class Metrics:
    """Say how good the probabilities of n labelled samples are.

    Args:
        accuracy: share whose most probable class is the label.
        nll: mean negative log-likelihood, in nats.
        ece: expected calibration error of the most probable class, 15 equal bins (Guo et al. 2017), in [0, 1].
        brier: mean squared distance of the probabilities to the one-hot label, summed over classes, in [0, 2].
        n: samples.
    """

    accuracy: float
    nll: float
    ece: float
    brier: float
    n: int


def evaluate(log_probabilities: np.ndarray, codes: np.ndarray) -> Metrics:
    """Return all metrics.

    Args:
        log_probabilities: shape (n, K).
        codes: class indices, shape (n,).
    """
    rows = np.arange(len(codes))
    probabilities = np.exp(log_probabilities)
    hits = log_probabilities.argmax(1) == codes
    one_hot = np.eye(log_probabilities.shape[1])[codes]
    return Metrics(
        accuracy=float(hits.mean()),
        nll=float(-log_probabilities[rows, codes].mean()),
        ece=expected_calibration_error(probabilities.max(1), hits),
        brier=float(((probabilities - one_hot) ** 2).sum(1).mean()),
        n=len(codes),
    )


def expected_calibration_error(confidence: np.ndarray, hits: np.ndarray) -> float:
    """sum over bins of (share of samples) |mean confidence - accuracy|; both of shape (n,).

    Example:
        >>> expected_calibration_error(np.array([0.8, 0.8]), np.array([True, False]))
        0.3
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - hits, minlength=BINS)
    return round(float(np.abs(gaps).sum() / len(confidence)), 12)


def confusion(log_probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Counts, rows the true class and columns the predicted one; shape (K, K)."""
    n_classes = log_probabilities.shape[1]
    return confusion_matrix(codes, log_probabilities.argmax(1), labels=np.arange(n_classes))


@dataclass(frozen=True)
class Assessment:
    """Say how good a model is on labelled samples as they are, for each pattern among them, and with less of them.

    Args:
        metrics: of all of them, as they are.
        confusion: counts, rows the true class and columns the predicted one, shape (K, K).
        classes: names of the class indices.
        patterns: the modalities shown, "a + b" -> metrics of the samples that show just these.
        removed: modality -> metrics of the samples that show another, without it.
        data: where the samples come from.
        samples: which of them these are.
        average: how the segments of a recording were combined; "" of tables.
    """

    metrics: Metrics
    confusion: Sequence[Sequence[int]]
    classes: Sequence[str]
    patterns: Mapping[str, Metrics]
    removed: Mapping[str, Metrics]
    data: str = ""
    samples: str = "test part of the training data"
    average: str = ""

    @property
    def rows(self) -> dict[str, Metrics]:
        """Return it as the rows of a table; patterns have rows of their own where there are several."""
        rows = {"as they are": self.metrics}
        if len(self.patterns) > 1:
            rows |= {f"that show {name}": metrics for name, metrics in self.patterns.items()}
        return rows | {f"without {m}": metrics for m, metrics in self.removed.items()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` gave and JSON kept."""
        parts = {k: {name: Metrics(**m) for name, m in values[k].items()} for k in ("patterns", "removed")}
        return cls(**{**values, "metrics": Metrics(**values["metrics"]), **parts})


def assess_posteriors(
    log_probabilities: np.ndarray,
    codes: np.ndarray,
    classes: Sequence[str],
    observed: Mapping[str, np.ndarray],
    without: Callable[[str, np.ndarray], np.ndarray],
) -> Assessment:
    """Judge labelled samples as they are, for each pattern of modalities among them, and with each one taken away.

    Args:
        log_probabilities: shape (n, K).
        codes: class indices, shape (n,).
        classes: names of the class indices.
        observed: modality -> which samples show it, shape (n,).
        without: (modality, indices of the samples that show another) -> their log-probabilities without it.
    """
    names = np.array(
        [
            " + ".join(m for m, shown in zip(observed, row, strict=True) if shown) or "nothing"
            for row in np.stack(list(observed.values()), axis=1)
        ]
    )
    patterns = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
    removed = {}
    for m in observed if len(observed) > 1 else ():
        rest = np.flatnonzero(np.logical_or.reduce([mask for other, mask in observed.items() if other != m]))
        if len(rest):
            removed[m] = evaluate(without(m, rest), codes[rest])
    return Assessment(
        metrics=evaluate(log_probabilities, codes),
        confusion=confusion(log_probabilities, codes).tolist(),
        classes=list(classes),
        patterns={name: evaluate(log_probabilities[w], codes[w]) for name, w in patterns.items()},
        removed=removed,
    )


AVERAGES = ("posteriors", "logs")


def average_segments(log_probabilities: np.ndarray, average: str = "posteriors") -> np.ndarray:
    """A sample's log-posterior from those of its segments.

    Args:
        log_probabilities: shape (n, segments, K), of at least one segment.
        average: "posteriors", log (1/W sum_w Q(z | segment w)), as in the paper; or "logs", the mean of the
            log-posteriors, normalised again: a product of experts, in which one sure segment weighs more.

    Returns:
        Shape (n, K); each row's exponentials sum to 1.

    Example:
        >>> average_segments(np.log([[[0.5, 0.5], [0.9, 0.1]]])).round(2)
        array([[-0.36, -1.2 ]])
    """
    check_choice("average", average, AVERAGES)
    if average == "posteriors":
        return logsumexp(log_probabilities, axis=1) - np.log(log_probabilities.shape[1])
    return log_softmax(log_probabilities.mean(axis=1), axis=-1)
