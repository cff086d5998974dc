"""The order of an epoch: a function of seed and epoch, every segment once, every stratum in its share everywhere."""

import numpy as np
import pytest

from elision.deep.sampler import BatchOrder, deal, strata


def order(counts=(30, 70), size=10, per_epoch=None, seed=0, n_shares=1):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(9).permutation(labels)
    return BatchOrder(labels, deal(labels, n_shares), size, len(labels), per_epoch, seed)


def test_every_segment_is_drawn_once_an_epoch():
    batches = order().epoch(0, [0])
    assert len(batches) == 10
    assert sorted(np.concatenate(batches)) == list(range(100))


@pytest.mark.parametrize("counts", [(30, 70), (17, 60, 41)])
def test_every_batch_has_its_share_of_every_stratum(counts):
    """To within one; the share of the smallest batches is rounded too."""
    drawn = order(counts)
    for batch in drawn.epoch(3, [0]):
        for stratum, count in enumerate(counts):
            expected = count * len(batch) / sum(counts)
            assert abs((drawn.strata[batch] == stratum).sum() - expected) < 2


def test_the_order_is_that_of_its_seed_and_epoch():
    def flat(seed, epoch):
        return np.concatenate(order(seed=seed).epoch(epoch, [0])).tolist()

    assert flat(0, 1) == flat(0, 1)
    assert len({tuple(flat(*key)) for key in ((0, 0), (0, 1), (1, 0))}) == 3


def test_a_complete_segment_is_added_where_there_would_be_none():
    drawn = order(counts=(3, 97))
    batches = drawn.epoch(0, [0])
    assert all((drawn.strata[batch] == 0).any() for batch in batches)
    assert sum(map(len, batches)) == 100 + 7
    assert set(range(100)) == set(np.concatenate(batches))


def test_the_complete_segments_take_turns_in_being_added():
    """Each of three stands in one of ten batches; of the seven others none of them has more than a third of ten."""
    drawn = order(counts=(3, 97))
    times = np.bincount(np.concatenate(drawn.epoch(0, [0])), minlength=100)
    added = times[drawn.strata == 0] - 1
    assert added.sum() == 7
    assert added.max() <= 4


def test_nothing_is_added_where_there_is_no_complete_segment():
    drawn = order(counts=(0, 50))
    assert sum(map(len, drawn.epoch(0, [0]))) == 50


def test_segments_that_the_method_does_not_learn_from_are_never_drawn():
    labels = np.array([0, -1, 0, 1, -1, 1, 0, 0])
    drawn = BatchOrder(labels, np.zeros(8, int), 3, 6, None, 0)
    assert sorted(np.concatenate(drawn.epoch(0, [0]))) == [0, 2, 3, 5, 6, 7]


def test_a_short_epoch_draws_others_each_time_in_proportion():
    drawn = order(per_epoch=20)
    epochs = [np.concatenate(drawn.epoch(epoch, [0])) for epoch in range(60)]
    assert all(len(batches) == 2 for batches in (drawn.epoch(e, [0]) for e in range(3)))
    assert abs(np.mean([len(e) for e in epochs]) - 20) < 1
    assert set(np.concatenate(epochs)) == set(range(100))
    assert abs(np.mean([(drawn.strata[e] == 0).sum() for e in epochs]) - 6) < 0.6


def test_parts_are_the_same_whoever_takes_them():
    """One process with both parts, and two with one each that know their own segments only."""
    whole = order(n_shares=2)
    together = whole.epoch(4, [0, 1])
    alone = []
    for part in (0, 1):
        own = np.flatnonzero(whole.shares == part)
        known = BatchOrder(whole.strata[own], whole.shares[own], 10, 100, None, 0)
        alone.append([own[batch] for batch in known.epoch(4, [part])])
    for batch, first, second in zip(together, *alone, strict=True):
        assert batch.tolist() == [*first, *second]


def test_parts_get_their_share_of_every_stratum():
    """Strata in turn: to deal samples as they come would give one part all of stratum 0."""
    labels = np.array([0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 2, 1, 1, 1, 1, 1])
    parts = deal(labels, 2)
    for stratum in range(3):
        sizes = np.bincount(parts[labels == stratum], minlength=2)
        assert abs(sizes[0] - sizes[1]) <= 1


def test_strata_tell_patterns_and_labels_apart_and_the_complete_labelled_is_zero():
    observed = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [1, 1], [1, 0]], bool)
    labelled = np.array([1, 1, 1, 1, 0, 0], bool)
    found = strata(observed, labelled)
    assert found[0] == 0
    assert len(set(found.tolist())) == 6
