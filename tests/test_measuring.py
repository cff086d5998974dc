"""The value of a measurement against the enumeration of finite worlds."""

import numpy as np
import pytest
import torch

from elision.measuring import Enumerated, Factored, expected_value
from elision.methods import score
from elision.methods.across import Alone
from worlds import CASES, MISSING, make_method, make_world


def entropy(p):
    return float(-np.sum(p[p > 0] * np.log(p[p > 0])))


def outlook(world, samples, measured):
    banks = world.bank
    remembered = world.fusion.remember(banks)
    sizes = [torch.arange(len(banks[m])) for m in measured]
    tuples = torch.cartesian_prod(*sizes).view(-1, len(sizes)).T
    rows = {m: remembered[m][index] for m, index in zip(measured, tuples, strict=True)}
    arguments = (*world.packed(samples), world.fusion.marginals(banks), world.log_prior, rows)
    with torch.no_grad():
        return world.fusion.outlook(*arguments)


def by_hand(world, symbols, measured):
    """Q(z | x_S), and (Q(y | x_S), Q(z | x_S, y)) for each combination of symbols of what is measured."""
    joint = world.joint(symbols)
    cases = []
    for combination in np.ndindex(*(len(world.alphabets[m]) for m in measured)):
        after = symbols.copy()
        after[list(measured)] = combination
        with_y = world.joint(after)
        if with_y.sum() > 0:
            cases.append((with_y.sum() / joint.sum(), with_y / with_y.sum()))
    return joint / joint.sum(), cases


def lacking(world, measured):
    return world.everything[(world.everything[:, list(measured)] == MISSING).all(1)]


SETS = [
    (case, seed, measured)
    for case in CASES
    for seed in range(3)
    for measured in [(0,), (0, 1)]
    if len(measured) <= case[1]
]


@pytest.mark.parametrize(("case", "seed", "measured"), SETS, ids=str)
def test_a_value_is_that_of_the_enumerated_table(case, seed, measured):
    world = make_world(*case, seed=seed)
    samples = lacking(world, measured)
    found = outlook(world, samples, [world.modalities[m] for m in measured])
    value = expected_value([found], torch.ones(1, len(samples), dtype=torch.float64))
    for i, symbols in enumerate(samples):
        now, cases = by_hand(world, symbols, measured)
        nats = entropy(now) - sum(share * entropy(then) for share, then in cases)
        accuracy = sum(share * then.max() for share, then in cases) - now.max()
        assert value.nats[i].item() == pytest.approx(nats, abs=1e-10)
        assert value.accuracy[i].item() == pytest.approx(accuracy, abs=1e-10)
        np.testing.assert_allclose(found.marginal[i], now, atol=1e-12)  # coherence


def test_values_are_never_negative_and_coherent_in_a_thousand_random_worlds():
    rng = torch.Generator().manual_seed(0)
    for _ in range(1000):
        n, size, k = torch.randint(1, 6, (3,), generator=rng).tolist()
        weights = torch.rand(2, n, generator=rng, dtype=torch.float64)
        weights = weights / weights.sum(0)
        parts = [
            (
                torch.randn(n, k, generator=rng, dtype=torch.float64) * 3,
                torch.randn(size, k, generator=rng, dtype=torch.float64) * 3,
            )
            for _ in range(2)
        ]
        outlooks = [Factored(*part) for part in parts]
        joint = torch.stack([a[:, None] + b for a, b in parts])
        joint = (joint - joint.logsumexp((2, 3), keepdim=True)).exp()
        whole = (weights[:, :, None, None] * joint).sum(0)
        shares = whole.sum(2)
        after = (shares * torch.special.entr(whole / shares[..., None]).sum(2)).sum(1)
        value = expected_value(outlooks, weights)
        nats = torch.special.entr(whole.sum(1)).sum(1) - after
        assert (nats > -1e-12).all()
        torch.testing.assert_close(value.nats, nats.clamp(min=0), atol=1e-12, rtol=0)
        torch.testing.assert_close(value.accuracy, whole.amax(2).sum(1) - whole.sum(1).amax(1), atol=1e-12, rtol=0)
        blocks = torch.stack([outlook.block(slice(None), slice(None)).sum(0) for outlook in outlooks])
        torch.testing.assert_close((weights[:, :, None] * blocks).sum(0), shares, atol=1e-12, rtol=0)


def test_extreme_scores_stay_finite_and_blocks_join():
    known, table = torch.randn(70, 3, dtype=torch.float64), torch.randn(600, 3, dtype=torch.float64)
    weights = torch.ones(1, 70, dtype=torch.float64)
    whole = known[:, None] + table
    enumerated = Enumerated(lambda s, r: whole[s, r].permute(2, 0, 1), 70, 600)
    first, second = expected_value([Factored(known, table)], weights), expected_value([enumerated], weights)
    torch.testing.assert_close(first.nats, second.nats, atol=1e-12, rtol=0)
    joint = (whole - whole.logsumexp((1, 2), keepdim=True)).exp()
    certain = joint.amax(2).sum(1) - joint.sum(1).amax(1)
    for value in (first, second):
        torch.testing.assert_close(value.accuracy, certain, atol=1e-12, rtol=0)
    for scale in (1e4, -1e4):
        value = expected_value([Factored(known * scale, table * scale)], weights)
        assert value.nats.isfinite().all() and value.accuracy.isfinite().all()
        assert (value.nats <= np.log(3) + 1e-12).all()


def test_of_a_large_bank_each_process_keeps_its_share_of_rows_that_are_in_it(monkeypatch):
    """With 9 rows and room for 5, one process keeps 5; beside another with as many rows, 9 * 5 // 18 = 2, and has 4."""

    class Two(Alone):
        def total(self, n):
            return 2 * n

        def rows(self, x):
            return [x, x]

    monkeypatch.setattr(score, "REMEMBERED", 5)
    model = make_method("mle", "addition", "joint").model
    bank = {m: torch.randn(9, model.fusion.n_features, dtype=torch.float64) for m in model.modalities}
    whole = model.fusion.remember(bank)
    for across, n in ((Alone(), 5), (Two(), 4)):
        model.across = across
        model.remember(bank)
        for m, kept in model.remembered.items():
            found = torch.isclose(kept[:, None], whole[m], rtol=0, atol=1e-12).all(2)
            assert len(kept) == n and found.any(1).all()
    assert len(torch.unique(kept, dim=0)) == 2
