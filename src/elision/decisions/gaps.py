"""Gaps that speak: which modalities a sample shows may say something of its class, such as a test that nobody ordered.

    Q(z | x_S, S)  prop. to  Q(z | x_S) P(S | z)^t,   t in [0, 1] by validation

It is right at t = 1 where what is shown is independent of S given the class. Where gaps are at random P(S | z) = P(S),
and nothing changes. It goes beyond the paper.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

MANY = 10
"""Modalities beyond which P(S | z) is a product over them, and no table of patterns."""
SMOOTH = 20.0
"""Imaginary samples of a class that show patterns as the product over modalities has it."""


@dataclass(frozen=True, eq=False)
class GapTable:
    """P(S | z), the probability of a pattern of modalities in each class.

    P(S | z) = (n_Sz + 20 prod_m P(m | z)) / (n_z + 20): the pattern's share of the class, smoothed by modalities that
    are shown independently of each other; beyond 10 modalities the product alone.

    Args:
        shown: P(m | z), (n_mz + 2 P(m)) / (n_z + 2) with P(m) = (n_m + 1) / (n + 2); shape (K, M).
        patterns: those that training samples show, shape (P, M), bool; none beyond 10 modalities.
        counts: n_Sz, shape (P, K).
        sizes: n_z, shape (K,).
        power: t.
    """

    shown: np.ndarray
    patterns: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    power: float = 1.0

    @classmethod
    def of(
        cls,
        observed: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        weights: np.ndarray | None = None,
        power: float = 1.0,
    ) -> "GapTable":
        """Count labelled samples.

        Args:
            observed: which samples show which modalities, shape (n, M), bool.
            codes: class indices, shape (n,).
            n_classes: K.
            weights: how many samples each one counts as, shape (n,).
            power: t.
        """
        shares = np.eye(n_classes)[codes] * (1.0 if weights is None else weights[:, None])  # (n, K)
        sizes = shares.sum(0)
        by_class = shares.T @ observed
        overall = (by_class.sum(0) + 1) / (sizes.sum() + 2)
        shown = (by_class + 2 * overall) / (sizes[:, None] + 2)
        few = observed if observed.shape[1] <= MANY else observed[:0]
        patterns, which = np.unique(few, axis=0, return_inverse=True)
        counts = (np.arange(len(patterns))[:, None] == which.ravel()).astype(float) @ shares[: len(few)]
        return cls(shown, patterns, counts, sizes, power)

    def log_likelihood(self, observed: np.ndarray) -> np.ndarray:
        """Return t log P(S | z) of each sample's pattern; ``observed`` has shape (n, M), the result (n, K)."""
        logs = observed @ np.log(self.shown).T + ~observed @ np.log1p(-self.shown).T
        if observed.shape[1] <= MANY:
            same = (observed[:, None] == self.patterns).all(2).astype(float)  # (n, P), at most one of a row
            logs = np.log(same @ self.counts + SMOOTH * np.exp(logs)) - np.log(self.sizes + SMOOTH)
        return self.power * logs

    def posterior(self, log_posteriors: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Return log Q(z | x_S, S); both shapes (n, K)."""
        return log_softmax(log_posteriors + self.log_likelihood(observed), axis=1)


def best_power(
    table: GapTable, log_posteriors: np.ndarray, observed: np.ndarray, codes: np.ndarray, weights: np.ndarray | None
) -> float:
    """Return the t that makes validation samples most likely; 0 where the gain is within a standard error of nothing.

    Args:
        table: P(S | z) of the training samples, of power 1.
        log_posteriors: of validation samples that were not learnt from, shape (n, K).
        observed, codes, weights: of these; see `GapTable.of`.
    """
    rows = np.arange(len(codes))
    logs = table.log_likelihood(observed)
    powers = np.linspace(0, 1, 21)
    likely = np.stack([log_softmax(log_posteriors + t * logs, axis=1)[rows, codes] for t in powers])
    means = np.average(likely, axis=1, weights=weights)
    gains = likely[means.argmax()] - likely[0]
    error = gains.std() / max(len(gains) - 1, 1) ** 0.5
    return float(powers[means.argmax()]) if means.max() - means[0] > error else 0.0
