"""The store: what was written is read, the bytes follow from the rows, and damage is found and named."""

import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import stores
from elision.data import store as store_module
from elision.data.schema import MANIFEST, Row, StoreInfo, read_manifest, shard_name, write_manifest
from elision.data.segments import Segments
from elision.data.shards import Columns, write_shard
from elision.data.store import Store
from elision.errors import InputError
from elision.files import sha256, sha256_of
from elision.kinds import Modality
from stores import MODALITIES, WINDOWS, grey, jpeg, row, written

PATTERNS = [
    tuple(MODALITIES), ("audio",), ("visual", "face"), (), ("image",), tuple(MODALITIES), ("face", "audio"),
]  # fmt: skip
ROWS = [row(i, shown) for i, shown in enumerate(PATTERNS)]


def columns(path: Path, modalities) -> Columns:
    return Columns(pa.py_buffer(path.read_bytes()), modalities, str(path))


@pytest.fixture
def store(tmp_path):
    return Store(written(tmp_path / "store", ROWS))


def same(first: Row, second: Row) -> bool:
    plain = [replace(r, values={}) for r in (first, second)]
    return plain[0] == plain[1] and set(first.values) == set(second.values) and all(
        np.array_equal(value, second.values[m], equal_nan=True) if isinstance(value, np.ndarray)
        else value == second.values[m] for m, value in first.values.items()
    )  # fmt: skip


# What was written is read.


def test_every_row_comes_back_as_it_was(store):
    assert len(store) == len(ROWS)
    for i, expected in enumerate(ROWS):
        assert same(store.read(i), expected)


def test_the_columns_are_those_of_the_rows(store):
    assert store.ids.tolist() == [r.id for r in ROWS]
    assert store.labels.tolist() == [r.label for r in ROWS]
    assert store.classes.tolist() == ["u", "v", "w"]
    assert store.codes.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert store.groups.tolist() == [r.group for r in ROWS]
    assert store.durations.tolist() == [r.duration for r in ROWS]
    assert store.parts is None
    for m, mask in store.observed.items():
        assert mask.tolist() == [m in shown for shown in PATTERNS]
    assert store.info.counts == {
        "samples": 7, "unlabelled": 0, "labels": {"u": 3, "v": 2, "w": 2},
        "observed": {"visual": 3, "audio": 4, "image": 3, "face": 4},
    }  # fmt: skip


@pytest.mark.parametrize("window", range(WINDOWS))
@pytest.mark.parametrize("sample", [0, 5])
def test_a_window_is_decoded_where_it_lies(store, sample, window):
    frame = store.row(sample, "visual", window)
    assert frame.dtype.is_signed is False and frame.shape == (3, 16, 24)
    np.testing.assert_allclose(frame.numpy(), grey(sample, window), atol=1)  # JPEG's rounding
    np.testing.assert_array_equal(store.row(sample, "audio", window).numpy(), np.full((1, 4, 5), sample + window / 8))
    np.testing.assert_allclose(store.row(sample, "image", window).numpy(), grey(sample), atol=1)
    np.testing.assert_array_equal(store.row(sample, "face", window), np.float32([sample, sample / 3]))


def test_a_grey_jpeg_becomes_three_channels(tmp_path):
    content = io.BytesIO()
    Image.new("L", (24, 16), 77).save(content, "JPEG")
    values = {"visual": [content.getvalue()] * WINDOWS}
    frame = Store(written(tmp_path, [Row("a", values=values)])).row(0, "visual")
    np.testing.assert_allclose(frame.numpy(), np.full((3, 16, 24), 77), atol=1)


def test_what_is_not_given_is_none_and_blank_labels_have_no_class(tmp_path):
    rows = [Row("a", values={"face": np.ones(2)}), Row("b", "x", split="test", values={"face": np.zeros(2)})]
    store = Store(written(tmp_path, rows))
    assert store.groups is None and store.parts.tolist() == ["", "test"]
    assert store.codes.tolist() == [-1, 0] and store.info.counts["unlabelled"] == 1
    assert np.isnan(store.durations).all()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.fixed_dictionaries({}, optional={
    "visual": st.lists(st.binary(max_size=40), min_size=WINDOWS, max_size=WINDOWS),
    "audio": st.lists(st.floats(width=16, allow_infinity=False, allow_nan=False), min_size=60, max_size=60)
             .map(lambda numbers: np.float16(numbers).reshape(WINDOWS, 4, 5)),
    "image": st.binary(max_size=40),
    "face": st.tuples(st.floats(width=32, allow_infinity=False, allow_nan=False),
                      st.floats(width=32, allow_infinity=False)).map(np.float32),
})  # fmt: skip
rows_of_any_kind = st.lists(
    st.builds(Row, texts, texts, texts, texts, st.none() | st.floats(0, 1e9), values), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_any_kind)
def test_any_rows_come_back_and_give_the_same_bytes_twice(tmp_path, rows):
    entry = write_shard(tmp_path / "shard-00000.arrow", rows, MODALITIES)
    backwards = write_shard(tmp_path / "backwards.arrow", rows[::-1], MODALITIES)
    assert list(entry.labels) == list(backwards.labels) == sorted({row.label for row in rows})
    first = (tmp_path / "shard-00000.arrow").read_bytes()
    write_manifest(tmp_path, StoreInfo(MODALITIES, (entry,)))
    store = Store(tmp_path)
    copies = [store.read(i) for i in range(len(store))]
    assert all(same(copy, r) for copy, r in zip(copies, rows, strict=True))
    assert write_shard(tmp_path / "shard-00000.arrow", copies, MODALITIES) == entry
    assert (tmp_path / "shard-00000.arrow").read_bytes() == first


# The bytes follow from the rows.


def test_the_same_rows_give_the_same_files_in_another_process_and_place(tmp_path):
    written(tmp_path / "here", ROWS)
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]; from test_store import ROWS; from stores import written;"
        "written(sys.argv[1], ROWS)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    (tmp_path / "there").mkdir()
    places = [str(Path(__file__).parent), str(Path(stores.__file__).parent)]
    command = [sys.executable, "-c", script, str(tmp_path / "there"), *places]
    subprocess.run(command, check=True, env=environment)
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert files == ["manifest.json", "shard-00000.arrow", "shard-00001.arrow", "shard-00002.arrow"]
    for name in files:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_a_missing_modality_has_no_bytes(tmp_path):
    """A row without frames, sounds and numbers adds its names and offsets, not a place for what is missing."""
    big = {"sound": Modality("spectrogram", (100, 100), 10), "face": Modality("features", (10_000,)),
           "pictures": Modality("frames", (3, 8, 8), 30)}  # fmt: skip
    shown = Row("a", values={
        "sound": np.ones((10, 100, 100), np.float16), "face": np.ones(10_000), "pictures": [b"x" * 999] * 30,
    })  # fmt: skip
    one = write_shard(tmp_path / "one.arrow", [shown], big)
    two = write_shard(tmp_path / "two.arrow", [shown, *(Row(f"b{i}") for i in range(100))], big)
    assert one.bytes > 200_000 + 40_000 + 30_000
    assert two.bytes - one.bytes < 100 * 100  # per row: 4 texts, offsets of 7 columns of 4 bytes, validity


def test_nothing_is_left_beside_a_shard(tmp_path):
    written(tmp_path, ROWS)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# Processes and places.


def test_a_pickled_store_is_its_address(store):
    text = pickle.dumps(store)
    assert len(text) < 1000
    assert same(pickle.loads(text).read(4), ROWS[4])


def test_a_store_that_was_prepared_anew_meanwhile_is_refused(store):
    text = pickle.dumps(store)
    written(store.address, ROWS[:3])
    with pytest.raises(InputError, match="prepared anew"):
        pickle.loads(text)


def test_a_store_in_memory_is_copied_once_and_then_mapped(tmp_path):
    address = written("memory://bucket/folder", ROWS)
    store = Store(address, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # only what is needed is fetched
    assert same(store.read(4), ROWS[4])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{store.info.shards[1].sha256}.arrow"]
    assert store.verify() == []
    fsspec.filesystem("memory").pipe_file("/bucket/folder/shard-00001.arrow", b"gone bad")
    assert store.verify() == ["shard-00001.arrow"]
    again = Store(address, cache=tmp_path / "cache")
    assert same(again.read(5), ROWS[5])  # of the copy
    with pytest.raises(InputError, match=r"shard-00001.arrow is damaged"):
        Store(address, cache=tmp_path / "other").read(5)


def test_a_store_in_memory_holds_the_bytes_of_one_on_disk(tmp_path):
    address = written("memory://bucket/same", ROWS)
    written(tmp_path, ROWS)
    for path in tmp_path.iterdir():
        with fsspec.open(f"{address}/{path.name}") as file:
            assert file.read() == path.read_bytes()


def test_a_file_address_is_its_folder(tmp_path):
    written(tmp_path / "a b", ROWS)
    store = Store(f"file://{tmp_path}/a%20b")
    assert store.address == tmp_path / "a b" and same(store.read(6), ROWS[6])


def test_a_relative_folder_still_opens_in_another_working_folder(tmp_path, monkeypatch):
    written(tmp_path / "store", ROWS)
    monkeypatch.chdir(tmp_path)
    store = Store("store")
    monkeypatch.chdir("/")
    assert same(store.read(0), ROWS[0])


@pytest.mark.parametrize("address", ["nonsense://x/y", "memory://nothing/here"])
def test_an_address_that_leads_nowhere_is_refused(address):
    with pytest.raises(InputError, match=address):
        Store(address)


# Damage.


def test_a_flipped_byte_anywhere_is_found(store):
    path = store.address / "shard-00001.arrow"
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert store.verify() == ["shard-00001.arrow"]
    path.write_bytes(content)
    assert store.verify() == []


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.ids,
        lambda store: store.observed,
        lambda store: store.read(4),
        lambda store: store.row(5, "face"),
        lambda store: store.features(),
        lambda store: Segments(store, np.arange(len(store))).batch([0]),
    ],
)
def test_no_reader_uses_a_shard_that_was_changed(store, read):
    """One bit of the last number: the shard reads as well as before, and only its hash tells."""
    path = store.address / "shard-00001.arrow"
    content = bytearray(path.read_bytes())
    place = content.rindex(np.float32(5 / 3).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00001.arrow is damaged: its SHA-256 is not.*prepare the store again"):
        read(Store(store.address))


def test_a_shard_is_checked_once_in_a_process_and_only_when_it_is_needed(store, monkeypatch):
    checked = []
    monkeypatch.setattr(store_module, "sha256_of", lambda content: checked.append(len(content)) or sha256_of(content))
    opened = Store(store.address)
    opened.read(0)
    opened.row(1, "visual")
    assert checked == [opened.info.shards[0].bytes]
    opened.observed, opened.ids  # noqa: B018
    assert checked == [shard.bytes for shard in opened.info.shards]


def test_a_damaged_copy_of_a_remote_shard_is_fetched_again(tmp_path):
    address = written("memory://bucket/again", ROWS)
    assert same(Store(address, cache=tmp_path).read(0), ROWS[0])
    (copy,) = tmp_path.iterdir()
    content = copy.read_bytes()
    copy.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert same(Store(address, cache=tmp_path).read(0), ROWS[0])
    assert copy.read_bytes() == content


def test_no_damage_of_a_shard_is_more_than_an_error(store):
    """Whatever byte is flipped: the same rows, other values, or an InputError; never a crash or another exception."""
    path = store.address / "shard-00000.arrow"
    content = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(0).choice(len(content), 400, replace=False):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        try:
            shards = (replace(store.info.shards[0], sha256=sha256(path)), *store.info.shards[1:])
            write_manifest(store.address, replace(store.info, shards=shards))  # or the hash would tell
            damaged = Store(store.address)
            [damaged.row(0, m, WINDOWS - 1) for m in MODALITIES]
            assert len(damaged.ids) == len(ROWS)
        except InputError:
            refused += 1
    assert 0 < refused < 400


def test_missing_and_short_shards_are_found_and_named(store):
    (store.address / "shard-00000.arrow").unlink()
    short = store.address / "shard-00002.arrow"
    short.write_bytes(short.read_bytes()[:-10])
    assert store.verify() == ["shard-00000.arrow", "shard-00002.arrow"]
    with pytest.raises(InputError, match=r"shard-00000.arrow cannot be read.*prepare the store again"):
        store.read(0)
    with pytest.raises(InputError, match=r"shard-00002.arrow has \d+ bytes.*prepare the store again"):
        store.read(6)


def test_a_garbage_jpeg_is_named_with_its_sample(tmp_path):
    good = row(1).values["visual"]
    rows = [row(0), Row("bad", values={"visual": [good[0], b"\xff\xd8garbage", jpeg(3, 8, 8)]})]
    store = Store(written(tmp_path, rows))
    assert store.row(1, "visual", 0).shape == (3, 16, 24)
    with pytest.raises(InputError, match=r"sample 'bad', modality 'visual', window 1 is no whole JPEG"):
        store.row(1, "visual", 1)
    with pytest.raises(InputError, match=r"window 2 has 8 x 8 pixels, not 24 x 16"):
        store.row(1, "visual", 2)


def test_a_mutated_jpeg_is_decoded_or_named_whatever_was_changed(tmp_path):
    rng = np.random.default_rng(0)
    noise = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (16, 24, 3), np.uint8)).save(noise, "JPEG")
    content, rows = noise.getvalue(), []
    for number in range(200):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            changed[place] = rng.integers(256)
        frames = [bytes(changed), bytes(changed[: rng.integers(len(content))]), content]
        rows.append(Row(f"s{number}", values={"visual": frames}))
    store = Store(written(tmp_path, rows, 50))
    refused = 0
    for sample, window in np.ndindex(len(rows), WINDOWS):
        try:
            assert store.row(sample, "visual", window).shape == (3, 16, 24)
        except InputError:
            refused += 1
    assert 100 < refused < 400


def test_a_picture_of_a_billion_pixels_is_not_decoded(tmp_path):
    content = jpeg(0)
    place = content.index(b"\xff\xc0") + 5  # height and width in the frame header
    bomb = content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :]
    store = Store(written(tmp_path, [Row("bomb", values={"visual": [bomb] * WINDOWS})]))
    with pytest.raises(InputError, match="sample 'bomb'"):
        store.row(0, "visual")


def test_a_shard_of_another_store_is_refused(store, tmp_path):
    other = {"audio": Modality("spectrogram", (4, 5), WINDOWS)}
    entry = write_shard(tmp_path / "x.arrow", [row(0, ["audio"])], other)
    with pytest.raises(InputError, match="does not hold what its store's manifest"):
        columns(tmp_path / "x.arrow", MODALITIES)
    assert len(columns(tmp_path / "x.arrow", other)) == entry.samples
    turned = {"audio": Modality("spectrogram", (5, 4), WINDOWS)}  # as many numbers, in another shape
    with pytest.raises(InputError, match="does not hold what its store's manifest"):
        columns(tmp_path / "x.arrow", turned)


@pytest.mark.parametrize(("content", "words"), [
    (None, "has no manifest.json: expected a store; `elision prepare"),
    (b"", "is not the manifest of a store"), (b"\xff\xfe", "is not the manifest of a store"),
    (b"[]", "is not the manifest of a store"), (b"3", "is not the manifest of a store"),
    (b"{}", "is not the manifest of a store"), (b'{"format": 1}', "is not the manifest of a store"),
    (b'{"format": 2, "sha256": ""}', "format 2, and this Elision reads 1"),
    (b'{"format": 1, "sha256": "0"}', "was edited or damaged"),
], ids=str)  # fmt: skip
def test_a_folder_that_is_no_store_is_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=words):
        Store(tmp_path)


def test_an_edited_manifest_is_refused(store):
    path = store.address / MANIFEST
    content = json.loads(path.read_text())
    content["parameters"]["seconds"] = 0.25
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="edited or damaged"):
        Store(store.address)


@pytest.mark.parametrize("name", ["../secret.arrow", "/etc/passwd", "a/b.arrow", "..arrow/x.arrow"])
def test_a_manifest_cannot_lead_out_of_its_folder(store, name):
    info = store.info
    write_manifest(store.address, replace(info, shards=(replace(info.shards[0], file=name), *info.shards[1:])))
    with pytest.raises(InputError, match="names of files in its own folder"):
        read_manifest(store.address)


# What cannot be stored.


@pytest.mark.parametrize(("shown", "words"), [
    ({"smell": b"x"}, "modality 'smell': expected modalities among visual, audio"),
    ({"visual": [b"x"] * 2}, "is 2 JPEGs: expected 3 JPEGs"),
    ({"visual": b"x"}, "is one JPEG: expected 3 JPEGs"),
    ({"image": [b"x"]}, "is 1 JPEGs: expected one JPEG"),
    ({"audio": np.zeros((WINDOWS, 5, 4), np.float16)}, r"shape \(3, 5, 4\): expected numbers of shape \(3, 4, 5\)"),
    ({"face": np.zeros(3)}, r"shape \(3,\): expected numbers of shape \(2,\)"),
    ({"face": np.array([np.nan, np.nan])}, "NaN alone"),
    ({"face": np.array([0, np.inf])}, "inf beyond float32"),
    ({"face": np.array([0, -1e300])}, "e\\+300 beyond float32"),
    ({"audio": np.full((WINDOWS, 4, 5), 1e6)}, "beyond float16"),
], ids=str)  # fmt: skip
def test_a_value_of_another_form_is_refused_before_anything_is_written(tmp_path, shown, words):
    with pytest.raises(InputError, match=words):
        write_shard(tmp_path / "x.arrow", [row(0), Row("odd", values=shown)], MODALITIES)
    assert not list(tmp_path.iterdir())


def test_a_modality_of_no_known_kind_is_refused():
    with pytest.raises(InputError, match="unknown kind of modality 'smell'"):
        Modality("smell", (2,))
    with pytest.raises(InputError, match="3 windows: expected 1"):
        Modality("features", (2,), 3)


def test_shards_are_named_in_order():
    assert [shard_name(i) for i in (0, 12, 99_999)] == ["shard-00000.arrow", "shard-00012.arrow", "shard-99999.arrow"]


@pytest.mark.parametrize("change", [
    {"shards": "fewer"}, {"modalities": {m: MODALITIES[m] for m in reversed(MODALITIES)}},
], ids=str)  # fmt: skip
def test_the_fingerprint_is_that_of_the_content(store, tmp_path, change):
    same_content = written(tmp_path / "other", ROWS)
    write_manifest(same_content, replace(read_manifest(same_content), parameters={"noted": "later"}))
    assert Store(same_content).fingerprint() == store.fingerprint()
    rows = ROWS[:-1] if "shards" in change else ROWS
    other = written(tmp_path / "third", rows, modalities=change.get("modalities", MODALITIES))
    assert Store(other).fingerprint() != store.fingerprint()


@pytest.mark.parametrize(("name", "values"), [
    ("visual", [[b"x"] * 2]), ("audio", [[1.0] * 59]), ("face", [[1.0] * 3]), ("face", [[]]),
], ids=str)  # fmt: skip
def test_a_shard_whose_rows_have_another_size_is_refused(tmp_path, name, values):
    """Such as no Elision writes, though its columns are of the right types."""
    path = tmp_path / "x.arrow"
    write_shard(path, [row(0)], MODALITIES)
    with pa.OSFile(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    place = table.schema.get_field_index(f"modality.{name}")
    table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=f"a row of '{name}' has another size"):
        columns(path, MODALITIES)
