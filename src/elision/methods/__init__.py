"""Methods: each turns a batch in which modalities are missing into log-probabilities of the label."""

from elision.methods.base import Claims, Method, Stage
from elision.methods.lower_bound import LowerBound
from elision.methods.mle import MaximumLikelihood
from elision.methods.zero_padding import ZeroPadding

METHODS: dict[str, type[Method]] = {
    "mle": MaximumLikelihood,
    "lower-bound": LowerBound,
    "zero-padding": ZeroPadding,
}

__all__ = ["METHODS", "Claims", "LowerBound", "MaximumLikelihood", "Method", "Stage", "ZeroPadding"]
