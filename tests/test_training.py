"""The order of mini-batches: keyed on (seed, epoch), every sample once an epoch."""

import itertools
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from elision.bank import MemoryBank
from elision.batch import Batch
from elision.rates import Adam, one_cycle
from elision.training import Schedule, _batches, train
from small import small_model, small_world
from worlds import make_method, make_samples

N, SIZE = 23, 5
EPOCH = -(-N // SIZE)


def order(seed: int, epochs: int = 2) -> list[list[int]]:
    """The samples of each epoch in the order in which they are drawn; a sample's number is its only input."""
    numbers = torch.arange(N, dtype=torch.float64)[:, None]
    train = Batch.pack({"x": numbers}, {"x": torch.ones(N, dtype=torch.bool)}, torch.zeros(N, dtype=torch.long))
    drawn = itertools.islice(_batches(train, torch.arange(N), SIZE, seed), epochs * EPOCH)
    rows = [batch.inputs["x"].squeeze(1).int().tolist() for batch in drawn]
    return [list(itertools.chain(*rows[e * EPOCH : (e + 1) * EPOCH])) for e in range(epochs)]


def test_every_epoch_visits_every_sample_once():
    assert all(sorted(epoch) == list(range(N)) for epoch in order(0))


def test_the_order_is_that_of_its_seed_and_epoch():
    assert order(3) == order(3)
    assert order(3)[0] != order(3)[1]
    assert order(3) != order(4)


def test_the_order_does_not_depend_on_what_else_was_drawn():
    torch.manual_seed(1)
    first = order(3)
    torch.manual_seed(2)
    assert order(3) == first


@pytest.mark.parametrize(("n", "expected"), [
    (100, (200, 100)), (4096, (200, 4096)), (4097, (340, 256)), (51_201, (4000, 256)),
])  # fmt: skip
def test_the_schedule_is_full_batch_up_to_its_documented_size(n, expected):
    """20 epochs of ceil(4097 / 256) = 17 mini-batches are 340 steps; more than 4,000 are not taken."""
    assert Schedule().steps(n) == expected


def test_the_second_fit_repeats_the_first_ones_schedule(monkeypatch):
    """Where the first is full-batch and the second, with the validation samples, would no longer be by itself."""
    import elision.training as training

    monkeypatch.setattr(training, "FULL_BATCH_ROWS", 70)
    sizes = []
    original = training._batches

    def spy(train, samples, size, seed):
        sizes.append((size, len(samples)))
        return original(train, samples, size, seed)

    monkeypatch.setattr(training, "_batches", spy)
    X, y = small_world(80)
    small_model(objective="joint").fit(X, y)
    assert all(size == n for size, n in sizes)
    assert [n for _, n in sizes] == [sizes[0][1], 80]


@pytest.mark.parametrize("n_steps", [1, 3, 4, 7, 60, 300])
def test_the_rate_and_momentum_are_those_of_torchs_one_cycle(n_steps):
    """OneCycleLR wants three steps, and one at least in each of its phases."""
    total = max(n_steps, 3)
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(adam, 2.0, total_steps=total, pct_start=max(0.1, 2 / total))
    for step in range(n_steps):
        factor, momentum = one_cycle(step, n_steps)
        assert 2.0 * factor == pytest.approx(adam.param_groups[0]["lr"], rel=1e-12)
        assert momentum == pytest.approx(adam.param_groups[0]["betas"][0], rel=1e-12)
        adam.step()
        theirs.step()


def test_steps_are_those_of_torchs_adam():
    """Two groups of their own rates; a parameter without a gradient at times stays where it is, and counts no step."""
    torch.manual_seed(0)
    start = [torch.randn(4, 3), torch.randn(5), torch.randn(2)]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))

    def groups(parameters):
        return [{"params": parameters[:2], "lr": 0.1}, {"params": parameters[2:], "lr": 0.02}]

    optimizers = Adam(groups(ours), 0.3), torch.optim.Adam(groups(theirs), weight_decay=0.3, fused=True)
    for step in range(6):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            assert all(p.grad is None for p in parameters)
            for i, p in enumerate(parameters):
                if (step, i) not in ((0, 1), (3, 2)):
                    p.grad = torch.cos(p.detach() + step)
            optimizer.step()
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)


@pytest.mark.parametrize(("fusion", "clipped"), [("addition", False), ("outer-product", True)])
def test_steps_of_the_outer_product_take_no_long_gradient(monkeypatch, fusion, clipped):
    """A few tuples may rule one of its steps; sums have no such tails, and keep their gradients as they are."""
    method, samples = make_method("mle", fusion, "joint", "exact"), Batch.pack(*make_samples("some"))
    norms, before = [], Adam.step

    def step(optimizer: Adam) -> None:
        gradients = [p.grad for group in optimizer.groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
        before(optimizer)

    monkeypatch.setattr(Adam, "step", step)
    stages = method.stages
    monkeypatch.setattr(
        method, "stages", lambda train: (replace(s, loss=lambda b, s=s: 1e4 * s.loss(b)) for s in stages(train))
    )
    train(method, samples, samples, Schedule(max_steps=3), seed=0)
    assert len(norms) == 3
    assert all(norm == pytest.approx(1, rel=1e-3) if clipped else norm > 10 for norm in norms)


def test_the_last_step_is_followed_by_a_validation():
    """125 steps, a validation after every fourth one and after the last."""
    method, samples = make_method("mle", "addition", "joint", "exact"), Batch.pack(*make_samples("some"))
    (history,) = train(method, samples, samples, Schedule(max_steps=125, patience=1000), seed=0)
    assert [step for step, _ in history.validation] == [*range(4, 125, 4), 125]


def test_a_fit_does_not_import_torchs_compiler():
    """It takes longer than the fit."""
    script = (
        "import sys, numpy as np; from elision import MultimodalClassifier; "
        "X = {m: np.random.randn(40, 2) for m in 'ab'}; MultimodalClassifier(max_steps=3).fit(X, np.arange(40) % 2); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_remembered_features_start_without_dropout(monkeypatch):
    """Computed once before the first step, in evaluation mode."""
    method, samples = make_method("mle", "addition", "joint", "bank"), Batch.pack(*make_samples("some"))
    modes, before = [], MemoryBank.refresh
    monkeypatch.setattr(MemoryBank, "refresh", lambda self: modes.append(method.training) or before(self))
    train(method, samples, samples, Schedule(max_steps=3, batch_size=5), seed=0)
    assert modes == [False]
