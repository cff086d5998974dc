"""Clips made into pictures and spectrograms, against PyAV's bare decoding of the same streams; and the memory it takes.

    OMP_NUM_THREADS=1 python -m benchmarks.prepare_speed
    OMP_NUM_THREADS=1 python -m benchmarks.prepare_speed memory

The clips have the form of RAVDESS's: 1280 x 720, H.264, yuv420p, 30 frames per second, 3.7 s, AAC of 48
kHz in stereo; with frames that no other frame needs (B-frames, as x264 makes them by default) and without. Both sides
decode on one thread, in turn, in one process. Memory: the most resident memory, each case in a process of its own.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from tests.support.clips import Codecs, Take, write_clip

from benchmarks.timing import compare, machine

CLIPS = 2
LONG = {
    "20 minutes of 320 x 240": Take(seconds=1200, fps=10, width=320, height=240, gop=100),
    "3.7 s of 1280 x 720": Take(seconds=3.7, fps=30, width=1280, height=720, gop=60),
    "a minute of 1280 x 720": Take(seconds=60, fps=10, width=1280, height=720, gop=100),
}


def codecs(b_frames: int) -> Codecs:
    options = (("preset", "medium"), ("crf", "18"), ("bf", str(b_frames)))
    return Codecs("mp4", "libx264", "aac", 48000, options)


def face(number: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """A light wall, a head that sways and a mouth that moves, and a camera's noise."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    picture = np.repeat((200 + 35 * x / width)[..., None], 3, 2)
    sway = width / 2 + 20 * np.sin(number / 9 + seed), height / 2 + 10 * np.cos(number / 7 + seed)
    head = ((x - sway[0]) / 170) ** 2 + ((y - sway[1]) / 230) ** 2 < 1
    opened = 8 + 25 * abs(np.sin(number / 3 + seed))
    mouth = ((x - sway[0]) / 60) ** 2 + ((y - sway[1] - 110) / opened) ** 2 < 1
    picture[head], picture[mouth] = (180, 140, 120), (90, 30, 30)
    picture += np.random.default_rng(1000 * seed + number).normal(0, 2, (height, width, 1))
    return picture.clip(0, 255).astype(np.uint8)


def decode(paths: list[Path]) -> None:
    """Every frame of picture and sound, and nothing else."""
    for path in paths:
        with av.open(str(path)) as container:
            for stream in container.streams:
                stream.codec_context.thread_count = 1
            for _ in container.decode(*container.streams):
                pass


def prepare(paths: list[Path]) -> None:
    from elision.media.extract import MediaSettings, extract_media

    for path in paths:
        found = extract_media({"visual": path, "audio": path}, None, None, MediaSettings(), path.stem)
        assert len(found.values["visual"]) == len(found.values["audio"]) == 30


def speed(folder: Path) -> None:
    print(machine())
    for b_frames in (3, 0):
        takes = [
            Take(seconds=3.7, fps=30, width=1280, height=720, gop=250, paint=partial(face, seed=i))
            for i in range(CLIPS)
        ]
        paths = [write_clip(folder / f"{b_frames}-{i}.mp4", take, codecs(b_frames)) for i, take in enumerate(takes)]
        rate = np.mean([path.stat().st_size for path in paths]) * 8 / 3.7 / 1e6
        times = compare({"decode": partial(decode, paths), "prepare": partial(prepare, paths)}, repeats=5)
        clips = {name: CLIPS / seconds for name, seconds in times.items()}
        print(
            f"{b_frames} B-frames, {rate:.1f} Mbit/s: bare decoding {clips['decode']:.2f} clips/s, "
            f"prepared {clips['prepare']:.2f} clips/s, ratio {times['decode'] / times['prepare']:.2f}"
        )


MEASURE = """
import sys
from pathlib import Path
def status(name): return next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith(name))
def peak(): return status("VmHWM")
def own(): return status("RssAnon")  # without the pages of files, which processes share
import torch
torch.set_num_threads(1)
torch_only = peak()
from elision.media.extract import MediaSettings, extract_media
before, anonymous = peak(), own()
for path in sys.argv[1:]:
    for _ in range(3):
        extract_media({"visual": Path(path), "audio": Path(path)}, None, None, MediaSettings(), "key")
print(f"torch alone {torch_only:.0f} MB, all imports {before:.0f} MB ({anonymous:.0f} MB its own), "
      f"peak {peak():.0f} MB ({own():.0f} MB its own): {peak() - before:.0f} MB more")
"""


def memory(folder: Path) -> None:
    print(machine())
    for name, take in LONG.items():
        path = write_clip(folder / "long.mp4", take, Codecs("mp4", "libx264", "aac", 48000, (("preset", "ultrafast"),)))
        done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
        print(f"{name} ({path.stat().st_size / 1e6:.0f} MB): {done.stdout.strip()}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        (memory if "memory" in sys.argv[1:] else speed)(Path(folder))
