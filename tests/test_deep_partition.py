"""The samples of a training: what is learnt from, stopped by and judged on, and who loses what."""

from dataclasses import replace

import numpy as np
import pytest

import deep_work
from deep_work import MODALITIES, sample
from elision.config import TrainConfig
from elision.data.schema import Row
from elision.data.store import Store
from elision.deep.partition import Partition
from elision.kinds import Modality
from stores import written


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """300 samples of two independent numbers, which say nothing of each other or of the label."""
    values = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    rows = [Row(f"s{i:03d}", "uv"[i % 2], values={"a": x[:1], "b": x[1:]}) for i, x in enumerate(values)]
    modalities = {m: Modality("features", (1,)) for m in "ab"}
    return Store(written(tmp_path_factory.mktemp("numbers"), rows, per_shard=300, modalities=modalities)), values


@pytest.mark.parametrize(("mechanism", "driver"), [("mcar", None), ("mar", 1), ("mnar", 0)])
def test_the_mechanism_decides_who_loses_a_modality(numbers, mechanism, driver):
    """Odds of 7.4 per standard deviation correlate by about 0.6; 210 samples without any by 0.07 (one sigma)."""
    store, values = numbers
    parts = Partition.of(store, TrainConfig(missing="a", rate=0.5, mechanism=mechanism))
    lost = ~parts.observed["a"][parts.train]
    assert lost.sum() == round(0.5 * len(parts.train))
    for column in (0, 1):
        correlation = np.corrcoef(lost, values[parts.train, column])[0, 1]
        assert correlation > 0.4 if column == driver else abs(correlation) < 0.21


def test_only_training_samples_lose_anything_and_the_store_keeps_what_it_shows(numbers):
    store, _ = numbers
    parts = Partition.of(store, TrainConfig(missing="a", rate=0.9))
    judged = [*parts.validation, *parts.test]
    assert parts.observed["a"][judged].all()
    assert parts.observed["b"].all()
    assert store.observed["a"].all()


def test_groups_stay_together_where_it_is_asked_for(tmp_path):
    store = deep_work.store(tmp_path, n=60)
    parts = Partition.of(store, TrainConfig(by_group=True))
    sides = [set(store.groups[part]) for part in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 7


def test_a_split_that_the_data_has_is_kept_without_samples_that_cannot_judge(tmp_path):
    """u v w u v w ..., sample 4 of every ten unlabelled: 4 and 14 may teach, 24 and 34 cannot judge.

    Of the training's 18 labels u has those of 0, 3, ... 18, v of 1, 7, 10, 13, 16, 19 less 4, w of 2, 5, ... 17.
    """
    split = ["train"] * 20 + ["val"] * 8 + ["test"] * 12
    rows = [replace(sample(i), split=split[i]) for i in range(40)]
    parts = Partition.of(Store(written(tmp_path, rows, modalities=MODALITIES)), TrainConfig(seed=3))
    assert parts.train.tolist() == list(range(20))
    assert parts.validation.tolist() == [20, 21, 22, 23, 25, 26, 27]
    assert parts.test.tolist() == [28, 29, 30, 31, 32, 33, 35, 36, 37, 38, 39]
    labels = [i % 3 for i in range(20) if i % 10 != 4]
    np.testing.assert_allclose(parts.log_prior.exp(), [labels.count(z) / 18 for z in range(3)], rtol=1e-12)
