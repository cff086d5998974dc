"""Classifiers of one table: all modalities side by side, NaN where something is missing, with or without an imputer."""

import copy
import math
import warnings
from typing import Any

import numpy as np
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.rivals import log_floored
from elision.inputs import Arrays
from elision.study.on_arrays import Parts


class Tabular:
    """A scikit-learn classifier on the concatenated columns of all modalities."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, parts: Parts) -> None:
        """On the labelled training rows."""
        self._fit(parts)

    def _fit(self, parts: Parts, **options: Any) -> None:
        self.widths = {m: a.shape[1] for m, a in parts.train.arrays.items()}
        self.n_classes = len(parts.classes)
        known = parts.train.codes >= 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecation of SVC's probability=True; convergence of the regressions
            self.model.fit(self._table(parts.train.arrays)[known], parts.train.codes[known], **options)

    def predict_log_proba(self, arrays: Arrays) -> np.ndarray:
        """NaN for a modality that is absent."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probabilities = self.model.predict_proba(self._table(arrays))
        return log_floored(probabilities, self.model.classes_, self.n_classes)

    def _table(self, arrays: Arrays) -> np.ndarray:
        n = len(next(iter(arrays.values())))
        return np.hstack([arrays.get(m, np.full((n, width), np.nan)) for m, width in self.widths.items()])


def imputed(imputer: Any, classifier: Any) -> Tabular:
    """Standardise (which passes NaN on), impute, classify."""
    return Tabular(make_pipeline(StandardScaler(), imputer, classifier))


def mean_svc(c: float, seed: int) -> Tabular:
    """SimpleImputer and an RBF SVC."""
    return imputed(SimpleImputer(keep_empty_features=True), SVC(C=c, probability=True, random_state=seed))


def knn_svc(c: float, seed: int) -> Tabular:
    """KNNImputer and an RBF SVC."""
    return imputed(KNNImputer(keep_empty_features=True), SVC(C=c, probability=True, random_state=seed))


def mean_logistic(c: float, seed: int) -> Tabular:
    """SimpleImputer and logistic regression."""
    return imputed(SimpleImputer(keep_empty_features=True), LogisticRegression(C=c, max_iter=1000, random_state=seed))


def knn_logistic(c: float, seed: int) -> Tabular:
    """KNNImputer and logistic regression."""
    return imputed(KNNImputer(keep_empty_features=True), LogisticRegression(C=c, max_iter=1000, random_state=seed))


class Booster(Tabular):
    """Gradient boosting that stops by validation NLL, looked at every twenty trees up to ``trees``."""

    def __init__(self, model: Any, trees: int, name: str) -> None:
        super().__init__(model)
        self.trees, self.name = trees, name

    def fit(self, parts: Parts) -> None:
        """Grow twenty trees at a time; keep what the validation part likes best, stop after twice without gain."""
        codes = parts.validation.codes
        best, since = (math.inf, None), 0
        for n in range(20, self.trees + 1, 20):
            self.model.set_params(**{self.name: n})
            super().fit(parts)
            nll = -self.predict_log_proba(parts.validation.arrays)[np.arange(len(codes)), codes].mean()
            best, since = ((nll, copy.deepcopy(self.model)), 0) if nll < best[0] else (best, since + 1)
            if since == 2:
                break
        self.model = best[1]


def hist_gradient_boosting(rate: float, leaves: int, seed: int) -> Tabular:
    """scikit-learn's HistGradientBoostingClassifier, which takes NaN; grown on by its warm start."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=rate, max_leaf_nodes=leaves, early_stopping=False, warm_start=True, random_state=seed
    )
    return Booster(model, 160, "max_iter")


class LightGBM(Tabular):
    """LightGBM, which takes NaN; it stops itself by the validation part."""

    def fit(self, parts: Parts) -> None:
        """Up to 200 trees; stop after 50 without gain."""
        from lightgbm import early_stopping

        self.widths = {m: a.shape[1] for m, a in parts.train.arrays.items()}
        held = (self._table(parts.validation.arrays), parts.validation.codes)
        self._fit(parts, eval_set=[held], callbacks=[early_stopping(50, verbose=False)])


def lightgbm(rate: float, leaves: int, seed: int) -> Tabular:
    """LightGBM of so many leaves a tree."""
    from lightgbm import LGBMClassifier

    return LightGBM(
        LGBMClassifier(learning_rate=rate, n_estimators=200, num_leaves=leaves, random_state=seed, n_jobs=1, verbose=-1)
    )
