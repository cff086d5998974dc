"""Soft-HGR against its definition, and against its known optimum on finite worlds."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import reference
from elision.correlation import soft_hgr


@pytest.mark.parametrize(("n", "k"), [(2, 1), (7, 3), (5, 9)])
def test_it_is_its_definition(n, k):
    u, v = np.random.default_rng(n).normal(size=(2, n, k)) + 3
    assert_close(soft_hgr(torch.tensor(u), torch.tensor(v)).item(), reference.soft_hgr(u, v), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_say_nothing(n):
    u = torch.ones(n, 3, requires_grad=True)
    value = soft_hgr(u, u)
    value.backward()
    assert value.item() == 0 and not u.grad.any()


def test_gradients():
    u, v = torch.randn(2, 6, 3, dtype=torch.float64).requires_grad_().unbind(0)
    assert torch.autograd.gradcheck(soft_hgr, (u, v))


def test_covariances_are_of_features_not_of_samples():
    """The known wrong version, N x N covariances: torch.cov takes variables in rows."""
    u, v = torch.randn(2, 50, 3, dtype=torch.float64).unbind(0)
    wrong = (u * v).mean(0).sum() - (torch.cov(u) * torch.cov(v)).sum() / 2
    assert abs(soft_hgr(u, v) - wrong) > 1


def world(n_x: int, n_y: int, seed: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """A joint table, and samples in exactly its proportions: counts / n is the table."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, size=(n_x, n_y)) + 300 * np.eye(n_x, n_y, dtype=int)
    x, y = np.nonzero(counts)
    repeats = counts[x, y]
    return counts / counts.sum(), torch.tensor(np.repeat(x, repeats)), torch.tensor(np.repeat(y, repeats))


@pytest.mark.slow
@pytest.mark.parametrize(("n_x", "n_y", "k"), [(4, 4, 1), (4, 4, 3), (6, 5, 2)])
def test_saturated_features_reach_the_known_optimum(n_x, n_y, k):
    """Half the sum of the k largest squared singular values of P(x, y) / sqrt(P(x) P(y)), the trivial 1 left out."""
    table, x, y = world(n_x, n_y, seed=n_x + k)
    normalised = table / np.sqrt(np.outer(table.sum(1), table.sum(0)))
    optimum = (np.linalg.svd(normalised, compute_uv=False)[1 : k + 1] ** 2).sum() / 2
    torch.manual_seed(0)
    f = torch.randn(n_x, k, dtype=torch.float64).requires_grad_()
    g = torch.randn(n_y, k, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS([f, g], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = -soft_hgr(f[x], g[y])
        loss.backward()
        return loss

    optimizer.step(closure)
    # the unbiased n / (n - 1) in place of the table's own covariance is worth less than 0.1 % at n > 1,000
    assert soft_hgr(f[x], g[y]).item() == pytest.approx(optimum, rel=0.01)
