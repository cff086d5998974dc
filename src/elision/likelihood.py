"""The likelihood of a sample of which only some modalities were observed.

For a sample that shows the modalities S, a fusion gives the score s_S(z) of every class z, the missing modalities
averaged out over their banks. With the label prior R_Z, and s_{} the score of a sample that shows nothing:

    posterior   log Q(z | x_S)               = log_softmax_z( log R_Z(z) + s_S(z) )                      Eq. (4), (5)
    evidence    log Q(x_S) / prod R_m(x_m)    = logsumexp_z( log R_Z + s_S ) - logsumexp_z( log R_Z + s_{} )
    joint       log Q(x_S, z) / prod R_m(x_m) = posterior + evidence

Equation numbers are those of Ma, Xu, Huang and Zhang (arXiv 2108.10513); evidence and joint go beyond the paper.
All functions are pure and work in log space; `n` is the number of samples and `K` the number of classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

UNLABELLED = -1


def log_label_prior(labels: Tensor, n_classes: int, weights: Tensor | None = None) -> Tensor:
    """log R_Z: the log of each class's share among the labelled samples, complete or not.

    Args:
        labels: class indices in 0..K-1, or -1 where there is no label; shape (n,).
        n_classes: K. Every class must occur, or its log prior is -inf.
        weights: how many samples each one counts as, shape (n,); None counts each as one.

    Returns:
        Shape (K,), float64.

    Example:
        >>> log_label_prior(torch.tensor([0, 0, 1, -1]), 2).exp()
        tensor([0.6667, 0.3333], dtype=torch.float64)
    """
    labelled = labels != UNLABELLED
    shares = None if weights is None else weights[labelled]
    counts = torch.bincount(labels[labelled], shares, minlength=n_classes).double()
    return counts.log() - counts.sum().log()


def log_posterior(scores: Tensor, log_prior: Tensor) -> Tensor:
    """log Q(z | x_S), Eq. (4) where nothing is missing and Eq. (5) where something is.

    Args:
        scores: s_S(z), shape (n, K).
        log_prior: log R_Z, shape (K,).

    Returns:
        Shape (n, K); each row's exponentials sum to 1.
    """
    return torch.log_softmax(log_prior + scores, dim=-1)


def log_evidence(scores: Tensor, empty_scores: Tensor, log_prior: Tensor) -> Tensor:
    """log Q(x_S) / prod_m R_m(x_m): how well what was observed goes together, in nats.

    Args:
        scores: s_S(z), shape (n, K).
        empty_scores: s_{}(z), every modality averaged out, shape (K,).
        log_prior: log R_Z, shape (K,).

    Returns:
        Shape (n,); 0 for a sample that shows nothing.
    """
    return torch.logsumexp(log_prior + scores, dim=-1) - torch.logsumexp(log_prior + empty_scores, dim=-1)


def log_joint(scores: Tensor, empty_scores: Tensor, log_prior: Tensor) -> Tensor:
    """log Q(x_S, z) / prod_m R_m(x_m), Eq. (3) with the missing modalities averaged out; shape (n, K)."""
    return log_prior + scores - torch.logsumexp(log_prior + empty_scores, dim=-1)


def negative_log_likelihood(log_posteriors: Tensor, labels: Tensor) -> Tensor:
    """-log Q(z_i | x_i) of each labelled sample, Eq. (2).

    Args:
        log_posteriors: shape (n, K).
        labels: class indices, or -1 where there is no label; shape (n,).

    Returns:
        One value per labelled sample, in order; shape (n_labelled,).
    """
    labelled = (labels != UNLABELLED).nonzero().squeeze(1)
    return -log_posteriors[labelled, labels[labelled]]


def mean(values: Tensor) -> Tensor:
    """Over the first axis; 0 if there are no values."""
    return values.sum(0) / max(len(values), 1)


def weighted_mean(values: Tensor, weights: Tensor | None, mean: Callable[[Tensor], Tensor] = mean) -> Tensor:
    """Return sum_i v_i value_i / sum_i v_i, or the plain mean without weights; 0 if there are no values."""
    if weights is None:
        return mean(values)
    return mean(weights.to(values) * values) / mean(weights.to(values)).clamp(min=torch.finfo(values.dtype).tiny)


def conditional_objective(
    scores: Tensor,
    log_prior: Tensor,
    labels: Tensor,
    mean: Callable[[Tensor], Tensor] = mean,
    weights: Tensor | None = None,
) -> Tensor:
    """The paper's objective, Eq. (2): mean of -log Q(z | x_S) over the labelled samples (0 if there are none).

    ``mean`` averages the samples' values, (n,) to a scalar; another one may reach over several processes. With
    ``weights``, (n,), a sample counts as so many copies of it.
    """
    shares = None if weights is None else weights[labels != UNLABELLED]
    return weighted_mean(negative_log_likelihood(log_posterior(scores, log_prior), labels), shares, mean)


def joint_objective(
    scores: Tensor,
    empty_scores: Tensor,
    log_prior: Tensor,
    labels: Tensor,
    mean: Callable[[Tensor], Tensor] = mean,
    weights: Tensor | None = None,
) -> Tensor:
    """The conditional objective, minus the mean evidence over all samples, labelled or not.

    Each of the two sums is averaged over its own count, so that few labels are not drowned by many samples.
    """
    evidence = log_evidence(scores, empty_scores, log_prior)
    return conditional_objective(scores, log_prior, labels, mean, weights) - weighted_mean(evidence, weights, mean)
