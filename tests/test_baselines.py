"""The baselines against loops written from their docstrings: what each trains on, and what it makes of a sample."""

import itertools

import numpy as np
import pytest
import torch

import reference
from elision.batch import Batch
from elision.registries import FUSIONS
from worlds import make_method, make_samples

PRIOR = np.array([0.25, 0.5, 0.25])
"""Of `make_method`."""
ADDITIVE = ("addition", "concatenation")

additive = pytest.mark.parametrize("fusion", ADDITIVE)
every_fusion = pytest.mark.parametrize("fusion", FUSIONS)
counts = pytest.mark.parametrize("n_modalities", [2, 3])


class Loops:
    """A method on `make_samples` of all patterns, a third of them unlabelled, in numpy."""

    def __init__(self, name, fusion, n_modalities=2, n=24, **options):
        self.fusion, self.n_modalities = fusion, n_modalities
        self.method = make_method(name, fusion, "conditional", n_modalities=n_modalities, **options).eval()
        self.values, shown, labels = make_samples("some", n=n, n_modalities=n_modalities)
        self.batch = Batch.pack(self.values, shown, labels)
        self.shown, self.labels = torch.stack(list(shown.values()), 1).numpy(), labels.numpy()
        self.complete = self.shown.all(1)
        self.labelled = self.labels >= 0

    def encode(self, m, x):
        """Rows of modality m to features."""
        return self.method.model.encoders[m](torch.as_tensor(x)).detach().numpy()

    @property
    def inputs(self):
        return [x.numpy() for x in self.values.values()]

    @property
    def features(self):
        """Of every row, also of those that are not shown; a list of (n, k)."""
        return [self.encode(m, x) for m, x in enumerate(self.inputs)]

    def posterior(self, features):
        """Q(z | x) of one sample, Eq. (4)."""
        (label,) = self.method.model.fusion.parameters()
        return reference.posterior(reference.score(self.fusion, label.detach().numpy(), features), PRIOR)

    def cross_entropy(self, posteriors, samples):
        """Mean of -log Q(z | x) over those of the samples that have a label."""
        return np.mean([-np.log(posteriors[i][self.labels[i]]) for i in samples if self.labels[i] >= 0])

    def loss(self):
        """Of the only stage, on all the samples that it draws from."""
        (stage,) = self.method.stages(self.batch)
        return stage.loss(self.batch.select(stage.samples)).item()

    def log_posterior(self, batch=None):
        return self.method.log_posterior(self.batch if batch is None else batch).detach().numpy()

    def settle(self):
        """What training does at its end."""
        (stage,) = self.method.stages(self.batch)
        with torch.no_grad():
            stage.settle()


# Soft-HGR


def correlations(loops):
    """Over every pair of modalities and every modality with its label, each over all samples that show both."""
    total, features = 0, loops.features
    for a, b in itertools.combinations(range(loops.n_modalities), 2):
        both = loops.shown[:, a] & loops.shown[:, b]
        total += reference.soft_hgr(features[a][both], features[b][both])
    embedding = loops.method.label_features.detach().numpy()
    for m in range(loops.n_modalities):
        known = loops.shown[:, m] & loops.labelled
        total += reference.soft_hgr(features[m][known], embedding[loops.labels[known]])
    return total


@counts
@every_fusion
def test_hgr_maximises_all_correlations_and_learns_to_classify_from_complete_samples(fusion, n_modalities):
    loops = Loops("hgr", fusion, n_modalities)
    posteriors = [loops.posterior(list(f)) for f in zip(*loops.features, strict=True)]
    expected = loops.cross_entropy(posteriors, np.flatnonzero(loops.complete)) - correlations(loops)
    assert loops.loss() == pytest.approx(expected, rel=1e-10)


@counts
def test_hgr_by_correlation_maximises_the_correlations_alone(n_modalities):
    loops = Loops("hgr", "addition", n_modalities, rule="correlation")
    assert loops.loss() == pytest.approx(-correlations(loops), rel=1e-10)


@counts
def test_hgr_by_correlation_predicts_by_centred_features(n_modalities):
    """P(z) (1 + sum over S of f_m . e(z)): means of all training rows of m, of e under P; floored at 1e-6."""
    loops = Loops("hgr", "addition", n_modalities, rule="correlation")
    with torch.no_grad():
        loops.method.label_features.mul_(5)  # so that the floor is reached, too
        for encoder in loops.method.model.encoders:
            encoder[-1].bias.add_(1)
    loops.settle()
    embedding = loops.method.label_features.detach().numpy()
    embedding = embedding - PRIOR @ embedding
    centred = [f - f[loops.shown[:, m]].mean(0) for m, f in enumerate(loops.features)]
    expected, floored = [], 0
    for i, shown in enumerate(loops.shown):
        ratios = 1 + sum((centred[m][i] @ embedding.T for m in np.flatnonzero(shown)), np.zeros(3))
        floored += (ratios < 1e-6).any()
        weights = PRIOR * np.maximum(ratios, 1e-6)
        expected.append(np.log(weights / weights.sum()))
    assert 0 < floored < len(expected)
    np.testing.assert_allclose(loops.log_posterior(), expected, atol=1e-12)


def test_hgr_by_correlation_recovers_the_posterior_of_one_modality():
    """k = K: P(x, z) / (P(x) P(z)) - 1 is then f . e at the optimum of L, but for a factor (n - 1) / n: E[u . v] is
    divided by n - 1 and both covariances too, so the optimum of s a - s^2 b / 2 lies at a / (s b), s = n / (n - 1).
    """
    table = np.array([[20, 30, 10], [10, 10, 40], [30, 20, 30]])
    x, z = np.nonzero(table)
    x, z = (torch.from_numpy(np.repeat(v, table[table > 0])) for v in (x, z))
    method = make_method("hgr", "addition", "conditional", n_modalities=1, labels=z, rule="correlation")
    symbols = torch.eye(3, dtype=torch.float64)
    batch = Batch.pack({"a": symbols[x]}, {"a": torch.ones(len(x), dtype=torch.bool)}, z)
    (stage,) = method.stages(batch)
    optimizer = torch.optim.LBFGS(
        stage.parameters, max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-16
    )

    def closure():
        optimizer.zero_grad()
        loss = stage.loss(batch)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        stage.settle()
    n, prior = table.sum(), table.sum(0) / table.sum()
    ratio = table / table.sum(1, keepdims=True) / prior
    expected = prior * (1 + (ratio - 1) * (n - 1) / n)
    asked = Batch.pack({"a": symbols}, {"a": torch.ones(3, dtype=torch.bool)}, torch.full((3,), -1))
    np.testing.assert_allclose(method.log_posterior(asked).exp().detach().numpy(), expected, atol=1e-5)


# Late fusion


def experts(loops):
    """P(z | x_m) of every sample and modality, shape (n, M, K): features of zero leave a modality out of the score."""
    nothing = [np.zeros(4)] * loops.n_modalities
    rows = zip(*loops.features, strict=True)
    return np.array(
        [[loops.posterior([*nothing[:m], f, *nothing[m + 1 :]]) for m, f in enumerate(row)] for row in rows]
    )


@counts
@additive
def test_late_fusion_trains_each_classifier_on_the_samples_that_show_its_modality(fusion, n_modalities):
    loops = Loops("late-fusion", fusion, n_modalities)
    alone = experts(loops)
    expected = sum(
        loops.cross_entropy(alone[:, m], np.flatnonzero(loops.shown[:, m])) for m in range(loops.n_modalities)
    )
    assert loops.loss() == pytest.approx(expected, rel=1e-12)


@counts
@additive
def test_late_fusion_counts_the_prior_once(fusion, n_modalities):
    """P(z) prod over S of P(z | x_m) / P(z), normalised."""
    loops = Loops("late-fusion", fusion, n_modalities)
    for ours, alone, shown in zip(loops.log_posterior(), experts(loops), loops.shown, strict=True):
        weights = PRIOR * np.prod(alone[shown] / PRIOR, axis=0)
        np.testing.assert_allclose(ours, np.log(weights / weights.sum()), atol=1e-12)


# Mean imputation


@counts
@every_fusion
def test_mean_imputation_fills_in_means_of_observed_training_rows(fusion, n_modalities):
    """In training and in prediction, of other samples too: those it is asked about have other means."""
    loops = Loops("mean-imputation", fusion, n_modalities)
    means = [x[loops.shown[:, m]].mean(0) for m, x in enumerate(loops.inputs)]

    def posteriors(inputs, shown):
        filled = [loops.encode(m, np.where(shown[:, m, None], x, means[m])) for m, x in enumerate(inputs)]
        return np.array([loops.posterior(list(f)) for f in zip(*filled, strict=True)])

    expected = loops.cross_entropy(posteriors(loops.inputs, loops.shown), range(len(loops.labels)))
    assert loops.loss() == pytest.approx(expected, rel=1e-12)
    values, shown, labels = make_samples("some", seed=7, n_modalities=n_modalities)
    inputs = [x.numpy() + 1 for x in values.values()]
    asked = Batch.pack({m: x + 1 for m, x in values.items()}, shown, labels)
    expected = posteriors(inputs, torch.stack(list(shown.values()), 1).numpy())
    np.testing.assert_allclose(loops.log_posterior(asked), np.log(expected), atol=1e-12)


# Modality dropout


def with_tokens(loops, i, shown):
    """Q(z | x_S) of sample i: features of what is shown, tokens for the rest."""
    tokens = loops.method.tokens.detach().numpy()
    return loops.posterior([f[i] if s else t for f, t, s in zip(loops.features, tokens, shown, strict=True)])


@counts
@every_fusion
def test_modality_dropout_predicts_with_tokens_for_what_is_missing_and_drops_nothing(fusion, n_modalities):
    loops = Loops("modality-dropout", fusion, n_modalities)
    expected = [with_tokens(loops, i, shown) for i, shown in enumerate(loops.shown)]
    np.testing.assert_allclose(loops.log_posterior(), np.log(expected), atol=1e-12)


@pytest.mark.parametrize("shown", [(1, 0, 0), (1, 1, 0), (1, 1, 1)], ids=str)
@every_fusion
def test_modality_dropout_drops_each_modality_of_each_sample_on_its_own_but_never_all(fusion, shown):
    """One sample 20,000 times: the mean loss is that over all outcomes of the draws, up to 5 standard errors."""
    loops, rate, n = Loops("modality-dropout", fusion, 3, rate=0.4), 0.4, 20_000
    outcomes = []
    for dropped in itertools.product((0, 1), repeat=3):
        left = tuple(s and not d for s, d in zip(shown, dropped, strict=True))
        pattern = left if any(left) else shown
        probability = np.prod([rate if d else 1 - rate for d in dropped])
        outcomes.append((probability, -np.log(with_tokens(loops, 0, pattern)[1])))
    probabilities, values = np.transpose(outcomes)
    mean = probabilities @ values
    error = np.sqrt(probabilities @ (values - mean) ** 2 / n)
    batch = Batch.pack(
        {m: x[:1].expand(n, -1) for m, x in loops.values.items()},
        {m: torch.full((n,), bool(s)) for m, s in zip(loops.values, shown, strict=True)},
        torch.ones(n, dtype=torch.long),
    )
    (stage,) = loops.method.stages(batch)
    torch.manual_seed(0)
    assert stage.loss(batch).item() == pytest.approx(mean, abs=5 * error + 1e-12)
    assert error > 1e-4 or sum(shown) == 1
