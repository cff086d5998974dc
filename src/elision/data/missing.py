"""Missingness: which samples lose which modality, keyed on the seed alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from elision.errors import InputError

ANY = "any"


def remove(observed: Mapping[str, np.ndarray], missing: str, rate: float, seed: int) -> dict[str, np.ndarray]:
    """The masks after removing modalities from a share of the samples.

    Exactly ``round(rate * n)`` of the n samples that can lose something are hit: those that show ``missing`` and
    another modality, or with ``missing="any"`` those that show at least two. No sample loses its last modality.
    With "any" a sample loses a random non-empty proper subset of the modalities that it shows.

    Args:
        observed: modality -> mask of the samples that show it, shape (n,).
        missing: the modality to remove, or "any".
        rate: share of the samples, in [0, 1].
        seed: the same seed hits the same samples at every rate, the fewer among the more.

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
    hit = rng.permutation(eligible)[: round(rate * len(eligible))]
    for row in hit:
        if missing == ANY:
            shown = np.flatnonzero(table[row])
            kept = shown[_proper_subset(len(shown), np.random.default_rng([seed, 2, row]))]
            table[row] = False
            table[row, kept] = True
        else:
            table[row, names.index(missing)] = False
    return {m: table[:, i] for i, m in enumerate(names)}


def _proper_subset(n: int, rng: np.random.Generator) -> np.ndarray:
    """A mask of n, neither all nor none, each such mask equally likely."""
    code = int(rng.integers(1, 2**n - 1))
    return np.array([code >> bit & 1 for bit in range(n)], dtype=bool)
