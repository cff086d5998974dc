"""Preparing a store from clips of every kind of bad: what can be used is, the rest is told of, nothing stops it."""

import csv
import errno
import io
import os
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prepare_work as work
from clips import AVI, MP4, Take, write_clip
from elision.data import staging as staging_module
from elision.data.preparation import Preparation
from elision.data.prepare import _MOST_BYTES, _cut, prepare
from elision.data.problems import read_problems
from elision.data.staging import Staging
from elision.data.store import Store
from elision.errors import InputError
from elision.registries import ENGINES

MUTE, DARK = Take(seconds=0.6, sound=False), Take(seconds=0.6, picture=False)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setitem(ENGINES, "here", work.here)
    monkeypatch.setenv(work.LOG, str(tmp_path / "log"))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return work.write_source(tmp_path_factory.mktemp("source") / "clips", 7)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    """A store that was not interrupted."""
    dest = tmp_path_factory.mktemp("whole") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "here", work.here)
        prepare(source, dest, work.job(), engine="here")
    return dest


def test_the_store_holds_the_recordings_in_order(source, whole):
    store = Store(whole)
    assert store.ids.tolist() == [f"c{i}" for i in range(7)]
    assert store.labels.tolist() == list("abababa")
    assert store.groups.tolist() == [f"g{i % 3}" for i in range(7)]
    assert [shard.samples for shard in store.info.shards] == [3, 3, 1]
    assert {m: v.kind for m, v in store.info.modalities.items()} == {
        "visual": "frames", "audio": "spectrogram", "face": "features"
    }  # fmt: skip
    assert store.row(4, "face").tolist() == [4.0]
    assert store.row(4, "visual", 2).shape == (3, 32, 32)
    assert store.row(4, "audio", 2).shape == (1, 64, 51)
    assert store.durations == pytest.approx(0.6, abs=0.05)
    assert sorted(work.hashes(whole)) == ["manifest.json", "problems.csv", *(f"shard-0000{i}.arrow" for i in range(3))]
    parameters = store.info.parameters
    assert parameters["features"] == {"face": ["au"]} and parameters["settings"]["windows"] == 3
    assert str(source.parent) not in (whole / "manifest.json").read_text()


def broken_source(folder: Path) -> Path:
    """One of each kind of bad."""
    good = write_clip(folder / "good.mp4", Take(seconds=0.6)).read_bytes()
    write_clip(folder / "mute.mp4", Take(seconds=0.6, sound=False))
    write_clip(folder / "dark.mp4", Take(seconds=0.6, picture=False))
    write_clip(folder / "silent.mp4", Take(seconds=0.6, silent=True))
    write_clip(folder / "nothing.mp4", Take(seconds=0.6, picture=False, silent=True))
    write_clip(folder / "crash.mp4", Take(seconds=0.6, width=work.CRASH_WIDTH, height=64))
    write_clip(folder / "one frame.mp4", Take(seconds=0.04, sound=False))
    write_clip(folder / "blink.mp4", Take(seconds=0.6, sound_seconds=0.01))
    write_clip(folder / "really avi.mp4", Take(seconds=0.6), AVI)
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no recording at all\n" * 50)
    (folder.parent / "outside.mp4").write_bytes(good)
    names = ("good", "mute", "dark", "silent", "nothing", "crash", "one frame", "blink", "really avi", "cut", "zero")
    rows = [{"id": name, "label": "a", "video": f"{name}.mp4"} for name in (*names, "text")]
    rows += [
        {"id": "absent", "label": "b", "video": "absent.mp4"},
        {"id": "outside", "label": "b", "video": "../outside.mp4"},
        {"id": "twice", "label": "b", "video": "good.mp4"},
        {"id": "twice", "label": "b", "video": "mute.mp4"},
        {"id": "numbers", "label": "b", "face.au": 1.5},
        {"id": "all blank", "label": "b"},
    ]
    return work.write_manifest(folder, rows)


def test_whatever_is_wrong_with_a_clip_the_others_are_prepared(tmp_path):
    folder, dest = tmp_path / "clips", tmp_path / "store"
    folder.mkdir()
    summary = prepare(broken_source(folder), dest, work.job(work.crash), workers=2)
    store = Store(dest)
    assert store.ids.tolist() == sorted(
        ["good", "mute", "dark", "silent", "one frame", "blink", "really avi", "numbers"]
    )
    reasons = {problem.id: problem.reason for problem in summary.set_aside}
    assert "its decoder crashed" in reasons.pop("crash")
    assert "zero bytes" in reasons.pop("zero")
    assert "not a recording" in reasons.pop("text")
    assert "does not exist" in reasons.pop("absent")
    assert "out of the source folder" in reasons.pop("outside")
    assert "unique" in reasons.pop("twice")
    assert "no picture" in reasons["nothing"] and "silence" in reasons.pop("nothing")
    assert "all its cells are blank" in reasons.pop("all blank")
    assert reasons.pop("cut")
    assert not reasons
    missing = {m: {p.id: p.reason for p in problems} for m, problems in summary.missing.items()}
    assert set(missing["visual"]) == {"dark"} and "no picture" in missing["visual"]["dark"]
    assert set(missing["audio"]) == {"mute", "silent", "one frame"}
    assert "silence" in missing["audio"]["silent"]
    shown = {id: {m for m, mask in store.observed.items() if mask[i]} for i, id in enumerate(store.ids)}
    assert shown["dark"] == {"audio"} and shown["mute"] == shown["silent"] == shown["one frame"] == {"visual"}
    assert shown["numbers"] == {"face"} and np.isnan(store.durations[store.ids == "numbers"]).all()
    assert shown["good"] == shown["blink"] == shown["really avi"] == {"visual", "audio"}
    assert summary.prepared == len(store) == 8
    assert summary.observed == {m: int(mask.sum()) for m, mask in store.observed.items()}
    table = list(csv.DictReader(io.StringIO((dest / "problems.csv").read_text())))
    assert {row["id"] for row in table if not row["modality"]} == {problem.id for problem in summary.set_aside}
    assert ("mute", "mute.mp4", "audio") in {(row["id"], row["file"], row["modality"]) for row in table}
    assert not any(str(tmp_path) in cell for row in table for cell in row.values())
    assert read_problems(dest) == (summary.set_aside, dict(summary.missing), dict(summary.notes))


def test_shards_that_an_earlier_call_left_beyond_the_last_are_removed(source, tmp_path, monkeypatch):
    dest = tmp_path / "store"
    monkeypatch.setattr(
        "elision.data.prepare._remove_strays", lambda dest: (dest / "shard-00007.arrow").write_bytes(b"old")
    )
    prepare(source, dest, work.job(), engine="here")
    assert sorted(path.name for path in dest.glob("*.arrow")) == [f"shard-0000{i}.arrow" for i in range(3)]


def test_sound_not_taken_as_usual_is_used_and_said(tmp_path, here):
    """A microphone wired the wrong way round: the channels cancel."""
    folder, dest = tmp_path / "clips", tmp_path / "store"
    folder.mkdir()
    tone = (8000 * np.sin(np.arange(16000) / 6)).astype("<i2")
    for name, right in (("turned", -tone), ("usual", tone)):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((2, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.stack([tone, right], 1).tobytes())
    rows = [{"id": name, "label": name, "audio": f"{name}.wav"} for name in ("turned", "usual")]
    source = work.write_manifest(folder, rows)
    code, said, _ = here("prepare", str(source), str(dest), "--windows", "2")
    reason = "its sound is that of channel 1 alone: the mix of its channels cancels"
    assert code == 0 and f"1 show audio not taken as usual, listed in problems.csv; the first: {reason}" in said
    text = f"id,file,modality,reason,outcome\nturned,turned.wav,audio,{reason},used\n"
    assert (dest / "problems.csv").read_text() == text
    assert Store(dest).observed["audio"].all()
    assert "not taken as usual" in here("prepare", str(source), str(dest), "--windows", "2")[1]  # a finished store too


def test_a_clip_that_may_not_be_read_is_set_aside(source, tmp_path, monkeypatch):
    """Root may read everything: what the system would say is put in its mouth."""
    import elision.data.reading as module

    extract = module.extract_media

    def refuse(sources, *others):
        if sources["visual"].name == "2.mp4":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(sources["visual"]))
        return extract(sources, *others)

    monkeypatch.setattr(module, "extract_media", refuse)
    summary = prepare(source, tmp_path / "store", work.job(), engine="here")
    assert [(p.id, p.file, p.reason) for p in summary.set_aside] == [
        ("c2", "2.mp4", "cannot be read: Permission denied")
    ]
    assert summary.prepared == 6


def test_if_nothing_can_be_prepared_it_fails_and_says_why(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.mp4").write_bytes(b"")
    path = work.write_manifest(folder, [{"id": name, "label": name, "video": f"{name}.mp4"} for name in "ab"])
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"none of the 2 recordings can be used: a.mp4: has zero bytes; see .*problems"
        ):
            prepare(path, tmp_path / "store", work.job(), engine="here")
    assert (tmp_path / "store" / "problems.csv").read_text().count("has zero bytes") == 2
    with pytest.raises(InputError, match="expected a store"):
        Store(tmp_path / "store")
    path = work.write_manifest(folder, [{"id": "a", "label": "a", "video": "../a.mp4"}])
    with pytest.raises(InputError, match=r"holds no recording that follows the layout 'manifest': .*does not exist"):
        prepare(path, tmp_path / "other", work.job(), engine="here")


def test_a_second_start_checks_the_store_and_says_the_same(source, whole):
    before = work.hashes(whole)
    told = []
    summary = prepare(source, whole, work.job(), watch=lambda *news: told.append(news))
    assert (summary.prepared, summary.set_aside, told) == (7, (), [])
    assert work.hashes(whole) == before


@pytest.mark.parametrize(("change", "told"), [
    (lambda job: replace(job, settings=replace(job.settings, windows=5)), r"settings.windows was 3, now 5"),
    (lambda job: replace(job, per_shard=7), r"per_shard was 3, now 7"),
    (lambda job: replace(job, settings=replace(job.settings, crop=work.crash)), "now prepare_work:crash"),
    (lambda job: replace(job, options=replace(job.options, label_column="group")), "label_column was label, now group"),
], ids=["settings", "shards", "crop", "options"])  # fmt: skip
def test_other_settings_are_refused_with_the_differences(source, whole, change, told):
    before = work.hashes(whole)
    with pytest.raises(InputError, match=told):
        prepare(source, whole, change(work.job()))
    assert work.hashes(whole) == before


def test_another_source_is_refused_before_and_after_the_end(tmp_path):
    path, dest = work.write_source(tmp_path / "clips", 3), tmp_path / "store"
    interrupt(path, dest, after=1)
    other = work.write_source(tmp_path / "others", 2)
    with pytest.raises(InputError, match=r"source.recordings was 3, now 2.*remove .*store to begin anew"):
        prepare(other, dest, work.job(), engine="here")
    prepare(path, dest, work.job(), engine="here")
    write_clip(path.parent / "1.mp4", Take(seconds=1.0))
    with pytest.raises(InputError, match=r"source.sha256 was .*choose another DEST"):
        prepare(path, dest, work.job(), engine="here")


def interrupt(source: Path, dest: Path, after: int | str, **options) -> None:
    """As Ctrl-C would, once so many clips are done or a shard of that name is written next."""

    def watch(done: int, total: int, running, seconds_left) -> None:
        if done == after or after in running:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, dest, work.job(**options), engine="here", watch=watch)


@pytest.mark.parametrize("after", [0, 1, 4, "shard-00000.arrow", "shard-00001.arrow", "shard-00002.arrow"])
def test_interrupted_anywhere_it_goes_on_to_the_same_store(source, whole, tmp_path, after):
    dest = tmp_path / "store"
    interrupt(source, dest, after)
    (dest / ".shard-00000.arrow-12345").write_bytes(b"half")  # as a killed process would leave it
    prepare(source, dest, work.job(), engine="here")
    assert work.hashes(dest) == work.hashes(whole)


def test_what_is_finished_is_not_read_again(source, tmp_path):
    dest = tmp_path / "store"
    interrupt(source, dest, 4, crop=work.log)
    before = work.logged()
    interrupt(source, dest, "shard-00001.arrow", crop=work.log)
    prepare(source, dest, work.job(work.log), engine="here")
    assert set(before) == {work.width(i) for i in range(4)}
    assert not set(work.logged()[len(before) :]) & set(before)
    assert set(map(work.logged().count, set(work.logged()))) == {before.count(work.width(0))}


def damage_row(dest: Path) -> None:
    path = max((dest / ".staging").rglob("clips/*/*.arrow"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_record(dest: Path) -> None:
    max((dest / ".staging").rglob("clips/*/*.json")).write_text("")


def damage_shard(dest: Path) -> None:
    with (dest / "shard-00000.arrow").open("r+b") as file:
        file.truncate(100)


@pytest.mark.parametrize(("after", "damage"), [(5, damage_row), (5, cut_record), ("shard-00002.arrow", damage_shard)])
def test_what_an_interruption_damaged_is_made_again(source, whole, tmp_path, after, damage):
    """A disk that lost what it had not written yet: the process thought it had."""
    dest = tmp_path / "store"
    interrupt(source, dest, after)
    damage(dest)
    prepare(source, dest, work.job(), engine="here")
    assert work.hashes(dest) == work.hashes(whole)


def test_a_file_that_changed_since_it_was_read_is_read_again(tmp_path):
    path, dest = work.write_source(tmp_path / "clips", 4), tmp_path / "store"
    interrupt(path, dest, 3, crop=work.log)
    before = len(work.logged())
    os.utime(tmp_path / "clips" / "1.mp4", (1, 1))
    prepare(path, dest, work.job(work.log), engine="here")
    assert set(work.logged()[before:]) == {work.width(1), work.width(3)}


def test_a_damaged_store_is_told_of(source, tmp_path):
    dest = tmp_path / "store"
    prepare(source, dest, work.job(), engine="here")
    damage_shard(dest)
    with pytest.raises(InputError, match=r"shard-00000.arrow changed since it was prepared: remove"):
        prepare(source, dest, work.job(), engine="here")


def test_a_folder_of_something_else_is_left_alone(source, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something other than a store"):
        prepare(source, tmp_path, work.job(), engine="here")
    with pytest.raises(InputError, match="is a file"):
        prepare(source, tmp_path / "thesis.txt", work.job(), engine="here")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_at_a_time_are_refused(source, tmp_path):
    dest = tmp_path / "store"
    with (
        Staging(dest / ".staging", dest, {}).locked(),
        pytest.raises(InputError, match="is being prepared by another process"),
    ):
        prepare(source, dest, work.job(), engine="here")
    prepare(source, dest, work.job(), engine="here")


def test_a_full_disk_names_the_file_and_loses_nothing(source, whole, tmp_path, monkeypatch):
    dest = tmp_path / "store"
    real = staging_module.write_atomically
    written = []

    def fill(path: Path, content) -> None:
        written.append(path)
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(staging_module, "write_atomically", fill)
    with pytest.raises(OSError, match="No space left") as caught:
        prepare(source, dest, work.job(), engine="here")
    assert caught.value.filename == str(written[-1])
    kept = {path: path.stat().st_mtime_ns for path in (dest / ".staging" / "clips").rglob("*.json")}
    assert len(kept) == 3
    prepare(source, dest, work.job(), engine="here")
    assert work.hashes(dest) == work.hashes(whole)


def test_a_store_at_an_address_is_the_same(source, whole, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    address = "memory://prepared/store"
    with pytest.raises(InputError, match="staging"):
        prepare(source, address, work.job(), engine="here")
    prepare(source, address, work.job(), engine="here", staging=tmp_path / "staging")
    files = fsspec.filesystem("memory")
    assert {Path(name).name for name in files.ls("/prepared/store", detail=False)} == set(work.hashes(whole))
    for name in work.hashes(whole):
        assert files.cat(f"/prepared/store/{name}") == (whole / name).read_bytes()
    assert not (tmp_path / "staging").exists()
    assert prepare(source, address, work.job(), engine="here").prepared == 7


def test_a_shard_holds_so_many_clips_and_bytes_and_no_more():
    assert list(_cut([1] * 7, 3)) == [(0, 3), (3, 6), (6, 7)]
    half = _MOST_BYTES // 2
    assert list(_cut([half, half, 1, half, 3 * half, 1], 9)) == [(0, 2), (2, 4), (4, 5), (5, 6)]
    assert list(_cut([], 3)) == []


@pytest.mark.parametrize(("layout", "files", "sample"), [
    ("ravdess", {"Actor_02/01-01-03-01-01-01-02.mp4": Take(seconds=0.6), "Actor_02/02-01-04-01-01-01-02.mp4": MUTE,
                 "Actor_02/03-01-04-01-01-01-02.mp4": DARK, "Actor_02/03-01-05-01-01-01-02.mp4": DARK},
     {("happy", "visual+audio"), ("sad", "visual+audio"), ("angry", "audio")}),
    ("enterface05", {"subject 1/anger/sentence 1/s1_an_1.avi": Take(seconds=0.6),
                     "subject 2/Happiness/s2_ha_1.avi": MUTE},
     {("anger", "visual+audio"), ("happiness", "visual")}),
])  # fmt: skip
def test_folders_named_as_the_paper_s_data(tmp_path, layout, files, sample):
    for name, take in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, take, AVI if name.endswith("avi") else MP4)
    job = Preparation(layout, work.SMALL)
    summary = prepare(tmp_path / "source", tmp_path / "store", job, engine="here")
    store = Store(tmp_path / "store")
    patterns = ["+".join(m for m in ("visual", "audio") if store.observed[m][i]) for i in range(len(store))]
    assert set(zip(map(str.lower, store.labels.tolist()), patterns, strict=True)) == sample
    assert summary.set_aside == () and store.groups is not None
