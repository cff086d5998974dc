"""The blocked log-mean-exp against its naive formula, and the estimates of the bank while encoders move."""

import math
from collections import Counter

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from elision import bank as module
from elision.bank import BANKS, EXACT_NUMBERS, EXACT_ROWS, choose_bank, log_mean_exp_dot
from worlds import Memory

SHAPES = [(1, 1, 1), (3, 5, 2), (7, 1, 4), (1, 300, 3), (600, 40, 5), (1100, 3, 2)]
"""(queries, keys, d): one row, one key, and more queries than one block holds."""


def naive(queries, keys):
    return torch.logsumexp(queries @ keys.T, 1) - math.log(len(keys))


def operands(n_queries, n_keys, d, dtype=torch.float64, scale=1.0):
    torch.manual_seed(n_queries * n_keys)
    return [(torch.randn(n, d, dtype=torch.float64) * scale).to(dtype).requires_grad_() for n in (n_queries, n_keys)]


def gradients(function, queries, keys):
    """Value, and the gradients of a sum with unequal weights."""
    value = function(queries, keys)
    weights = torch.linspace(-1, 2, len(value), dtype=torch.float64).to(value)
    return value.detach(), *torch.autograd.grad((value * weights).sum(), (queries, keys))


@pytest.mark.parametrize("block", [1, 7, 2**18])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_gradients_are_the_naive_ones(monkeypatch, block, shape):
    monkeypatch.setattr(module, "BLOCK", block)
    ours, expected = (gradients(f, *operands(*shape)) for f in (log_mean_exp_dot, naive))
    assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [1, 6, 2**18])
def test_gradcheck(monkeypatch, block):
    """Identity 6, through queries and bank, several blocks of keys and one."""
    monkeypatch.setattr(module, "BLOCK", block)
    assert gradcheck(log_mean_exp_dot, operands(4, 7, 3))


def test_gradcheck_with_several_blocks_of_queries(monkeypatch):
    monkeypatch.setattr(module, "_block_shape", lambda queries: (2, 3))
    assert gradcheck(log_mean_exp_dot, operands(5, 7, 3))


def test_gradient_of_one_side_only():
    queries, keys = operands(4, 6, 3)
    (grad,) = torch.autograd.grad(log_mean_exp_dot(queries.detach(), keys).sum(), keys)
    assert_close(grad, torch.autograd.grad(naive(queries, keys).sum(), keys)[0])


def test_double_backward_is_right_or_refused():
    """A second derivative that treats the saved log-sums as constants would be silently wrong."""
    queries, keys = operands(3, 5, 2)

    def curvature(function):
        (first,) = torch.autograd.grad(function(queries, keys).sum(), queries, create_graph=True)
        return torch.autograd.grad(first.square().sum(), queries)[0]

    expected = curvature(naive)
    try:
        ours = curvature(log_mean_exp_dot)
    except RuntimeError:
        return
    assert_close(ours, expected)


@pytest.mark.parametrize("scale", [0.3, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_is_no_worse_than_naive(monkeypatch, dtype, scale):
    """Identity 4, in 400 blocks, as for 2e5 keys at the usual block.

    Tolerance: scores and log sums are rounded to eps times their size; exp makes that a relative error of gradients.
    """
    monkeypatch.setattr(module, "BLOCK", 16 * 10)
    low = operands(16, 4000, 8, dtype, scale)
    exact = [x.detach().double().requires_grad_() for x in low]
    truth = gradients(naive, *exact)
    rounding = torch.finfo(dtype).eps * ((exact[0] @ exact[1].T).abs().max().item() + math.log(4000))
    sizes = [1.0, *(x.abs().max().item() for x in truth[1:])]
    ours, theirs = (
        [(x.double() - true).abs().max().item() for x, true in zip(gradients(f, *low), truth, strict=True)]
        for f in (log_mean_exp_dot, naive)
    )
    assert all(o <= t + rounding * size for o, t, size in zip(ours, theirs, sizes, strict=True)), (ours, theirs, sizes)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("block", [4, 2**18])
def test_scores_of_1e4_stay_finite_in_float32(monkeypatch, block, sign):
    """Identity 4. The truth is +-1e4 - log 3 or 1e4 - log 3, each exact to eps x 1e4 = 1e-3."""
    monkeypatch.setattr(module, "BLOCK", block)
    queries = torch.tensor([[100.0], [-100.0], [0.0]], requires_grad=True)
    keys = torch.tensor([[100.0 * sign], [0.0], [99.0 * sign]], requires_grad=True)
    value, *grads = gradients(log_mean_exp_dot, queries, keys)
    expected = torch.tensor([1e4, 0, 0] if sign == 1 else [0, 1e4, 0]) - math.log(3) * torch.tensor([1, 1, 0])
    assert_close(value, expected, rtol=0, atol=2e-3)
    assert all(g.isfinite().all() for g in grads)


def test_no_cancellation_when_all_scores_are_very_negative():
    queries, keys = torch.full((2, 1), -1e2), torch.full((5, 1), 1e2)
    assert torch.equal(log_mean_exp_dot(queries, keys), torch.full((2,), -1e4))


@pytest.mark.parametrize("block", [1, 7, 2**18])
def test_bank_order_and_repetition_change_nothing(monkeypatch, block):
    """Identity 3."""
    monkeypatch.setattr(module, "BLOCK", block)
    queries, keys = operands(4, 9, 3)
    once = log_mean_exp_dot(queries, keys)
    assert_close(log_mean_exp_dot(queries, keys.flip(0)), once, rtol=0, atol=1e-12)
    assert_close(log_mean_exp_dot(queries, keys.repeat(2, 1)), once, rtol=0, atol=1e-12)
    assert_close(log_mean_exp_dot(queries, keys[:1]), queries @ keys[0], rtol=0, atol=1e-12)


def test_an_empty_bank_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        log_mean_exp_dot(torch.zeros(2, 3), torch.zeros(0, 3))


def test_no_queries_no_averages_and_no_gradient():
    queries, keys = operands(0, 4, 3)
    averages = log_mean_exp_dot(queries, keys)
    averages.sum().backward()
    assert averages.shape == (0,)
    assert torch.equal(keys.grad, torch.zeros_like(keys))


def test_the_table_of_scores_is_never_built(monkeypatch):
    """600 x 1000 scores in blocks of 4096; nothing larger than a block or an operand exists, and no more is saved."""
    monkeypatch.setattr(module, "BLOCK", 4096)
    queries, keys = operands(600, 1000, 4)
    with Memory() as memory:
        log_mean_exp_dot(queries, keys).sum().backward()
    assert memory.largest <= 4096
    assert memory.saved <= queries.numel() + keys.numel() + len(queries)


# Estimates of the bank. The encoder is x -> w x, so that what is fresh and what is remembered can be told apart.

INPUTS = {"a": torch.arange(1.0, 7.0, dtype=torch.float64)[:, None], "b": torch.ones(4, 1, dtype=torch.float64)}


@pytest.fixture
def w():
    return torch.tensor(2.0, dtype=torch.float64, requires_grad=True)


def encoder(w):
    return lambda inputs: {m: w * x for m, x in inputs.items()}


def mini_batch(rows):
    """Inputs and source of the given rows of modality a, and of no row of b."""
    source = {"a": torch.tensor(rows), "b": torch.tensor([], dtype=torch.long)}
    return {m: INPUTS[m][s] for m, s in source.items()}, source


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", BANKS)
def test_features_are_those_of_the_mini_batch(w, name, scaled):
    inputs, source = mini_batch([4, 1])
    features, *_ = BANKS[name](encoder(w), INPUTS, scaled)(encoder(w), inputs, source)
    assert torch.equal(features["a"], w * inputs["a"])
    assert torch.autograd.grad(features["a"].sum(), w)[0] == 5 + 2  # never scaled
    assert features["b"].shape == (0, 1)


def test_exact_bank_recomputes_every_row_with_gradient(w):
    estimate = BANKS["exact"](encoder(w), INPUTS, True)
    _, bank, _ = estimate(encoder(3 * w), *mini_batch([4, 1]))
    assert torch.equal(bank["a"], 6 * INPUTS["a"])
    assert torch.autograd.grad(bank["a"].sum(), w)[0] == 3 * 21


def test_exact_bank_encodes_each_row_once(w):
    counts = Counter()

    def encode(inputs):
        counts.update({m: len(x) for m, x in inputs.items()})
        return encoder(w)(inputs)

    BANKS["exact"](encode, INPUTS, False)(encode, *mini_batch([4, 1]))
    assert counts == {"a": 6, "b": 4}


@pytest.mark.parametrize(("scaled", "gradient"), [(False, 5 + 2), (True, 3 * (5 + 2))])
def test_memory_bank_gradient_rule(w, scaled, gradient):
    """The value is that of all six rows; the gradient goes through the two fresh ones, times 6 / 2 where scaled."""
    estimate = BANKS["bank"](encoder(w), INPUTS, scaled)
    _, bank, _ = estimate(encoder(w), *mini_batch([4, 1]))
    assert torch.equal(bank["a"], w * INPUTS["a"])
    assert torch.autograd.grad(bank["a"].sum(), w)[0] == gradient
    assert torch.equal(bank["b"], w * INPUTS["b"])


def test_memory_bank_remembers_the_last_features_of_each_row(w):
    estimate = BANKS["bank"](encoder(w), INPUTS, False)
    estimate(encoder(10 * w), *mini_batch([0, 1]))
    _, bank, _ = estimate(encoder(100 * w), *mini_batch([1, 2]))
    assert torch.equal(bank["a"].squeeze(1), torch.tensor([20.0, 400, 600, 8, 10, 12], dtype=torch.float64))
    assert torch.equal(bank["b"], 2 * INPUTS["b"])


def test_memory_bank_leaves_the_banks_of_past_steps_alone(w):
    """A bank handed out belongs to its step's graph: storing later features must not write into it."""
    estimate = BANKS["bank"](encoder(w), INPUTS, False)
    _, first, _ = estimate(encoder(w), *mini_batch([0, 1]))
    kept = first["a"].detach().clone()
    estimate(encoder(9 * w), *mini_batch([0, 1, 2]))
    assert torch.equal(first["a"], kept)


@pytest.mark.parametrize("scaled", [False, True])
def test_memory_bank_is_exact_when_every_row_is_fresh(w, scaled):
    everything = INPUTS, {m: torch.arange(len(x)) for m, x in INPUTS.items()}
    stale = BANKS["bank"](encoder(7 * w), INPUTS, scaled)(encoder(w), *everything)[1]
    exact = BANKS["exact"](encoder(w), INPUTS, scaled)(encoder(w), *everything)[1]
    for m in INPUTS:
        assert torch.equal(stale[m], exact[m])
        weights = torch.arange(len(stale[m]), dtype=torch.float64)[:, None]
        ours, theirs = (torch.autograd.grad((x[m] * weights).sum(), w, retain_graph=True)[0] for x in (stale, exact))
        assert torch.equal(ours, theirs)


def test_scaled_gradient_is_unbiased_over_mini_batches(w):
    """Its mean over the batches of an epoch is the gradient of the whole bank's c_m, at unmoved encoders."""
    h = torch.tensor([[0.3], [-0.2]], dtype=torch.float64)

    def gradient(name, rows):
        _, bank, _ = BANKS[name](encoder(w), INPUTS, True)(encoder(w), *mini_batch(rows))
        return torch.autograd.grad(log_mean_exp_dot(h, bank["a"]).square().sum(), w)[0]

    epoch = torch.stack([gradient("bank", rows) for rows in ([0, 1], [2, 3], [4, 5])])
    assert_close(epoch.mean(), gradient("exact", [0]))
    assert epoch.std() > 0.01


def test_batch_bank_is_the_mini_batch(w):
    inputs, source = mini_batch([4, 1])
    features, bank, _ = BANKS["batch"](encoder(w), INPUTS, True)(encoder(w), inputs, source)
    assert bank["a"] is features["a"]
    assert len(bank["b"]) == 0


@pytest.mark.parametrize(
    ("n_samples", "n_numbers", "name"),
    [
        (EXACT_ROWS, EXACT_NUMBERS, "exact"),
        (EXACT_ROWS + 1, EXACT_NUMBERS, "bank"),
        (EXACT_ROWS, EXACT_NUMBERS + 1, "bank"),
    ],
)
def test_choose_bank(n_samples, n_numbers, name):
    assert choose_bank(n_samples, n_numbers) == name


def test_of_many_remembered_rows_some_are_drawn_at_each_step(monkeypatch):
    """The mean over a fresh and a drawn part is right on average, and so is its gradient; all rows stay remembered."""
    monkeypatch.setattr(module, "DRAWN_ROWS", 20)
    torch.manual_seed(0)
    inputs = {"a": torch.randn(60, 2, dtype=torch.float64)}
    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def encode(rows):
        return {m: x @ weight for m, x in rows.items()}

    whole = encode(inputs)["a"].exp().sum(1).mean()
    (expected,) = torch.autograd.grad(whole, weight)
    values, gradients = [], []
    for _ in range(3000):
        estimate = BANKS["bank"](encode, inputs, scaled=True)
        estimate.refresh()
        source = torch.randint(60, (5,))
        fresh, bank, rows = estimate(encode, {"a": inputs["a"][source]}, {"a": source})
        assert len(bank["a"]) == 25
        assert torch.equal(bank["a"][:5].detach(), fresh["a"].detach())
        assert torch.equal(bank["a"].detach(), encode(inputs)["a"][rows["a"]].detach())
        assert estimate.features["a"].shape == (60, 3)
        value = bank["a"].exp().sum(1).mean()
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value, weight)[0])
    spread = torch.stack(values).std() / len(values) ** 0.5
    assert abs(torch.stack(values).mean() - whole) < 4 * spread
    found = torch.stack(gradients)
    assert ((found.mean(0) - expected).abs() < 4.5 * found.std(0) / len(values) ** 0.5).all()


def test_what_a_step_encodes_is_remembered_among_many(monkeypatch):
    monkeypatch.setattr(module, "DRAWN_ROWS", 4)
    inputs = {"a": torch.arange(6.0)[:, None]}
    scale = [1.0]
    estimate = BANKS["bank"](lambda rows: {m: scale[0] * x for m, x in rows.items()}, inputs, scaled=False)
    estimate.refresh()
    scale[0] = 10.0
    source = torch.tensor([1, 4])
    estimate(estimate.encode, {"a": inputs["a"][source]}, {"a": source})
    assert estimate.features["a"].squeeze(1).tolist() == [0.0, 10.0, 2.0, 3.0, 40.0, 5.0]
