"""Encoders: the kernel's features against scikit-learn's, and dropout by random bytes."""

import math

import numpy as np
import pytest
import torch
from sklearn.kernel_approximation import Nystroem
from torch.testing import assert_close

from elision.encoders import ByteDropout, NystroemFeatures


def kernel_and_sklearns(rows, n_landmarks):
    ours = NystroemFeatures(rows.shape[1], n_landmarks)
    ours.fit(torch.from_numpy(rows), seed=3)
    gamma = 1 / (rows.shape[1] * rows.var())
    theirs = Nystroem(gamma=gamma, n_components=n_landmarks, random_state=3).fit(rows)
    return ours, theirs


@pytest.mark.parametrize(("n", "d", "n_landmarks"), [(300, 20, 300), (300, 20, 100), (1200, 60, 1000)])
def test_kernel_features_are_those_of_scikit_learn(n, d, n_landmarks):
    rows = np.random.default_rng(0).normal(size=(n, d))
    ours, theirs = kernel_and_sklearns(rows, n_landmarks)
    whitening = ours.normalization.numpy()
    np.testing.assert_array_equal(ours.landmarks.numpy(), theirs.components_)
    expected = theirs.normalization_ @ theirs.normalization_.T
    np.testing.assert_allclose(whitening @ whitening.T, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_allclose(ours(torch.from_numpy(rows)).numpy(), theirs.transform(rows), rtol=0, atol=1e-10)


@pytest.mark.parametrize("d", [2, 5])
def test_products_of_kernel_features_hold_where_the_kernel_is_singular(d):
    """A third of the rows twice, few columns: what counts is phi(x) . phi(x'), the kernel itself at landmarks."""
    rows = np.random.default_rng(0).normal(size=(300, d))
    rows[100:200] = rows[:100]
    ours, _ = kernel_and_sklearns(rows, 300)
    features = ours(torch.from_numpy(rows)).numpy()
    squares = ((rows[:, None] - rows[None]) ** 2).sum(2)
    np.testing.assert_allclose(features @ features.T, np.exp(-ours.gamma.item() * squares), rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.999])
def test_dropout_has_its_rate_mean_and_variance(p):
    """5 standard errors of 2^20 draws; the rate is a multiple of 1 / 256, the mean exact."""
    torch.manual_seed(0)
    n, rate = 2**20, min(round(256 * p), 255) / 256
    assert abs(rate - p) <= 1 / 256
    y = ByteDropout(p)(torch.ones(n, dtype=torch.float64))
    assert abs((y == 0).double().mean().item() - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
    assert abs(y.mean().item() - 1) < 5 * math.sqrt(rate / (1 - rate) / n)
    assert y.var().item() == pytest.approx(rate / (1 - rate), rel=0.05)
    assert_close(y[y > 0], torch.full_like(y[y > 0], 1 / (1 - rate)))


def test_dropout_draws_numbers_independently():
    """Of neighbours, and of numbers that share a 64-bit draw, a pair is dropped with the square of the rate."""
    torch.manual_seed(0)
    y = ByteDropout(0.3)(torch.ones(2**17, 8)) == 0
    joint = (y.double().T @ y.double() / len(y)).fill_diagonal_((77 / 256) ** 2)
    assert (joint - (77 / 256) ** 2).abs().max() < 5 * math.sqrt(0.09 * 0.91 / len(y))


def test_dropout_is_keyed_on_torchs_generator_and_absent_in_evaluation():
    x, dropout = torch.randn(5, 7), ByteDropout(0.3)
    torch.manual_seed(1)
    first = dropout(x)
    assert not torch.equal(dropout(x), first)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_passes_gradients_by_its_own_mask():
    x = torch.randn(50, 7, requires_grad=True)
    y = ByteDropout(0.3)(x)
    y.sum().backward()
    assert_close(y.detach(), x.detach() * x.grad)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_dropout_of_everything_is_refused(p):
    with pytest.raises(ValueError, match=f"p is {p}"):
        ByteDropout(p)
