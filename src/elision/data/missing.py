"""Missingness: which samples lose which modality; functions of the data and the seed alone.

A mechanism says how likely each sample is to be hit, as log-odds up to a constant; `remove` hits the wanted share:

    drive = MECHANISMS["mnar"](arrays, codes, "audio", seed)
    kept = remove(observed, "audio", 0.8, seed, drive)
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from elision.errors import InputError

ANY = "any"
NONE = "none"
"""The modality to remove where nothing is to be removed."""
LABELS = "labels"
"""What is removed where samples are to lose their label, and no modality."""
STRENGTH = 2.0
"""Log-odds of being hit, per standard deviation of what they depend on: a factor of 7.4 in the odds."""

Mechanism = Callable[[Mapping[str, np.ndarray], np.ndarray, str, int], np.ndarray | None]
"""(arrays, codes, missing, seed) -> the drive of `remove`; arrays: modality -> (n, ...), a missing row NaN throughout;
codes: class indices, -1 where there is no label, shape (n,)."""


def remove(
    observed: Mapping[str, np.ndarray], missing: str, rate: float, seed: int, drive: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the masks after removing modalities from a share of the samples.

    Exactly ``round(rate * n)`` of the n samples that can lose something are hit: those that show ``missing`` and
    another modality, or with ``missing="any"`` those that show at least two. No sample loses its last modality.
    With "any" a sample loses a random non-empty proper subset of the modalities that it shows.

    Args:
        observed: modality -> mask of the samples that show it, shape (n,).
        missing: the modality to remove, or "any".
        rate: share of the samples, in [0, 1].
        seed: the same seed hits the same samples at every rate, the fewer among the more.
        drive: log-odds of each sample's being hit, shape (n,): P(hit) = sigmoid(drive + c), where c is such that
            exactly the wanted number is. None: all samples alike.

    Returns:
        New masks, modality -> shape (n,).

    Example:
        >>> masks = {"a": np.ones(10, bool), "b": np.ones(10, bool)}
        >>> int(remove(masks, "a", 0.8, seed=0)["a"].sum())
        2
    """
    names: Sequence[str] = list(observed)
    table = np.stack([observed[m] for m in names], axis=1)
    rng = np.random.default_rng([seed, 1])
    if missing != ANY and missing not in names:
        raise InputError(f"unknown modality {missing!r}: the data has {', '.join(names)} (or any)")
    several = table.sum(1) >= 2
    eligible = np.flatnonzero(several if missing == ANY else several & table[:, names.index(missing)])
    if drive is None:
        order = rng.permutation(eligible)
    else:  # drive + logistic noise exceeds -c with probability sigmoid(drive + c)
        _check_drive(drive, len(table))
        order = eligible[np.argsort(-(drive + _noise(seed, len(table)))[eligible], kind="stable")]
    for row in order[: round(rate * len(eligible))]:
        if missing == ANY:
            shown = np.flatnonzero(table[row])
            kept = shown[_proper_subset(len(shown), np.random.default_rng([seed, 2, row]))]
            table[row] = False
            table[row, kept] = True
        else:
            table[row, names.index(missing)] = False
    return {m: table[:, i] for i, m in enumerate(names)}


def hide_labels(codes: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Return class indices of which a share is hidden (-1): the same of every class, but two of each stay.

    Args:
        codes: class indices, -1 where there is no label; shape (n,).
        rate: share of the labelled samples, in [0, 1].
        seed: the same seed hides the same labels at every rate, the fewer among the more.
    """
    hidden, rng = np.full_like(codes, -1), np.random.default_rng([seed, 6])
    for code in np.unique(codes[codes >= 0]):
        members = rng.permutation(np.flatnonzero(codes == code))
        kept = members[: max(round((1 - rate) * len(members)), 2)]
        hidden[kept] = code
    return hidden


def depends_on(values: np.ndarray, seed: int, strength: float = STRENGTH) -> np.ndarray:
    """Return a drive that grows with a column, or with a random projection of several.

    Args:
        values: shape (n,) or (n, ...), NaN where missing. Each column is standardised; a missing number counts as the
            column's mean.
        seed: of the direction; one column is its own.
        strength: log-odds per standard deviation; negative hits small values.

    Returns:
        Shape (n,), standard deviation ``strength``; 0 in rows that are missing, and throughout if nothing varies.
    """
    columns = values.reshape(len(values), -1).astype(np.float64)
    shown = ~np.isnan(columns).all(1)
    standard = _standard(columns, shown)
    if standard.shape[1] > 1:
        standard = standard @ np.random.default_rng([seed, 3]).normal(size=(standard.shape[1], 1))
    return strength * np.where(shown, _standard(standard, shown)[:, 0], 0.0)


def at_random(arrays: Mapping[str, np.ndarray], codes: np.ndarray, missing: str, seed: int) -> None:
    """Return None: missing completely at random (MCAR), every sample alike."""


def on_the_others(arrays: Mapping[str, np.ndarray], codes: np.ndarray, missing: str, seed: int) -> np.ndarray:
    """Return a drive for missing at random (MAR): on a random projection of the others, which stay observed."""
    _check_named(arrays, missing)
    others = [a.reshape(len(a), -1) for m, a in arrays.items() if m != missing]
    return depends_on(np.concatenate(others, axis=1), seed)


def on_itself(arrays: Mapping[str, np.ndarray], codes: np.ndarray, missing: str, seed: int) -> np.ndarray:
    """Return a drive for missing not at random (MNAR), on a random projection of the values that go missing."""
    _check_named(arrays, missing)
    return depends_on(arrays[missing], seed)


def on_the_label(arrays: Mapping[str, np.ndarray], codes: np.ndarray, missing: str, seed: int) -> np.ndarray:
    """Return a drive for missing by label: each class is hit as readily as a normal draw says, others as on average."""
    _check_named(arrays, missing)
    draws = np.random.default_rng([seed, 5]).normal(size=codes.max(initial=0) + 1)
    return depends_on(np.where(codes >= 0, draws[codes], np.nan)[:, None], seed)


def _standard(columns: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return (x - mean) / standard deviation per column over the rows shown, 0 where blank or constant."""
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(columns) & shown[:, None]
        count = np.maximum(known.sum(0), 1)
        centred = np.where(known, columns - np.where(known, columns, 0.0).sum(0) / count, 0.0)
        largest = np.abs(centred).max(0, initial=0.0)
        scaled = centred / np.where(largest > 0, largest, 1.0)
        deviation = np.sqrt((scaled**2).sum(0) / count)
    varies = largest > 1e-12 * np.abs(np.where(known, columns, 0.0)).max(0, initial=0.0)
    return np.where(varies, scaled / np.where(deviation > 0, deviation, 1.0), 0.0)


def _noise(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, 4]).logistic(size=n)


def _check_drive(drive: np.ndarray, n: int) -> None:
    if np.shape(drive) != (n,) or not np.isfinite(drive).all():
        raise InputError(f"a drive of shape {np.shape(drive)}: expected {(n,)}, a finite number per sample")


def _check_named(arrays: Mapping[str, np.ndarray], missing: str) -> None:
    if missing not in arrays:
        hint = "; which one goes missing must not be left to chance here" if missing == ANY else ""
        raise InputError(f"unknown modality {missing!r}: the data has {', '.join(arrays)}{hint}")
    if len(arrays) < 2:
        raise InputError(f"{missing!r} is the only modality: nothing can be removed")


def _proper_subset(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of n, neither all nor none, each such mask equally likely."""
    code = int(rng.integers(1, 2**n - 1))
    return np.array([code >> bit & 1 for bit in range(n)], dtype=bool)
