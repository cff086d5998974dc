"""What tests of preparing share: small settings, sources, hooks that worker processes can import, whole folders."""

import csv
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clips import Take, write_clip
from elision.data.preparation import Preparation
from elision.media.extract import MediaSettings
from elision.parallel.tasks import Placing, carry_out

LOG = "ELISION_TEST_LOG"
SMALL = MediaSettings(windows=3, size=32)
CRASH_WIDTH = 48
"""A picture as wide as this crashes its decoder, where the hook is in use."""


def job(crop=None, per_shard=3, **changes) -> Preparation:
    return Preparation("manifest", MediaSettings(windows=3, size=32, crop=crop, **changes), per_shard=per_shard)


def width(i: int) -> int:
    return 64 + 2 * i


def write_manifest(folder: Path, rows: Sequence[dict]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def write_source(folder: Path, n: int) -> Path:
    """Clips that tell themselves apart by their width."""
    folder.mkdir()
    rows = []
    for i in range(n):
        write_clip(folder / f"{i}.mp4", Take(seconds=0.6, width=width(i), height=64))
        rows.append({"id": f"c{i}", "label": "ab"[i % 2], "group": f"g{i % 3}", "video": f"{i}.mp4", "face.au": i})
    return write_manifest(folder, rows)


def hashes(folder: Path) -> dict[str, str]:
    """Every file of a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def here(tasks, function, placing: Placing, tell) -> Iterator:
    """An engine without processes."""
    while tasks:
        task = tasks.popleft()
        tell([task])
        yield carry_out(function, task).of(task)
    tell(())


def crash(picture: np.ndarray) -> None:
    if picture.shape[1] == CRASH_WIDTH:
        os.abort()


def log(picture: np.ndarray) -> None:
    """Takes its time, and notes which clip it is called for."""
    with Path(os.environ[LOG]).open("a") as file:
        file.write(f"{picture.shape[1]}\n")
    time.sleep(0.05)


def die_once(picture: np.ndarray) -> None:
    """The first process that sees the widest clip dies over it."""
    mark = Path(os.environ[LOG] + ".died")
    if picture.shape[1] == width(2) and not mark.exists():
        mark.touch()
        os._exit(1)
    log(picture)


def logged() -> list[int]:
    path = Path(os.environ[LOG])
    return list(map(int, path.read_text().split())) if path.exists() else []
