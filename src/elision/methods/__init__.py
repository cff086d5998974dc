"""Methods: each turns a batch in which modalities are missing into log-probabilities of the label."""

from elision.methods.autoencoder import AE1, AE2
from elision.methods.base import Claims, Method, Stage
from elision.methods.hgr import HGR
from elision.methods.late_fusion import LateFusion
from elision.methods.lower_bound import LowerBound
from elision.methods.mean_imputation import MeanImputation
from elision.methods.mle import MaximumLikelihood
from elision.methods.modality_dropout import ModalityDropout
from elision.methods.zero_padding import ZeroPadding

METHODS: dict[str, type[Method]] = {
    "mle": MaximumLikelihood,
    "lower-bound": LowerBound,
    "zero-padding": ZeroPadding,
    "hgr": HGR,
    "ae1": AE1,
    "ae2": AE2,
    "mean-imputation": MeanImputation,
    "modality-dropout": ModalityDropout,
    "late-fusion": LateFusion,
}
"""name -> class."""

__all__ = [
    "AE1",
    "AE2",
    "HGR",
    "METHODS",
    "Claims",
    "LateFusion",
    "LowerBound",
    "MaximumLikelihood",
    "MeanImputation",
    "Method",
    "ModalityDropout",
    "Stage",
    "ZeroPadding",
]
