"""Another population: classes that are more or less common than where the model was trained.

R_Z stands in the likelihood, so another one takes its place exactly: Q'(z | x_S) prop. to Q(z | x_S) R'_Z(z) / R_Z(z).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import chi2

from elision.errors import InputError


def with_prior(log_posteriors: np.ndarray, log_prior: np.ndarray, class_prior: np.ndarray) -> np.ndarray:
    """Return log-posteriors in a population of another class prior.

    Args:
        log_posteriors: shape (n, K).
        log_prior: log R_Z of the training samples, shape (K,).
        class_prior: the other population's, shape (K,), 0 or more, sums to 1.
    """
    with np.errstate(divide="ignore"):
        return log_softmax(log_posteriors + np.log(class_prior) - log_prior, axis=1)


def read_prior(class_prior: object, classes: np.ndarray) -> np.ndarray:
    """Return a class prior as an array, in the order of the classes.

    Args:
        class_prior: numbers in that order, or a dict or Series class -> number.
        classes: shape (K,).

    Raises:
        InputError: it misses a class, holds another, or is no distribution.
    """
    if isinstance(class_prior, pd.Series) and not isinstance(class_prior.index, pd.RangeIndex):
        class_prior = class_prior.to_dict()  # by its classes, in whatever order
    if isinstance(class_prior, dict):
        known = classes.tolist()
        if set(class_prior) != set(known):
            raise InputError(f"class_prior is given for {list(class_prior)}: expected each class of {known}")
        class_prior = [class_prior[c] for c in known]
    try:
        prior = np.asarray(class_prior, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"class_prior is {class_prior!r}: expected a number for each class") from error
    if prior.shape != classes.shape:
        raise InputError(f"class_prior has shape {prior.shape}: expected a number for each of {len(classes)} classes")
    if not (np.isfinite(prior).all() and (prior >= 0).all() and abs(prior.sum() - 1) < 1e-6):
        raise InputError(f"class_prior sums to {prior.sum():.6g}: expected numbers of 0 or more that sum to 1")
    return prior / prior.sum()


@dataclass(frozen=True)
class PriorEstimate:
    """The class prior of a population of unlabelled samples.

    Args:
        prior: the estimate, shape (K,); the training prior where the test does not reject it.
        p_value: of the likelihood-ratio test whether the population's prior differs from the training samples'.
        likeliest: the estimate whatever the test says, shape (K,).
    """

    prior: np.ndarray
    p_value: float
    likeliest: np.ndarray


def estimate_prior(
    log_posteriors: np.ndarray, log_prior: np.ndarray, level: float = 0.01, iterations: int = 1000
) -> PriorEstimate:
    """Estimate the class prior of unlabelled samples by EM (Saerens, Latinne, Decaestecker 2002).

    It maximises sum_i log sum_z Q(z | x_i) R'(z) / R(z), K imaginary samples of the training prior beside the n real
    ones: without them a class that few samples show is ruled out. Errors of the model look like a shift, so the
    estimate takes the place of the training prior only where twice the gain in log-likelihood exceeds the chi-squared
    quantile of K - 1 degrees of freedom.

    Args:
        log_posteriors: of the samples, shape (n, K).
        log_prior: log R_Z of the training samples, shape (K,).
        level: of the test: how often it calls the same prior another one, were the model right.
        iterations: of EM, at most.
    """
    if not len(log_posteriors):
        raise InputError("a prior needs samples to be estimated from, and there are none")
    ratios = log_posteriors - log_prior
    log_estimate: np.ndarray = log_prior
    for _ in range(iterations):
        shares = log_softmax(ratios + log_estimate, axis=1)
        counts = np.exp(np.logaddexp.reduce(shares, axis=0)) + len(log_prior) * np.exp(log_prior)
        updated = np.log(counts / counts.sum())
        change = np.abs(np.exp(updated) - np.exp(log_estimate)).max()
        log_estimate = updated
        if change < 1e-10:
            break
    fits = [np.logaddexp.reduce(ratios + prior, axis=1).sum() for prior in (log_estimate, log_prior)]
    gain = fits[0] - fits[1]
    p_value = float(chi2.sf(2 * max(gain, 0.0), len(log_prior) - 1))
    likeliest = np.exp(log_estimate)
    likeliest /= likeliest.sum()
    return PriorEstimate(likeliest if p_value < level else np.exp(log_prior), p_value, likeliest)
