"""Preparing a store in many processes, some of which are killed: always the same store."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import prepare_work as work
from elision.data.layouts.found import LayoutOptions
from elision.data.prepare import Preparation, prepare
from elision.data.store import Store
from elision.registries import ENGINES

SHARED = Path(__file__).parents[2] / "shared" / "data"
N = 8


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setitem(ENGINES, "here", work.here)
    monkeypatch.setenv(work.LOG, str(tmp_path / "log"))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return work.write_source(tmp_path_factory.mktemp("source") / "clips", N)


@pytest.fixture(scope="module")
def one_worker(source, tmp_path_factory) -> dict[str, str]:
    """The hashes of a store that one worker made, uninterrupted."""
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(work.LOG, str(folder / "log"))
        prepare(source, folder / "store", work.job(work.log), workers=1)
    return work.hashes(folder / "store")


def records(dest: Path) -> int:
    return len(list((dest / ".staging" / "clips").rglob("*/[!.]*.json")))


def start(source: Path, dest: Path, workers: int = 2) -> subprocess.Popen:
    code = (
        "import sys, prepare_work as work\nfrom pathlib import Path\nfrom elision.data.prepare import prepare\n"
        "if __name__ == '__main__':\n"
        "    prepare(Path(sys.argv[1]), sys.argv[2], work.job(work.log), workers=int(sys.argv[3]))\n"
    )
    script = dest.parent / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(source), str(dest), str(workers)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_in_the_middle_and_started_again_it_makes_the_same_store(source, one_worker, tmp_path):
    """The process alone is killed: its workers end by themselves."""
    dest = tmp_path / "store"
    process = start(source, dest)
    deadline = time.monotonic() + 90
    while records(dest) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    kill(process)
    time.sleep(0.3)
    finished, seen = records(dest), len(set(work.logged()))
    assert 3 <= finished < N and not (dest / "manifest.json").exists()
    before = work.logged()
    assert prepare(source, dest, work.job(work.log), workers=1).prepared == N
    assert work.hashes(dest) == one_worker
    repeated = set(work.logged()[len(before) :]) & set(before)
    assert len(repeated) <= seen - finished <= 2  # those that were under way


@pytest.mark.slow
def test_killed_again_and_again(source, one_worker, tmp_path):
    dest = tmp_path / "store"
    for reached in (
        lambda: records(dest) >= 2,
        lambda: records(dest) >= 5,
        (dest / "shard-00000.arrow").exists,
        (dest / "problems.csv").exists,
        (dest / "manifest.json").exists,
    ):
        process = start(source, dest)
        deadline = time.monotonic() + 120
        while not reached() and process.poll() is None:
            assert time.monotonic() < deadline
        kill(process)
    assert prepare(source, dest, work.job(work.log)).prepared == N
    assert work.hashes(dest) == one_worker


def test_a_cluster_makes_the_same_store_though_a_worker_dies(source, one_worker, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    dest = tmp_path / "store"
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        monkeypatch.setattr(work.die_once, "__qualname__", "log")  # of the settings it is the name that counts
        summary = prepare(source, dest, work.job(work.die_once), workers=2, engine="ray")
    finally:
        ray.shutdown()
    assert Path(os.environ[work.LOG] + ".died").exists()
    assert summary.set_aside == () and work.hashes(dest) == one_worker


def subset(folder: Path, table: Path, files: Path, choose, change) -> Path:
    """A manifest of some rows of a real one beside the files that they name; linked, since they are large."""
    folder.mkdir()
    with table.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file) if choose(row)]
    for row in rows:
        for name in ("video", "audio"):
            if name in row:
                target = folder / row[name]
                target.parent.mkdir(exist_ok=True)
                os.link(files / row[name], target) if same_disk(files, folder) else copy(files / row[name], target)
    return work.write_manifest(folder, rows)


def same_disk(a: Path, b: Path) -> bool:
    return a.stat().st_dev == b.stat().st_dev


def copy(a: Path, b: Path) -> None:
    b.write_bytes(a.read_bytes())


@pytest.mark.skipif(not (SHARED / "grid").is_dir(), reason="the GRID clips are not here: ../shared/data/grid")
@pytest.mark.parametrize("label", ["digit", "colour"])
def test_real_talking_faces_by_start_and_end(tmp_path, label):
    def change(row: dict) -> dict:
        middle = (float(row[f"{label}_start"]) + float(row[f"{label}_end"])) / 2
        return {
            "id": row["clip"], "digit": row["digit"], "colour": row["colour"], "video": row["file"],
            "start": round(middle - 0.25, 3), "end": round(middle + 0.25, 3),
        }  # fmt: skip

    grid = SHARED / "grid"
    path = subset(tmp_path / "clips", grid / "labels.csv", grid, lambda row: row["clip"].startswith("bbaf"), change)
    job = Preparation("manifest", work.SMALL, LayoutOptions(label_column=label))
    summary = prepare(path, tmp_path / "store", job, engine="here")
    store = Store(tmp_path / "store")
    assert summary.prepared == len(store) >= 4 and not summary.set_aside and not summary.missing
    assert all(mask.all() for mask in store.observed.values())
    assert store.durations == pytest.approx(0.5, abs=0.001)
    digits = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
    expected = {id: "blue" if label == "colour" else digits.get(id[4], "") for id in store.ids}  # bbaf2n: blue ... two
    assert all(found == expected[id] for id, found in zip(store.ids, store.labels, strict=True) if expected[id])


@pytest.mark.skipif(not (SHARED / "ravdess").is_dir(), reason="RAVDESS is not here: ../shared/data/ravdess")
def test_real_voices_beside_action_units(tmp_path):
    ravdess = SHARED / "ravdess"
    with (ravdess / "labels.csv").open(newline="") as labels, (ravdess / "face_au.csv").open(newline="") as units:
        clips = [row["clip"] for row in csv.DictReader(labels)]  # the other file's rows are in their order
        faces = dict(zip(clips, csv.DictReader(units), strict=True))

    def change(row: dict) -> dict:
        units = {f"face.{name}": value for name, value in faces[row["clip"]].items() if name != "clip"}
        return {"id": row["clip"], "label": row["emotion"], "group": row["actor"], "audio": row["audio"], **units}

    path = subset(
        tmp_path / "clips", ravdess / "labels.csv", ravdess, lambda row: row["clip"].endswith("02-02-02-07"), change
    )
    summary = prepare(path, tmp_path / "store", work.job(), engine="here")
    store = Store(tmp_path / "store")
    assert summary.prepared == len(store) == 7 and not summary.set_aside  # neutral has no strong intensity
    assert store.groups.tolist() == ["7"] * 7 and "neutral" not in store.classes
    for i, id in enumerate(store.ids):
        expected = [float(value) for name, value in faces[str(id)].items() if name != "clip"]
        assert store.row(i, "face").tolist() == pytest.approx(expected, rel=1e-6)
    assert store.row(0, "audio", 1).shape == (1, 64, 51) and (store.durations > 2.5).all()
