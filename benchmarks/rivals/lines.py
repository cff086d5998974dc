"""The rivals by name, each with its candidates: at most three settings, chosen by validation NLL."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from benchmarks.rivals import Candidate
from benchmarks.rivals.imml_models import IMML
from benchmarks.rivals.late_svc import LateSVC
from benchmarks.rivals.tabular import (
    hist_gradient_boosting,
    knn_logistic,
    knn_svc,
    lightgbm,
    mean_logistic,
    mean_svc,
)

_SVC = (1.0, 10.0, 100.0)
_LOGISTIC = (0.01, 0.1, 1.0)
_TREES = ((0.1, 31), (0.1, 7))
"""(learning rate, leaves of a tree)."""

RIVALS: dict[str, list[Callable[[int], Candidate]]] = {
    "late fusion of SVCs": [partial(LateSVC, c) for c in _SVC],
    "mean imputation, SVC": [partial(mean_svc, c) for c in _SVC],
    "kNN imputation, SVC": [partial(knn_svc, c) for c in _SVC],
    "mean imputation, logistic": [partial(mean_logistic, c) for c in _LOGISTIC],
    "kNN imputation, logistic": [partial(knn_logistic, c) for c in _LOGISTIC],
    "HistGradientBoosting": [partial(hist_gradient_boosting, *setting) for setting in _TREES],
    "LightGBM": [partial(lightgbm, *setting) for setting in _TREES],
    "imml M3Care": [partial(IMML, "M3Care", rate) for rate in (1e-3, 3e-4)],
    "imml MUSE": [partial(IMML, "MUSE", 1e-3)],  # for its length; on seed 100 neither 3e-3 nor 1e-3 won everywhere
}
"""name -> candidates, functions of the seed."""


def not_installed() -> dict[str, str]:
    """rival -> why it cannot run here; looked at before anything is trained."""
    imml = ("imml", "lightning", "torch_geometric", "torchvision", "transformers")
    needs = {"LightGBM": ("lightgbm",), "imml M3Care": imml, "imml MUSE": imml}
    absent = {rival: [p for p in packages if find_spec(p) is None] for rival, packages in needs.items()}
    return {
        rival: f"not installed: {', '.join(packages)}; pip install -e '.[rivals]'"
        for rival, packages in absent.items()
        if packages
    }
