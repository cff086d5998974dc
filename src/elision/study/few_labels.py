"""What stands beside the methods where labels are few: the labelled samples alone, and scikit-learn's two ways."""

from collections.abc import Callable, Mapping

import numpy as np

from elision.inputs import Arrays, Samples
from elision.likelihood import UNLABELLED
from elision.study.run import LABEL_SPREADING, SELF_TRAINING

FLOOR = 1e-3
"""Least probability of a class: label spreading gives 0, and the NLL of a single such sample would be infinite."""


def labelled_only(samples: Samples) -> Samples:
    """Return the samples that have a label."""
    return samples.take(np.flatnonzero(samples.codes != UNLABELLED))


def fit_scikit(name: str, samples: Samples, n_classes: int) -> Callable[[Arrays], np.ndarray]:
    """Fit scikit-learn's `SelfTrainingClassifier` or `LabelSpreading` to one table of all modalities.

    Columns are standardised, and what is missing is the mean.

    Args:
        name: "self-training" or "label-spreading".
        samples: -1 where there is no label.
        n_classes: K.

    Returns:
        From arrays, of which some may be absent, to log-probabilities, shape (n, K).
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shapes = {m: a.shape[1:] for m, a in samples.arrays.items()}

    def table(arrays: Arrays) -> np.ndarray:
        n = len(next(iter(arrays.values())))
        blocks = [arrays.get(m, np.full((n, *shape), np.nan)) for m, shape in shapes.items()]
        return np.concatenate([block.reshape(n, -1) for block in blocks], axis=1)

    prepared = make_pipeline(StandardScaler(), SimpleImputer(keep_empty_features=True))
    model = _SCIKIT[name]()
    model.fit(prepared.fit_transform(table(samples.arrays)), samples.codes)

    def predict(arrays: Arrays) -> np.ndarray:
        found = np.nan_to_num(model.predict_proba(prepared.transform(table(arrays))), nan=1 / n_classes)
        shares = np.full((len(found), n_classes), 0.0)
        shares[:, model.classes_] = found
        shares = np.maximum(shares, FLOOR)
        return np.log(shares / shares.sum(1, keepdims=True))

    return predict


def _self_training() -> object:
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import SelfTrainingClassifier

    return SelfTrainingClassifier(LogisticRegression(max_iter=1000))


def _label_spreading() -> object:
    from sklearn.semi_supervised import LabelSpreading

    return LabelSpreading(kernel="knn", n_neighbors=7)


_SCIKIT: Mapping[str, Callable] = {SELF_TRAINING: _self_training, LABEL_SPREADING: _label_spreading}
