"""The order of mini-batches: keyed on (seed, epoch), every sample once an epoch."""

import itertools

import pytest
import torch

from elision.batch import Batch
from elision.training import Schedule, _batches
from small import small_model, small_world

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


@pytest.mark.parametrize(("n", "expected"), [(100, (300, 100)), (4096, (300, 4096)), (4097, (340, 256))])
def test_the_schedule_is_full_batch_up_to_its_documented_size(n, expected):
    """20 epochs of ceil(4097 / 256) = 17 mini-batches are 340 steps."""
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
