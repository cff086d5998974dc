"""Reading a store for training against decoding its JPEGs alone, both in two worker processes, in turn.

    OMP_NUM_THREADS=1 python -m benchmarks.store_reading [--store FOLDER]

Without a store it makes one of pictures with natural spectra (1/f noise) of 224 x 224 and spectrograms of 64 x 51. The
floor is what cannot be saved: two processes that hold the JPEGs in memory and decode each to pixels, without batches.
Beside the ratio of the rates stands that of the work, in CPU seconds (Linux), which other programs disturb less.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.timing import machine
from elision.data.schema import Row, StoreInfo, shard_name, write_manifest
from elision.data.segments import Segments, collate
from elision.data.shards import write_shard
from elision.data.store import Store
from elision.kinds import Modality

WORKERS, BATCH, WINDOWS, CLIPS = 2, 32, 30, 128


def natural(rng: np.random.Generator, size: int = 224) -> bytes:
    """A JPEG of coloured 1/f noise, whose spectrum is that of photographs."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    waves = np.fft.fft2(rng.standard_normal((3, size, size))) / np.maximum(frequency, 1 / size)
    values = np.fft.ifft2(waves).real
    pixels = np.clip(128 + 40 * values / values.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=90)
    return content.getvalue()


def make(folder: Path) -> Store:
    rng = np.random.default_rng(0)
    modalities = {
        "visual": Modality("frames", (3, 224, 224), WINDOWS),
        "audio": Modality("spectrogram", (64, 51), WINDOWS),
    }
    pictures = [natural(rng) for _ in range(256)]
    shards = []
    for number in range(CLIPS // 32):
        rows = []
        for clip in range(32):
            frames = [pictures[i] for i in rng.integers(0, len(pictures), WINDOWS)]
            sound = rng.normal(size=(WINDOWS, 64, 51)).astype(np.float16)
            rows.append(Row(f"{number}-{clip}", "ab"[clip % 2], values={"visual": frames, "audio": sound}))
        shards.append(write_shard(folder / shard_name(number), rows, modalities))
    write_manifest(folder, StoreInfo(modalities, tuple(shards)))
    return Store(folder)


def decode(jpegs: Sequence[bytes], pipe: Connection) -> None:
    """In a process of its own: decode all whenever asked."""
    while pipe.recv():
        for content in jpegs:
            np.asarray(Image.open(io.BytesIO(content)))
        pipe.send(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.store) if arguments.store else make(Path(folder))
        measure(store, arguments.repeats)


def measure(store: Store, repeats: int) -> None:
    m = next(m for m, modality in store.info.modalities.items() if modality.kind == "frames")
    samples = np.flatnonzero(store.observed[m])[:CLIPS]
    segments = Segments(store, samples)
    n = len(segments)
    jpegs = [bytes(store.stored(s, m, w)) for s in samples.tolist() for w in segments.windows]
    pipes, processes = zip(*(started(jpegs[worker::WORKERS]) for worker in range(WORKERS)), strict=True)
    loader = DataLoader(
        segments, BATCH, shuffle=True, collate_fn=collate, num_workers=WORKERS, persistent_workers=True,
        multiprocessing_context="fork",
    )  # fmt: skip

    def floor() -> list[int]:
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()
        return [process.pid for process in processes]

    def read() -> list[int]:
        batches = iter(loader)
        assert sum(len(batch) for batch in batches) == n
        return [os.getpid(), *(worker.pid for worker in batches._workers)]

    pids = {"floor": floor(), "read": read()}  # maps the shards and starts the workers
    rates: dict[str, list[float]] = {"floor": [], "read": []}
    work: dict[str, list[float]] = {"floor": [], "read": []}
    for _ in range(repeats):
        for name, function in (("floor", floor), ("read", read)):
            before, begun = cpu_seconds(pids[name]), time.perf_counter()
            function()
            rates[name].append(n / (time.perf_counter() - begun))
            work[name].append(cpu_seconds(pids[name]) - before)
    for pipe in pipes:
        pipe.send(False)
    print(f"{machine()}; {n} segments, JPEGs of {np.mean([len(j) for j in jpegs]) / 1024:.1f} KiB")
    print(f"JPEGs alone      {statistics.median(rates['floor']):8.0f} a second")
    print(f"batches of {BATCH}    {statistics.median(rates['read']):8.0f} segments a second")
    for name, top, bottom in (("rates", rates["read"], rates["floor"]), ("work", work["floor"], work["read"])):
        ratios = [a / b for a, b in zip(top, bottom, strict=True)]
        print(
            f"ratio of {name:8}{statistics.median(ratios):8.2f} ({min(ratios):.2f} to {max(ratios):.2f}), wanted 0.80"
        )


def started(jpegs: Sequence[bytes]) -> tuple[Connection, BaseProcess]:
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=decode, args=(jpegs, theirs), daemon=True)
    process.start()
    return ours, process


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of running processes."""
    ticks = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in pids)
    return sum(int(t) for pair in ticks for t in pair) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
