"""Averages of models: weights and temperatures by a validation set, for each pattern of modalities on its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ALL_PATTERNS_UP_TO = 6
"""Modalities up to which every pattern has weights of its own; beyond, the patterns that training shows most often."""
MOST_PATTERNS = 64
"""Of many modalities; samples of any other pattern take the general weights. Nearly every sample may be its own."""


def stacking_weights(
    log_likelihoods: Tensor, prior: float = 1.0, iterations: int = 500, counts: Tensor | None = None
) -> Tensor:
    """Return the weights w of sum_i w_i Q_i that make a validation set most likely (stacking; Wolpert 1992).

    Maximises sum_n log sum_i w_i Q_i(z_n | x_n) + prior sum_i log w_i by expectation-maximisation. The second term is
    ``prior`` imaginary samples for each member: it keeps every weight positive and a small set from deciding alone.

    Args:
        log_likelihoods: log Q_i(z_n | x_n), shape (members, n); with n = 0 the weights are equal.
        prior: imaginary samples per member, > 0.
        iterations: of expectation-maximisation.
        counts: how many samples each one counts as, shape (n,); None counts each as one.

    Returns:
        Shape (members,), sums to 1.

    Example:
        >>> stacking_weights(torch.tensor([[-1.0, -1.0], [-1.0, -1.0]]))
        tensor([0.5000, 0.5000])
    """
    n_members = len(log_likelihoods)
    counts = log_likelihoods.new_ones(log_likelihoods.shape[1]) if counts is None else counts.to(log_likelihoods)
    n = counts.sum()
    weights = log_likelihoods.new_full((n_members,), 1 / n_members)
    if not log_likelihoods.shape[1]:
        return weights
    likelihoods = (log_likelihoods - log_likelihoods.amax(0)).exp()
    for _ in range(iterations):
        shares = weights * (likelihoods @ (counts / (weights @ likelihoods)))
        weights = (shares + prior) / (n + n_members * prior)
    return weights


def fit_temperature(
    log_posteriors: Tensor, labels: Tensor, log_prior: Tensor, prior: float = 20.0, counts: Tensor | None = None
) -> float:
    """Return the temperature T of `tempered` that makes a validation set most likely (Guo et al. 2017).

    Minimises, by Newton's method over b = 1/T, the negative log-likelihood plus prior (b - 1 - log b), which is convex,
    keeps b above 0, and leaves T = 1 where the samples are few.

    Args:
        log_posteriors: log Q(z | x_n), shape (n, K).
        labels: class indices, shape (n,).
        log_prior: log R_Z, shape (K,).
        prior: how much evidence it takes to leave T = 1, > 0: of samples whose log-odds vary by 1, as many.
        counts: how many samples each one counts as, shape (n,); None counts each as one.

    Example:
        >>> fit_temperature(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), torch.zeros(2))
        1.0
    """
    odds = log_posteriors.double() - log_prior.to(log_posteriors).double()
    counts = odds.new_ones(len(odds)) if counts is None else counts.to(odds)
    own = odds.gather(1, labels.to(odds.device)[:, None]).squeeze(1)
    b = 1.0
    for _ in range(30):
        q = torch.softmax(log_prior.to(odds) + b * odds, dim=1)
        expected = (q * odds).sum(1)
        spread = (q * odds.square()).sum(1) - expected.square()
        slope = (counts @ (expected - own)).item() + prior * (1 - 1 / b)
        step = slope / ((counts @ spread).item() + prior / b**2)
        b = min(max(b - step, b / 2), 2 * b)
        if abs(step) < 1e-9 * b:
            break
    return 1 / b


def tempered(log_posteriors: Tensor, log_prior: Tensor, temperatures: Tensor) -> Tensor:
    """Return posteriors whose log-odds against the prior are divided by a temperature, (..., n, K).

    What the modalities say counts less (T > 1) or more (T < 1); a sample that shows nothing keeps the prior.

    Args:
        log_posteriors: shape (..., n, K).
        log_prior: log R_Z, shape (K,).
        temperatures: shape (..., n).
    """
    log_prior = log_prior.to(log_posteriors)
    odds = (log_posteriors - log_prior) / temperatures.to(log_posteriors)[..., None]
    return torch.log_softmax(log_prior + odds, dim=-1)


def mixture(log_values: Tensor, weights: Tensor) -> Tensor:
    """Return log sum_i w_i exp(value_i) over the first axis; weights (members,), or (members, n): each sample's own."""
    missing_axes = (1,) * (log_values.dim() - weights.dim())
    return torch.logsumexp(log_values + weights.to(log_values).log().view(*weights.shape, *missing_axes), dim=0)


@dataclass(frozen=True)
class PatternWeights:
    """Holds the members' weights and temperatures for every pattern of modalities.

    A member may be good on complete samples and say nothing sensible of a pattern that it never saw: the conditional
    objective leaves the posterior without modality m undetermined where every training sample shows m. And one that
    was stopped by samples as they came may be sure of too much where it sees less.

    Args:
        patterns: shape (P, M), bool; True where a modality is shown.
        weights: of the members for each pattern, shape (P, members).
        general: for samples of any other pattern, shape (members,).
        temperatures: of the members for each pattern, shape (P, members); see `tempered`.
        general_temperatures: for samples of any other pattern, shape (members,).
    """

    patterns: Tensor
    weights: Tensor
    general: Tensor
    temperatures: Tensor
    general_temperatures: Tensor

    def of(self, observed: Tensor) -> Tensor:
        """Return the weights of samples that show ``observed`` (n, M), bool; shape (members, n)."""
        return torch.cat([self.weights, self.general[None]])[self._which(observed)].T

    def average(self, log_posteriors: Tensor, observed: Tensor, log_prior: Tensor) -> Tensor:
        """Return the average's log-posterior, (n, K).

        Args:
            log_posteriors: the members', shape (members, n, K).
            observed: what each sample shows, shape (n, M), bool.
            log_prior: log R_Z, shape (K,).
        """
        temperatures = torch.cat([self.temperatures, self.general_temperatures[None]])[self._which(observed)].T
        return mixture(tempered(log_posteriors, log_prior, temperatures.to(observed.device)), self.of(observed))

    def only(self, pattern: Sequence[bool]) -> "PatternWeights":
        """Return the weights and temperatures of one pattern alone, as those of every sample."""
        row = self._which(torch.tensor([pattern], device=self.patterns.device))
        weights = torch.cat([self.weights, self.general[None]])[row].squeeze(0)
        temperatures = torch.cat([self.temperatures, self.general_temperatures[None]])[row].squeeze(0)
        return PatternWeights(self.patterns[:0], self.weights[:0], weights, self.temperatures[:0], temperatures)

    def _which(self, observed: Tensor) -> Tensor:
        chosen = torch.full((observed.shape[0],), len(self.patterns), device=observed.device)
        for i, pattern in enumerate(self.patterns.to(observed.device)):
            chosen[(observed == pattern).all(1)] = i
        return chosen.cpu()


def patterns_to_weigh(observed: Tensor) -> Tensor:
    """Return the patterns that get weights of their own: all but the empty one, or the 64 most common; (P, M).

    Args:
        observed: of the training samples, shape (n, M), bool.
    """
    m = observed.shape[1]
    if m > ALL_PATTERNS_UP_TO:
        shown, counts = torch.unique(observed.cpu(), dim=0, return_counts=True)
        return shown[counts.argsort(descending=True, stable=True)[:MOST_PATTERNS]]
    return torch.arange(1, 2**m)[:, None] >> torch.arange(m) & 1 == 1
