"""Identities 1 and 4 of MATH.md, and the objectives against loops."""

from functools import reduce

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import reference
from elision.likelihood import (
    conditional_objective,
    joint_objective,
    log_evidence,
    log_joint,
    log_label_prior,
    log_posterior,
    negative_log_likelihood,
)
from worlds import CASES, make_world

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(params=CASES, ids=str)
def world(request):
    return make_world(*request.param)


@pytest.fixture
def scored(world):
    """s_S of everything a sample can look like, s_{}, and log R_Z."""
    marginals = world.fusion.marginals(world.bank)
    scores = world.fusion.scores(*world.packed(world.everything), marginals)
    return scores, world.fusion.empty_scores(marginals), world.log_prior


def test_the_table_is_a_distribution_with_dependent_modalities(world):
    """Guards the truth itself: a table without structure would let anything pass."""
    axes = range(world.table.ndim)
    margins = [world.table.sum(axis=tuple(j for j in axes if j != i)) for i in axes]
    assert abs(world.table.sum() - 1) < 1e-12
    assert abs(np.log(world.table / reduce(np.multiply.outer, margins))).max() > 0.1


def test_posterior_is_that_of_the_table(world, scored):
    """Identity 1, Eq. (4) and Eq. (5), every pattern."""
    scores, _, log_prior = scored
    joint = np.array([world.joint(x) for x in world.everything])
    expected = np.log(joint / joint.sum(1, keepdims=True))
    assert_close(log_posterior(scores, log_prior).detach().numpy(), expected, **EXACT)


def test_evidence_is_that_of_the_table(world, scored):
    expected = [np.log(world.joint(x).sum() / world.share(x)) for x in world.everything]
    assert_close(log_evidence(*scored).detach().numpy(), np.array(expected), **EXACT)


def test_joint_is_that_of_the_table(world, scored):
    expected = [np.log(world.joint(x) / world.share(x)) for x in world.everything]
    assert_close(log_joint(*scored).detach().numpy(), np.array(expected), **EXACT)


def test_joint_is_posterior_plus_evidence(scored):
    scores, _, log_prior = scored
    assert_close(log_joint(*scored), log_posterior(scores, log_prior) + log_evidence(*scored)[:, None], **EXACT)


def test_objectives_against_loops(world, scored):
    scores, empty, log_prior = scored
    labels = np.arange(len(scores)) % 4 - 1  # a quarter unlabelled
    arguments = scores.detach().numpy(), empty.detach().numpy(), world.prior, labels
    conditional = conditional_objective(scores, log_prior, torch.from_numpy(labels))
    joint = joint_objective(scores, empty, log_prior, torch.from_numpy(labels))
    assert conditional.item() == pytest.approx(reference.objective("conditional", *arguments), rel=1e-12)
    assert joint.item() == pytest.approx(reference.objective("joint", *arguments), rel=1e-12)


def test_a_sample_that_shows_nothing_has_evidence_zero():
    empty = torch.randn(3)
    assert log_evidence(empty[None], empty, torch.tensor([0.2, 0.3, 0.5]).log()).item() == 0


def test_label_prior_counts_labelled_samples_only():
    prior = log_label_prior(torch.tensor([-1, 2, 0, 2, -1, 1, 2, 0]), 3).exp()
    assert_close(prior, torch.tensor([2, 1, 3], dtype=torch.float64) / 6)


def test_no_labels_no_conditional_objective():
    scores = torch.randn(4, 3, requires_grad=True)
    loss = conditional_objective(scores, torch.zeros(3), torch.full((4,), -1))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(4, 3))


def test_negative_log_likelihood_is_per_labelled_sample_in_order():
    table = torch.arange(12.0).view(4, 3)
    assert torch.equal(negative_log_likelihood(table, torch.tensor([2, -1, 0, 1])), -torch.tensor([2.0, 6.0, 10.0]))


@pytest.mark.parametrize("shift", [-1e3, 0.5, 1e3])
def test_a_constant_added_to_every_class_changes_no_posterior(shift):
    """Identity 4. The scores carry an error of eps x 1e3 = 2e-13."""
    scores, log_prior = torch.randn(5, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    assert_close(log_posterior(scores + shift, log_prior), log_posterior(scores, log_prior), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_posteriors_sum_to_one(dtype):
    """A log p rounded to eps |log p| costs eps p |log p|: in all eps x entropy, at most log 7 = 1.95 eps."""
    posteriors = log_posterior(torch.randn(50, 7, dtype=dtype) * 5, torch.zeros(7, dtype=dtype)).double().exp()
    assert_close(posteriors.sum(1), torch.ones(50, dtype=torch.float64), rtol=0, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("labels", [[0, 2], [1, -1]], ids=str)
def test_scores_of_1e4_stay_finite_in_float32(labels):
    """Identity 4. The joint objective is a difference of numbers near 1e4, each exact to eps x 1e4 = 1e-3."""
    scores = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], requires_grad=True)
    empty, log_prior = torch.tensor([-1e4, 1e4, 3.0], requires_grad=True), torch.full((3,), 1 / 3).log()
    loss = joint_objective(scores, empty, log_prior, torch.tensor(labels))
    loss.backward()
    truth = joint_objective(scores.double(), empty.double(), log_prior.double(), torch.tensor(labels))
    assert abs(loss.item() - truth.item()) < 1e-2
    assert scores.grad.isfinite().all()
    assert empty.grad.isfinite().all()
