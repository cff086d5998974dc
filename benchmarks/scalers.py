"""Whether columns should be scaled by quantiles or robustly before a fit: means and deviations against scikit-learn's.

    OMP_NUM_THREADS=1 python -m benchmarks.scalers ../shared/data --out results/scalers --seeds 3

For choosing the default: seeds from 100 on, half of each modality missing at random in training and at test. In the
cells called heavy every column went through sinh(2 z) first, which gives it tails that no real column here has.
"""

from pathlib import Path
from unittest.mock import patch

import numpy as np
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from benchmarks.kept import once, options
from benchmarks.members import read
from elision import MultimodalClassifier
from elision.data.splits import split
from elision.inputs import Standardizer

SCALERS = ("mean and deviation", "robust", "quantiles")
NAMES = ["RAVDESS", "mfeat, 3 views", "digits", "RAVDESS, heavy", "digits, heavy"]
"""Data sets; of a heavy one the columns are made so."""


class Robust(Standardizer):
    """Takes the median and the range of the middle half for mean and deviation."""

    @classmethod
    def fit(cls, arrays, weights=None, impute="mean"):
        """Learn them."""
        fitted = {m: RobustScaler(unit_variance=True).fit(a) for m, a in arrays.items()}
        return Standardizer({m: f.center_ for m, f in fitted.items()}, {m: 1 / f.scale_ for m, f in fitted.items()})


def quantiles(array: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return columns that are normal in the training rows."""
    fitted = QuantileTransformer(output_distribution="normal", n_quantiles=200, random_state=0).fit(array[train])
    return fitted.transform(array)


def measure(name: str, folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Return scaler -> accuracy and NLL of test samples."""
    arrays, labels, _ = read(name.removesuffix(", heavy"), folder)
    if name.endswith("heavy"):
        arrays = {m: np.sinh(2 * StandardScaler().fit_transform(a)) for m, a in arrays.items()}
    classes, codes = np.unique(labels, return_inverse=True)
    part = split(codes, None, seed, classes)
    rng = np.random.default_rng(seed)
    arrays = {m: np.where(rng.random((len(a), 1)) < 0.5, np.nan, a) for m, a in arrays.items()}
    train, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
    found = {}
    for label in SCALERS:
        scaled = arrays
        if label == "quantiles":
            scaled = {m: quantiles(a, train) for m, a in arrays.items()}
        with patch("elision.estimator.Standardizer", Robust if label == "robust" else Standardizer):
            model = MultimodalClassifier(random_state=seed).fit({m: a[train] for m, a in scaled.items()}, codes[train])
        logs = model.predict_log_proba({m: a[test] for m, a in scaled.items()})
        right, nll = logs.argmax(1) == codes[test], -logs[np.arange(len(test)), codes[test]]
        found[label] = {"accuracy": float(100 * right.mean()), "nll": float(nll.mean())}
    return found


def main() -> None:
    """Measure what is not kept yet, and print a row per data set."""
    given = options(__doc__, 3, NAMES)
    print("| data | scaler | accuracy, % | NLL | difference of NLL, each seed |\n|---|---|---|---|---|")
    for name in given.data:
        seeds = range(100, 100 + given.seeds)
        kept = [
            once(given.out / f"{name}-{s}.json", lambda name=name, s=s: measure(name, given.source, s)) for s in seeds
        ]
        for label in SCALERS:
            accuracy, nll = (np.mean([k[label][key] for k in kept]) for key in ("accuracy", "nll"))
            apart = ", ".join(f"{k[label]['nll'] - k['mean and deviation']['nll']:+.3f}" for k in kept)
            print(f"| {name} | {label} | {accuracy:.1f} | {nll:.3f} | {apart} |")


if __name__ == "__main__":
    main()
