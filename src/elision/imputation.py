"""Filling the blanks of rows that show a part of a modality, by scikit-learn's imputers."""

import warnings
from functools import cached_property

import numpy as np

IMPUTERS = ("mean", "knn", "iterative")
"""What a blank in a row that shows the rest may take."""
_ROWS = 2000
_PREDICTORS = 20


class Filling:
    """Fills a blank from what else its row shows: by the 5 nearest training rows, or by ridge regressions in turn.

    It is its training rows: scikit-learn's own, which can be saved by pickle alone, is fitted to them when it is first
    needed, in the same way each time. "iterative" regresses on at most 20 columns, and stays within a deviation of the
    rows' range.

    Args:
        name: "knn" or "iterative".
        rows: standardised training rows that show something, (n, d), NaN where a number is blank.
    """

    def __init__(self, name: str, rows: np.ndarray) -> None:
        self.name, self.rows = name, rows

    @classmethod
    def of(cls, name: str, rows: np.ndarray) -> "Filling":
        """Return one of at most 2,000 of the rows, drawn at random."""
        kept = np.sort(np.random.default_rng(0).permutation(len(rows))[:_ROWS])
        return cls(name, rows[kept])

    def fill(self, rows: np.ndarray) -> np.ndarray:
        """Return standardised rows, (n, d), without blanks; one that shows nothing stays as it is."""
        gappy = np.isnan(rows).any(1) & ~np.isnan(rows).all(1)
        if gappy.any():
            rows = rows.copy()
            rows[gappy] = self._fitted.transform(rows[gappy])
        return rows

    @cached_property
    def _fitted(self):
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer, KNNImputer

        if self.name == "knn":
            return KNNImputer(keep_empty_features=True).fit(self.rows)
        few = min(_PREDICTORS, max(self.rows.shape[1] - 1, 1))
        ends = {"min_value": np.nanmin(self.rows) - 1, "max_value": np.nanmax(self.rows) + 1}
        imputer = IterativeImputer(n_nearest_features=few, random_state=0, keep_empty_features=True, **ends)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where ten rounds were not enough
            return imputer.fit(self.rows)
