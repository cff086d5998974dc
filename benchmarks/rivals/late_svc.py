"""One RBF `SVC(probability=True)` per modality on the rows that have it, log-posteriors added minus the log prior."""

import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.rivals import log_floored
from elision.inputs import Arrays, observed_rows
from elision.study.on_arrays import Parts


class LateSVC:
    """log P(z) + sum over observed m of (log P(z | x_m) - log P(z)): the modalities independent given the label."""

    def __init__(self, c: float, seed: int) -> None:
        self.c, self.seed = c, seed

    def fit(self, parts: Parts) -> None:
        """One SVC per modality, standardised on its own rows."""
        arrays, codes = parts.train.arrays, parts.train.codes
        counts = np.bincount(codes[codes >= 0], minlength=len(parts.classes))
        self.log_prior = np.log(counts / counts.sum())
        self.experts = {}
        for m, values in arrays.items():
            rows = observed_rows(values) & (codes >= 0)
            svc = SVC(C=self.c, probability=True, random_state=self.seed)
            expert = make_pipeline(StandardScaler(), SimpleImputer(keep_empty_features=True), svc)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # probability=True: its replacement was worse here
                self.experts[m] = expert.fit(values[rows], codes[rows])

    def predict_log_proba(self, arrays: Arrays) -> np.ndarray:
        """The prior, and what each observed modality adds to it."""
        n, n_classes = len(next(iter(arrays.values()))), len(self.log_prior)
        logs = np.tile(self.log_prior, (n, 1))
        for m, values in arrays.items():
            rows, expert = observed_rows(values), self.experts[m]
            if rows.any():
                probabilities = expert.predict_proba(values[rows])
                logs[rows] += log_floored(probabilities, expert.classes_, n_classes) - self.log_prior
        return log_softmax(logs, axis=1)
