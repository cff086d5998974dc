"""Classifiers of one table: all modalities side by side, NaN where something is missing, with or without an imputer."""

import warnings
from typing import Any

import numpy as np
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.rivals import log_floored
from elision.experiments.run import Partition
from elision.inputs import Arrays


class Tabular:
    """A scikit-learn classifier on the concatenated columns of all modalities."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, parts: Partition) -> None:
        """On the labelled training rows."""
        self.widths = {m: a.shape[1] for m, a in parts.train.arrays.items()}
        self.n_classes = len(parts.classes)
        known = parts.train.codes >= 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecation of SVC's probability=True; convergence of the regressions
            self.model.fit(self._table(parts.train.arrays)[known], parts.train.codes[known])

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


def hist_gradient_boosting(rate: float, seed: int) -> Tabular:
    """scikit-learn's HistGradientBoostingClassifier, which takes NaN."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return Tabular(HistGradientBoostingClassifier(learning_rate=rate, max_iter=60, random_state=seed))


def lightgbm(rate: float, seed: int) -> Tabular:
    """LightGBM, which takes NaN."""
    from lightgbm import LGBMClassifier

    return Tabular(LGBMClassifier(learning_rate=rate, n_estimators=60, random_state=seed, n_jobs=1, verbose=-1))
