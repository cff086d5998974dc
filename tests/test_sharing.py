"""Memory that is used again: never while any tensor of its batch is left, always once none is."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from elision.batch import Batch
from elision.data import segments as module
from elision.data import sharing
from elision.data.schema import Row
from elision.data.segments import Segments, collate
from elision.data.sharing import SLOTS, Arena, Sent
from elision.data.store import Store
from elision.errors import InputError
from stores import MODALITIES, WINDOWS, row, written

PATTERNS = [tuple(MODALITIES), ("audio",), ("visual", "face"), (), ("image",), ("face", "audio")]


@pytest.fixture
def segments(tmp_path):
    rows = [row(i, PATTERNS[i % len(PATTERNS)]) for i in range(12)]
    return Segments(Store(written(tmp_path / "store", rows)), np.arange(12))


@pytest.fixture
def worker(monkeypatch):
    """As in a worker process, with an arena of its own."""
    monkeypatch.setattr(module, "get_worker_info", lambda: "a worker")
    monkeypatch.setattr(sharing, "_own", {})
    monkeypatch.setattr(sharing, "_arenas", {})


def received(sent: Sent) -> Batch:
    """What unpickling makes of it."""
    function, arguments = sent.__reduce__()
    return function(*arguments)


def assert_equal(first: Batch, second: Batch) -> None:
    torch.testing.assert_close(first.labels, second.labels)
    for m in second.modalities:
        torch.testing.assert_close(first.inputs[m], second.inputs[m], rtol=0, atol=0)
        assert first.inputs[m].stride() == second.inputs[m].stride()
        torch.testing.assert_close(first.rows[m], second.rows[m])
        torch.testing.assert_close(first.source[m], second.source[m])


@pytest.mark.parametrize("positions", [range(36), [3, 4, 5], [9, 10], [35, 0, 17]], ids=str)
def test_what_is_received_is_what_was_sent(segments, worker, positions):
    sent = collate([segments[i] for i in positions])
    assert isinstance(sent, Sent)
    assert_equal(received(sent), segments.batch(list(positions)))


def test_a_slot_is_free_again_when_the_last_tensor_of_its_batch_goes(segments, worker):
    items = [segments[0], segments[7]]
    batches = [received(collate(items)) for _ in range(SLOTS)]
    assert isinstance(collate(items), Batch)  # all slots are taken
    kept = batches.pop().inputs["visual"][:1, 1:2].transpose(0, 1)  # a view of a view
    assert isinstance(collate(items), Batch)
    wanted = kept.clone()
    del kept
    other = received(collate([segments[18], segments[30]]))  # in the slot of the one that went
    assert_equal(other, segments.batch([18, 30]))
    assert not torch.equal(other.inputs["visual"][:1, 1:2].transpose(0, 1), wanted)
    for batch in batches:
        assert_equal(batch, segments.batch([0, 7]))


def test_a_batch_larger_than_a_slot_goes_as_it_is_and_leaves_the_slot_free(segments, worker):
    assert isinstance(collate([segments[0]]), Sent)
    for _ in range(2 * SLOTS):
        assert isinstance(collate([segments[i % 3] for i in range(40)]), Batch)
    assert isinstance(collate([segments[1]]), Sent)


def test_an_error_leaves_the_slot_free(tmp_path, worker):
    rows = [row(0), Row("bad", values={"visual": [b"garbage"] * WINDOWS})]
    segments = Segments(Store(written(tmp_path, rows)), np.arange(2))
    for _ in range(2 * SLOTS):
        with pytest.raises(InputError, match="'bad'"):
            collate([segments[0], segments[3]])
    assert isinstance(collate([segments[0]]), Sent)


def test_a_forked_process_does_not_use_the_arena_of_its_parent(worker, monkeypatch):
    first = sharing.own_arena(100)
    assert sharing.own_arena(100) is first
    monkeypatch.setattr(sharing.os, "getpid", lambda: -5)
    assert sharing.own_arena(100) is not first


def test_slots_do_not_overlap():
    arena = Arena(10_000)
    slots = [arena.claim() for _ in range(SLOTS)]
    for number, slot in enumerate(slots):
        slot.empty((100, 25), torch.float32).fill_(number)
        slot.empty((3,), torch.uint8).fill_(number)
    assert arena.claim() is None
    places = arena.memory[4096:].view(SLOTS, -1)
    for number in range(SLOTS):
        assert (places[number, :10_000].view(torch.float32) == number).all()
        assert (places[number, 10_048:10_051] == number).all()
    slots[2].release()
    assert arena.claim().number == 2


@pytest.mark.parametrize("keep", [lambda batch: batch, lambda batch: batch.inputs["audio"][-1:]], ids=["all", "a view"])
def test_batches_that_are_kept_never_change(segments, keep):
    """More of them than there are slots: what was kept first must not be overwritten by what came last."""
    order = np.random.default_rng(0).permutation(36).tolist()
    loader = DataLoader(segments, 2, sampler=order, collate_fn=collate, num_workers=1)
    kept = [keep(batch) for batch in loader]
    assert len(kept) == 18 > 2 * SLOTS
    for number, found in enumerate(kept):
        wanted = keep(segments.batch(order[2 * number : 2 * number + 2]))
        assert_equal(found, wanted) if isinstance(found, Batch) else torch.testing.assert_close(found, wanted)


def test_memory_of_workers_that_ended_is_let_go(segments):
    for _ in range(3):
        assert sum(len(batch) for batch in DataLoader(segments, 4, collate_fn=collate, num_workers=1)) == 36
    assert len(sharing._arenas) == 1


def test_workers_that_stay_serve_epoch_after_epoch(segments):
    loader = DataLoader(segments, 4, collate_fn=collate, num_workers=2, persistent_workers=True)
    next(iter(loader))  # and an epoch that is broken off
    for _ in range(3):
        for number, batch in enumerate(loader):
            assert_equal(batch, segments.batch(range(4 * number, 4 * number + 4)))
