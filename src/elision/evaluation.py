"""How good predicted probabilities are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import log_softmax, logsumexp
from scipy.stats import t
from sklearn.metrics import confusion_matrix

from elision.errors import InputError, check_choice
from elision.plain import revived

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
    bins = _bins(confidence)
    gaps = np.bincount(bins, weights=confidence - hits, minlength=BINS)
    return round(float(np.abs(gaps).sum() / len(confidence)), 12)


def class_codes(labels: np.ndarray, classes: Sequence[str], where: object) -> np.ndarray:
    """Return the index of each label among the ``classes`` that a model knows, shape (n,); ``where`` they stand."""
    unseen = sorted(set(labels.tolist()) - set(classes))
    if unseen:
        raise InputError(f"class {unseen[0]!r} of {where} was not seen in training: it knew {', '.join(classes)}")
    return np.array([classes.index(label) for label in labels.tolist()], dtype=np.int64)


def confidence_bins(log_probabilities: np.ndarray, codes: np.ndarray) -> list[list[float]]:
    """Return (mean confidence, accuracy, samples) of each bin of confidence that has samples: a reliability diagram.

    Args:
        log_probabilities: shape (n, K).
        codes: class indices, shape (n,).
    """
    confidence, hits = np.exp(log_probabilities.max(1)), log_probabilities.argmax(1) == codes
    bins = _bins(confidence)
    inside = [bins == b for b in np.unique(bins)]
    return [[float(confidence[i].mean()), float(hits[i].mean()), int(i.sum())] for i in inside]


def reliability_table(
    log_probabilities: np.ndarray, codes: np.ndarray, observed: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return how good and how honest the probabilities are for each pattern of modalities, and for all samples.

    Args:
        log_probabilities: shape (n, K).
        codes: class indices, shape (n,).
        observed: modality -> which samples show it, shape (n,).

    Returns:
        A row per pattern ("a + b"), the most frequent first, and "all": n, accuracy, confidence (the mean probability
        of the first choice: above the accuracy where the model is too sure), nll in nats, ece, brier.
    """
    rows = {"all": np.arange(len(codes))} | _samples_by_pattern(observed)
    table = {}
    for name, chosen in rows.items():
        metrics = evaluate(log_probabilities[chosen], codes[chosen])
        confidence = float(np.exp(log_probabilities[chosen].max(1)).mean())
        table[name] = {
            "n": metrics.n,
            "accuracy": metrics.accuracy,
            "confidence": confidence,
            "nll": metrics.nll,
            "ece": metrics.ece,
            "brier": metrics.brier,
        }
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("pattern")
    return frame.astype({"n": int}).sort_values("n", ascending=False, kind="stable")


def _bins(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def _samples_by_pattern(observed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return "a + b" -> indices of the samples that show just these."""
    rows = np.stack(list(observed.values()), axis=1)
    names = [" + ".join(m for m, shown in zip(observed, row, strict=True) if shown) or "nothing" for row in rows]
    return {str(name): np.flatnonzero(np.array(names) == name) for name in np.unique(names)}


@dataclass(frozen=True)
class Difference:
    """Say by how much two methods differ, and whether they can be told apart.

    Args:
        mean: of the units' mean differences, first minus second.
        low: lower end of the interval.
        high: its upper end; both infinite where there is one unit only.
        n_units: data sets or seeds.
    """

    mean: float
    low: float
    high: float
    n_units: int

    @property
    def told_apart(self) -> bool:
        """Return whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(first: np.ndarray, second: np.ndarray, units: np.ndarray, level: float = 0.95) -> Difference:
    """Return the mean difference of two methods' results on the same cells, with Student's interval.

    Cells of one unit share their data, so they are averaged first and count as one: the interval is that of the mean
    over units, n_units - 1 degrees of freedom.

    Args:
        first: results of one method, such as NLL, shape (cells,).
        second: of the other, on the same cells.
        units: what each cell belongs to and is independent of the others by: its data set, or its seed; shape (cells,).
        level: of the interval, in (0, 1).

    Example:
        >>> paired_difference(np.array([1.0, 1.2, 1.1]), np.array([0.9, 1.05, 1.0]), np.array([0, 1, 2])).told_apart
        True
    """
    gaps = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if gaps.shape != np.shape(units) or gaps.ndim != 1 or not len(gaps) or not np.isfinite(gaps).all():
        raise InputError(f"results of shapes {np.shape(first)}, {np.shape(second)}, units {np.shape(units)}: expected "
                         "a finite number of each method and a unit for each of one or more cells")  # fmt: skip
    if not 0 < level < 1:
        raise InputError(f"level is {level!r}: expected a share between 0 and 1, such as 0.95")
    which = np.unique(np.asarray(units), return_inverse=True)[1]
    means = np.bincount(which, gaps) / np.bincount(which)
    n = len(means)
    reach = np.inf if n == 1 else t.ppf((1 + level) / 2, n - 1) * means.std(ddof=1) / np.sqrt(n)
    return Difference(float(means.mean()), float(means.mean() - reach), float(means.mean() + reach), n)


def confusion(log_probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Counts, rows the true class and columns the predicted one; shape (K, K)."""
    n_classes = log_probabilities.shape[1]
    return confusion_matrix(codes, log_probabilities.argmax(1), labels=np.arange(n_classes))


@dataclass(frozen=True)
class Rise:
    """Say how often the first choice's probability rises when a modality is taken away, and whether rightly.

    Args:
        share: of the samples that show it and another, in [0, 1].
        accuracy: of the samples in which it rises, with the modality.
        accuracy_without: of the same samples, without it: the rise was right where this is the greater.
        n: samples that show it and another.
    """

    share: float
    accuracy: float
    accuracy_without: float
    n: int


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
        bins: pattern, or "all" -> (mean confidence, accuracy, samples) of each bin of confidence.
        rises: modality -> how often the first choice gets surer without it.
    """

    metrics: Metrics
    confusion: Sequence[Sequence[int]]
    classes: Sequence[str]
    patterns: Mapping[str, Metrics]
    removed: Mapping[str, Metrics]
    data: str = ""
    samples: str = "test part of the training data"
    average: str = ""
    bins: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    rises: Mapping[str, Rise] = field(default_factory=dict)

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
        return revived(cls, values)


def assess_posteriors(
    log_probabilities: np.ndarray,
    codes: np.ndarray,
    classes: Sequence[str],
    observed: Mapping[str, np.ndarray],
    without: Callable[[str, np.ndarray], np.ndarray] | None = None,
) -> Assessment:
    """Judge labelled samples as they are, for each pattern of modalities among them, and with each one taken away.

    Args:
        log_probabilities: shape (n, K).
        codes: class indices, shape (n,).
        classes: names of the class indices.
        observed: modality -> which samples show it, shape (n,).
        without: (modality, indices of the samples that show another) -> their log-probabilities without it; None takes
            nothing away.
    """
    patterns = _samples_by_pattern(observed)
    removed, rises = {}, {}
    for m in observed if len(observed) > 1 else ():
        rest = np.flatnonzero(np.logical_or.reduce([mask for other, mask in observed.items() if other != m]))
        if without and len(rest):
            less = without(m, rest)
            removed[m] = evaluate(less, codes[rest])
            both = observed[m][rest]
            if both.any():
                rises[m] = _rise(log_probabilities[rest[both]], less[both], codes[rest[both]])
    return Assessment(
        metrics=evaluate(log_probabilities, codes),
        confusion=confusion(log_probabilities, codes).tolist(),
        classes=list(classes),
        patterns={name: evaluate(log_probabilities[w], codes[w]) for name, w in patterns.items()},
        removed=removed,
        bins={"all": confidence_bins(log_probabilities, codes)}
        | {name: confidence_bins(log_probabilities[w], codes[w]) for name, w in patterns.items()},
        rises=rises,
    )


def _rise(more: np.ndarray, less: np.ndarray, codes: np.ndarray) -> Rise:
    risen = less.max(1) > more.max(1) + 1e-9
    right = [float((logs[risen].argmax(1) == codes[risen]).mean()) if risen.any() else 0.0 for logs in (more, less)]
    return Rise(float(risen.mean()), *right, n=len(codes))


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
