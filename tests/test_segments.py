"""Segments: what is observed, in the right place, and nothing else, from any process."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from elision.batch import Batch
from elision.data.missing import remove
from elision.data.schema import Row
from elision.data.segments import Segments, collate
from elision.data.store import Store
from elision.errors import InputError
from stores import MODALITIES, WINDOWS, grey, jpeg, row, written

PATTERNS = [tuple(MODALITIES), ("audio",), ("visual", "face"), (), ("image",), tuple(MODALITIES), ("face", "audio")]
LABELS = ["u", "v", "", "u", "v", "w", "w"]


@pytest.fixture
def store(tmp_path):
    rows = [row(i, shown, label) for i, (shown, label) in enumerate(zip(PATTERNS, LABELS, strict=True))]
    return Store(written(tmp_path / "store", rows))


def expected(m: str, sample: int, window: int) -> torch.Tensor:
    """What stores.row put there."""
    if m == "visual":
        return torch.full((3, 16, 24), grey(sample, window), dtype=torch.uint8)
    if m == "image":
        return torch.full((3, 16, 16), grey(sample), dtype=torch.uint8)
    return torch.full((1, 4, 5), sample + window / 8) if m == "audio" else torch.tensor([sample, sample / 3])


def check(batch: Batch, segments: Segments, positions: list[int], observed: dict[str, np.ndarray]) -> None:
    """Every row of every modality against a plain loop over all segments."""
    everything = [(s, w) for s in segments.samples.tolist() for w in segments.windows]
    for m in observed:
        of_all = [i for i, (s, _) in enumerate(everything) if observed[m][s]]
        shown = [k for k, i in enumerate(positions) if observed[m][everything[i][0]]]
        assert batch.rows[m].tolist() == shown
        assert batch.source[m].tolist() == [of_all.index(positions[k]) for k in shown]
        assert len(batch.inputs[m]) == len(shown)
        for found, k in zip(batch.inputs[m], shown, strict=True):
            wanted = expected(m, *everything[positions[k]])
            assert found.dtype == wanted.dtype and found.shape == wanted.shape
            rounding = 1 if m in ("visual", "image") else 0  # JPEG's
            torch.testing.assert_close(found, wanted, atol=rounding, rtol=0)
    codes = {"u": 0, "v": 1, "w": 2, "": -1}
    assert batch.labels.tolist() == [codes[LABELS[everything[i][0]]] for i in positions]


@pytest.mark.parametrize("windows", [[0, 1, 2], [2, 0], [1]], ids=str)
@pytest.mark.parametrize("samples", [[0, 1, 2, 3, 4, 5, 6], [5, 0, 6, 3], [3]], ids=str)
def test_a_batch_is_what_a_loop_over_the_store_gives(store, samples, windows):
    segments = Segments(store, np.array(samples), store.observed, windows)
    assert len(segments) == len(samples) * len(windows)
    positions = np.random.default_rng(0).permutation(len(segments)).tolist()
    check(collate([segments[i] for i in positions]), segments, positions, store.observed)


def test_all_windows_and_what_the_store_shows_are_the_default(store):
    segments = Segments(store, np.arange(7))
    assert segments.windows == (0, 1, 2)
    assert segments.labels.tolist() == [code for code in [0, 1, -1, 0, 1, 2, 2] for _ in range(3)]
    check(segments.batch(range(21)), segments, list(range(21)), store.observed)


def test_the_whole_is_the_bank_that_source_points_into(store):
    segments = Segments(store, np.array([6, 5, 0, 2]))
    whole, part = segments.batch(range(12)), segments.batch([11, 3, 4, 0])
    for m in segments.observed:
        torch.testing.assert_close(whole.inputs[m][part.source[m]], part.inputs[m])
        assert whole.source[m].tolist() == list(range(3 * int(segments.observed[m].sum())))


def test_removed_modalities_are_not_there(store):
    kept = remove(store.observed, "any", 0.7, seed=1)
    assert any((kept[m] != mask).any() for m, mask in store.observed.items())
    segments = Segments(store, np.arange(7), kept)
    positions = [20, 0, 7, 16, 15]
    check(segments.batch(positions), segments, positions, kept)


def test_a_modality_left_out_is_left_out_of_the_batch(store):
    batch = Segments(store, np.arange(7), {"audio": store.observed["audio"]}).batch([0])
    assert batch.modalities == ("audio",)


def test_no_row_of_a_modality_is_an_empty_tensor_of_its_shape(store):
    batch = Segments(store, np.array([3])).batch([0, 1])
    shapes = {m: tuple(inputs.shape) for m, inputs in batch.inputs.items()}
    assert shapes == {"visual": (0, 3, 16, 24), "audio": (0, 1, 4, 5), "image": (0, 3, 16, 16), "face": (0, 2)}
    assert len(batch) == 2


def test_a_hidden_row_is_never_decoded(tmp_path):
    """Garbage in place of JPEGs: an error as soon as it is decoded."""
    values = {m: row(1).values[m] for m in MODALITIES} | {"visual": [b"garbage"] * WINDOWS, "image": b"garbage"}
    store = Store(written(tmp_path, [row(0), Row("bad", "v", values=values)]))
    hidden = {m: mask & np.array([True, m not in ("visual", "image")]) for m, mask in store.observed.items()}
    batch = Segments(store, np.arange(2), hidden).batch(range(6))
    assert batch.rows["visual"].tolist() == [0, 1, 2] and batch.rows["audio"].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InputError, match=r"sample 'bad'.* is no whole JPEG"):
        Segments(store, np.arange(2)).batch(range(6))


def test_windows_that_are_not_asked_for_are_never_decoded(tmp_path):
    store = Store(written(tmp_path, [Row("a", values={"visual": [b"garbage", jpeg(60), b"garbage"]})]))
    batch = Segments(store, np.arange(1), windows=[1]).batch([0])
    torch.testing.assert_close(
        batch.inputs["visual"][0], torch.full((3, 16, 24), 60, dtype=torch.uint8), atol=1, rtol=0
    )


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_read_what_this_one_reads(store, context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} here")
    store.read(0)  # some shards are mapped already, others are not
    segments = Segments(store, np.arange(7))
    loader = DataLoader(segments, 4, collate_fn=collate, num_workers=2, multiprocessing_context=context)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 1]
    for number, batch in enumerate(batches):
        positions = list(range(4 * number, min(4 * number + 4, 21)))
        check(batch, segments, positions, store.observed)
        here = segments.batch(positions)
        for m in here.modalities:
            torch.testing.assert_close(batch.inputs[m], here.inputs[m], rtol=0, atol=0)


def test_pickled_segments_hold_no_recordings(tmp_path):
    store = Store(written(tmp_path, [row(i) for i in range(12)]))
    store.read(0)
    segments = pickle.loads(text := pickle.dumps(Segments(store, np.arange(12))))
    assert len(text) < 3000
    check_whole = segments.batch([35])
    torch.testing.assert_close(check_whole.inputs["face"], torch.tensor([[11, 11 / 3]]))


@pytest.mark.parametrize(("arguments", "words"), [
    ({"samples": np.array([7])}, "samples 7 to 7 of a store of 7"),
    ({"samples": np.array([-1])}, "of a store of 7"),
    ({"observed": {"smell": np.ones(7, bool)}}, "no modality 'smell': expected some of visual, audio"),
    ({"observed": {"audio": np.ones(6, bool)}}, r"mask of 'audio' has shape \(6,\)"),
    ({"observed": {"audio": np.ones(7, bool)}}, "samples in which the store lacks it"),
    ({"windows": [3]}, r"windows \[3\]: expected some of 0 to 2"),
    ({"windows": [-1]}, "expected some of 0 to 2"), ({"windows": []}, "expected some of 0 to 2"),
], ids=str)  # fmt: skip
def test_what_the_store_does_not_have_is_refused(store, arguments, words):
    with pytest.raises(InputError, match=words):
        Segments(store, **{"samples": np.arange(7), **arguments})


def test_positions_beyond_the_segments_are_an_index_error(store):
    segments = Segments(store, np.arange(2))
    assert segments[-1].position == 5
    for position in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            segments[position]
