"""Why this class: what each modality adds to it, by averaging the others out exactly. No value is ever imputed."""

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from elision.batch import Batch

EXACT = 10
"""Modalities up to which Shapley values sum over all subsets of them; beyond, over random orders."""
ORDERS = 200
"""Random orders of the modalities, where there are too many subsets."""

LogPosterior = Callable[[Batch], np.ndarray]
"""A batch to log Q(z | x_S), shape (n, K)."""


def shapley(log_posterior: LogPosterior, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return what each modality adds to each class's log-posterior, and the standard error of that.

    Shapley values over the modalities that a sample shows, of v(T) = log Q(z | x_T): each modality's mean gain over all
    orders in which they could have been seen. They sum to log Q(z | x_S) - log Q(z | nothing). A modality that a sample
    lacks adds 0. Under an additive fusion and a single model they are f_m . h_m(z) - c_m(z), up to what all classes
    share.

    Args:
        log_posterior: of any pattern.
        batch: the samples.

    Returns:
        Both of shape (n, M, K). The standard error is 0 up to 10 modalities, where all 2^M posteriors are computed;
        beyond, it is that of the mean over 200 random orders.
    """
    if len(batch.modalities) <= EXACT:
        values = _over_subsets(log_posterior, batch)
        return values, np.zeros_like(values)
    return _over_orders(log_posterior, batch)


def contribution_table(log_posterior: LogPosterior, batch: Batch, classes: np.ndarray) -> pd.DataFrame:
    """Return a row per sample, modality that it shows, and class: sample, modality, class, nats, standard_error."""
    values, errors = shapley(log_posterior, batch)
    shown = batch.observed.cpu().numpy()
    sample, modality = np.nonzero(shown)
    n_classes = len(classes)
    return pd.DataFrame(
        {
            "sample": sample.repeat(n_classes),
            "modality": np.array(batch.modalities, dtype=object)[modality].repeat(n_classes),
            "class": np.tile(classes, len(sample)),
            "nats": values[sample, modality].ravel(),
            "standard_error": errors[sample, modality].ravel(),
        }
    )


def importance_table(log_posterior: LogPosterior, batch: Batch, codes: np.ndarray) -> pd.DataFrame:
    """Return what each modality is worth on labelled samples, a row per modality.

    Columns: n (samples that show it); without_nll and without_accuracy, by how much the mean NLL rises (nats) and the
    accuracy falls when it is averaged out; alone_nll and alone_accuracy, by how much the NLL falls and the accuracy
    rises when it alone is shown, against nothing; shapley_nll, its share of the whole fall of the mean NLL: these sum
    to the NLL of the prior minus that of what is shown.

    Args:
        log_posterior: of any pattern.
        batch: labelled samples.
        codes: their class indices, shape (n,).
    """
    rows = np.arange(len(codes))
    own = log_posterior(batch)
    nothing = log_posterior(_hidden(batch, batch.modalities))
    values, _ = shapley(log_posterior, batch)
    table = []
    for index, m in enumerate(batch.modalities):
        without = log_posterior(_hidden(batch, [m]))
        alone = log_posterior(_hidden(batch, [other for other in batch.modalities if other != m]))
        table.append(
            {
                "modality": m,
                "n": int(batch.observed[:, index].sum()),
                "without_nll": float((own - without)[rows, codes].mean()),
                "without_accuracy": _accuracy(own, codes) - _accuracy(without, codes),
                "alone_nll": float((alone - nothing)[rows, codes].mean()),
                "alone_accuracy": _accuracy(alone, codes) - _accuracy(nothing, codes),
                "shapley_nll": float(values[rows, index, codes].mean()),
            }
        )
    return pd.DataFrame(table).set_index("modality")


def _accuracy(logs: np.ndarray, codes: np.ndarray) -> float:
    return float((logs.argmax(1) == codes).mean())


def _hidden(batch: Batch, modalities: Sequence[str]) -> Batch:
    return reduce(Batch.without, modalities, batch)


def _over_subsets(log_posterior: LogPosterior, batch: Batch) -> np.ndarray:
    """Sum over all T of the weights of the modalities that a sample shows; a subset's posterior is computed once."""
    names, shown = batch.modalities, batch.observed.cpu().numpy()
    n_modalities, n_shown = len(names), shown.sum(1)
    subsets = [frozenset(c) for k in range(n_modalities + 1) for c in combinations(range(n_modalities), k)]
    logs = {s: log_posterior(_hidden(batch, [m for i, m in enumerate(names) if i not in s])) for s in subsets}
    values = np.zeros((len(batch), n_modalities, logs[frozenset()].shape[1]))
    for subset in subsets:
        inside = shown[:, sorted(subset)].all(1)  # for other samples it is the same as a smaller subset
        for m in set(range(n_modalities)) - subset:
            counted = np.flatnonzero(inside & shown[:, m])
            share = np.array([1 / (k * comb(k - 1, len(subset))) for k in n_shown[counted].tolist()])
            values[counted, m] += share[:, None] * (logs[subset | {m}] - logs[subset])[counted]
    return values


def _over_orders(log_posterior: LogPosterior, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    rng, names = np.random.default_rng(0), batch.modalities
    nothing = log_posterior(_hidden(batch, names))
    total = np.zeros((len(batch), len(names), nothing.shape[1]))
    squares = np.zeros_like(total)
    for _ in range(ORDERS):
        gains = np.zeros_like(total)
        before, hidden = nothing, list(names)
        for m in rng.permutation(len(names)).tolist():
            hidden.remove(names[m])
            after = log_posterior(_hidden(batch, hidden))
            gains[:, m], before = after - before, after
        total, squares = total + gains, squares + gains**2
    mean = total / ORDERS
    return mean, np.sqrt(np.maximum(squares / ORDERS - mean**2, 0) / (ORDERS - 1))
