"""Soft-HGR: how strongly two sets of features go together (L. Wang et al., AAAI 2019, arXiv 1811.08979)."""

from torch import Tensor


def soft_hgr(u: Tensor, v: Tensor) -> Tensor:
    """L(u, v) = E[u . v] - 1/2 tr(cov(u) cov(v)), of features whose means are removed; to be maximised.

    Over all functions u(x) and v(y) of k dimensions its maximum is half the sum of the k largest squared singular
    values of the normalised joint probability table, the trivial one left out. The covariances are k x k, unbiased.

    Args:
        u: features of the same n samples as ``v``, shape (n, k).
        v: shape (n, k).

    Returns:
        A scalar; 0 for fewer than two samples, which say nothing about correlation.
    """
    n = len(u)
    if n < 2:
        return u.sum() * 0.0
    u, v = u - u.mean(0), v - v.mean(0)
    covariance_u, covariance_v = u.T @ u / (n - 1), v.T @ v / (n - 1)
    return (u * v).sum() / (n - 1) - (covariance_u * covariance_v).sum() / 2
