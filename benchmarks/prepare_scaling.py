"""Preparing a store with two workers against one.

    python -m benchmarks.prepare_scaling

Clips of RAVDESS's form, as in `benchmarks.prepare_speed`, through the function that workers carry out, in turn with one
and two workers. The rate counts from when every worker has finished its first clip: starting them takes seconds, and
clips take hours. The processor time of a clip, with one worker and with two, tells what the second one costs the first
whatever else runs on the machine: on idle cores the ratio of the rates cannot be above twice its ratio.
"""

import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.support.clips import Take, write_clip

from benchmarks.prepare_speed import codecs, face
from benchmarks.timing import machine
from elision.data.layouts.found import Found
from elision.data.preparation import Preparation, modalities
from elision.data.prepare import prepare
from elision.data.reading import read_recording
from elision.data.recording import Recording
from elision.data.staging import Staging
from elision.media.extract import MediaSettings
from elision.parallel import Placing, work_through

CLIPS = 24
REPEATS = 3


def make(folder: Path) -> list[Recording]:
    """Few clips under many names."""
    recordings = []
    for i in range(CLIPS):
        path = folder / f"{i:02d}.mp4"
        if i < 2:
            take = Take(seconds=3.7, fps=30, width=1280, height=720, gop=250, paint=partial(face, seed=i))
            write_clip(path, take, codecs(3))
        else:
            os.link(folder / f"{i % 2:02d}.mp4", path)
        recordings.append(Recording(path.stem, "ab"[i % 2], sources={"visual": path, "audio": path}))
    with (folder / "manifest.csv").open("w") as file:
        file.write("id,label,video\n" + "".join(f"{r.id},{r.label},{r.id}.mp4\n" for r in recordings))
    return recordings


def clip(area: Staging, settings: MediaSettings, recording: Recording) -> float:
    """Processor time, in seconds, of one clip."""
    before = time.process_time()
    read_recording(area, settings, recording)
    return time.process_time() - before


def measure(recordings: list[Recording], workers: int) -> tuple[float, float]:
    """Clips per second, and seconds of processor time per clip."""
    ends, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        settings = MediaSettings()
        area = Staging(Path(folder), folder, modalities(Found(tuple(recordings)), settings))
        for done in work_through(recordings, partial(clip, area, settings), Placing(workers)):
            ends.append(time.perf_counter())
            seconds.append(done.result)
    return (CLIPS - workers) / (ends[-1] - ends[workers - 1]), statistics.mean(seconds[workers:])


def assembling(source: Path) -> float:
    """Share of the whole that writing the shards takes, with two workers."""
    marks = {}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()

        def watch(done: int, total: int, running: object, seconds_left: object) -> None:
            if done == total:
                marks.setdefault("read", time.perf_counter())

        prepare(source, Path(folder) / "store", Preparation("manifest"), workers=2, watch=watch)
        ended = time.perf_counter()
    return (ended - marks["read"]) / (ended - started)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        recordings = make(Path(folder))
        print(machine())
        ratios, cpu = [], []
        for _ in range(REPEATS):
            one, alone = measure(recordings, 1)
            two, shared = measure(recordings, 2)
            ratios.append(two / one)
            cpu.append(2 * alone / shared)
            print(
                f"1 worker {one:.2f} clips/s ({alone:.3f} s of processor a clip), 2 workers {two:.2f} clips/s "
                f"({shared:.3f} s): ratio {ratios[-1]:.2f}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        share = assembling(Path(folder) / "manifest.csv")
    print(f"median ratio {statistics.median(ratios):.2f}; by processor time {statistics.median(cpu):.2f}")
    print(f"writing the shards takes {share:.1%} of the whole, start of the workers included")


if __name__ == "__main__":
    main()
