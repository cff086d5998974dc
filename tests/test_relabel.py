"""Corrections of a store: the same bytes as if it had been prepared with them, and nothing half done."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import stores
from elision.data import relabel as module
from elision.data.relabel import relabel
from elision.data.store import Store
from elision.errors import InputError

ROWS = [stores.row(i) for i in range(8)]  # three shards of 3, 3 and 2


@pytest.fixture
def store(tmp_path):
    return stores.written(tmp_path / "store", ROWS)


def corrections(tmp_path, **columns):
    pd.DataFrame(columns).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def test_a_corrected_store_is_the_one_that_would_have_been_prepared(store, tmp_path, here):
    before = {path.name for path in (tmp_path / "store").iterdir()}
    path = corrections(tmp_path, id=["s01", "s07", "s00"], label=["new", "", "u"], group=["g9", "g3", "g0"])
    code, said, err = here("relabel", store, str(path))
    assert code == 0, err
    assert "label changed for 2 samples" in said and "group changed for 1 samples" in said and "new 1" in said
    rows = [replace(r, **{"s01": {"label": "new", "group": "g9"}, "s07": {"label": ""}}.get(r.id, {})) for r in ROWS]
    wanted, found = Store(stores.written(tmp_path / "wanted", rows)), Store(store)
    assert [s.sha256 for s in found.info.shards] == [s.sha256 for s in wanted.info.shards]
    assert found.info.counts == wanted.info.counts and found.verify() == []
    assert found.labels.tolist() == wanted.labels.tolist() and found.groups.tolist() == wanted.groups.tolist()
    np.testing.assert_array_equal(found.window(1, "face"), wanted.window(1, "face"))
    after = {path.name for path in (tmp_path / "store").iterdir()}
    assert len(before & after) == 2 and len(after) == len(before)  # manifest and the shard in the middle stayed


def test_other_names_of_columns_and_a_split_for_all(store, tmp_path, here):
    path = corrections(tmp_path, clip=[r.id for r in ROWS], part=["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    code, _, err = here("relabel", store, str(path), "--id", "clip", "--split-column", "part")
    assert code == 0, err
    assert Store(store).parts.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2


@pytest.mark.parametrize(("columns", "words"), [
    ({"id": ["s01", "x9"], "label": ["a", "b"]}, "lacks: 'x9'"),
    ({"id": ["s01", "s01"], "label": ["a", "b"]}, "more than one row for 's01'"),
    ({"id": ["s01"], "other": ["a"]}, "'id', 'other': expected a column 'id', and 'label'"),
    ({"label": ["a"]}, "expected a column 'id'"),
    ({"id": ["s01"], "split": ["train"]}, "leaves 7 samples without a split, such as 's00'"),
    ({"id": ["s01"], "split": ["exam"]}, "sample 's01': split 'exam' is not one of train, val, test"),
    ({"id": ["s01", "s02"], "group": ["", "g1"]}, "leaves 1 samples without a group"),
])  # fmt: skip
def test_corrections_that_cannot_be_meant_change_nothing(store, tmp_path, columns, words):
    before = Store(store).fingerprint()
    with pytest.raises(InputError, match=words):
        relabel(store, corrections(tmp_path, **columns))
    assert Store(store).fingerprint() == before and Store(store).verify() == []


def test_an_interruption_leaves_the_store_as_it_was_and_the_next_call_ends_it(store, tmp_path, monkeypatch):
    before, path = Store(store).fingerprint(), corrections(tmp_path, id=["s01", "s07"], label=["new", "new"])

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            relabel(store, path)
    assert Store(store).fingerprint() == before and Store(store).verify() == []
    assert relabel(store, path).changed == {"label": 2}
    again = relabel(store, path)
    assert again.changed == {"label": 0} and len(list((tmp_path / "store").iterdir())) == 4


def test_a_store_behind_an_address_is_corrected_too(tmp_path):
    address = stores.written("memory://relabelled", ROWS)
    relabel(address, corrections(tmp_path, id=["s01"], label=["new"]))
    store = Store(address, tmp_path / "cache")
    assert store.labels[1] == "new" and store.verify() == []
