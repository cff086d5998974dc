"""The equations of MATH.md as float64 loops over numpy arrays. Shares no code with the source, and avoids its tricks.

A label parameter is laid out as each fusion documents it: addition (K, k), concatenation (M, K, k), and for the outer
product the factors A_m of the label tensor: (1, K, k, k) where it is full (M = 2), else (M, K, r, k).
"""

import itertools
from functools import reduce

import numpy as np


def phi(fusion, features):
    """phi(f_1, ..., f_M) of one sample; ``features`` is a list of M vectors."""
    if fusion == "addition":
        return np.sum(features, axis=0)
    if fusion == "concatenation":
        return np.concatenate(features)
    return reduce(np.multiply.outer, features).ravel()


def label_embedding(fusion, label, z, n_modalities):
    """h(z), as long as phi."""
    if fusion == "addition":
        return label[z]
    if fusion == "concatenation":
        return np.concatenate([label[m, z] for m in range(n_modalities)])
    factors = label[:, z]  # (1 or M, r, k)
    if len(factors) < n_modalities:  # s = (H f_1) . f_2: the full tensor, first axis of phi last in H
        return factors[0].T.ravel()
    return sum(reduce(np.multiply.outer, [factor[r] for factor in factors]) for r in range(factors.shape[1])).ravel()


def score(fusion, label, features):
    """s(x, z) = phi . h(z) of one complete sample, for every z; shape (K,)."""
    n_classes = label.shape[0] if label.ndim == 2 else label.shape[1]
    vector = phi(fusion, features)
    return np.array([vector @ label_embedding(fusion, label, z, len(features)) for z in range(n_classes)])


def marginal_score(fusion, label, features, banks):
    """s_S(z) = log mean over tuples of bank rows of exp s, literally; a missing feature is None."""
    tuples = itertools.product(*(banks[m] if f is None else [f] for m, f in enumerate(features)))
    return np.log(np.mean([np.exp(score(fusion, label, t)) for t in tuples], axis=0))


def posterior(scores, prior):
    """Q(z | x_S) of one sample, Eq. (4) and (5)."""
    weights = prior * np.exp(scores)
    return weights / weights.sum()


def evidence(scores, empty_scores, prior):
    """Q(x_S) / prod R_m(x_m) of one sample."""
    return np.sum(prior * np.exp(scores)) / np.sum(prior * np.exp(empty_scores))


def objective(name, scores, empty_scores, prior, labels):
    """The conditional objective, Eq. (2), or the joint one: each sum is averaged over its own count."""
    labelled = [i for i, z in enumerate(labels) if z >= 0]
    conditional = np.mean([-np.log(posterior(scores[i], prior)[labels[i]]) for i in labelled])
    if name == "conditional":
        return conditional
    return conditional - np.mean([np.log(evidence(s, empty_scores, prior)) for s in scores])


def soft_hgr(u, v):
    """E[u . v] - 1/2 tr(cov(u) cov(v)) by loops over samples and dimensions, unbiased, means removed."""
    n, k = u.shape
    u, v = u - u.mean(0), v - v.mean(0)
    inner = sum(float(u[i] @ v[i]) for i in range(n)) / (n - 1)
    covariance_u, covariance_v = np.zeros((k, k)), np.zeros((k, k))
    for i in range(n):
        covariance_u += np.outer(u[i], u[i]) / (n - 1)
        covariance_v += np.outer(v[i], v[i]) / (n - 1)
    return inner - sum(covariance_u[a, b] * covariance_v[b, a] for a in range(k) for b in range(k)) / 2
