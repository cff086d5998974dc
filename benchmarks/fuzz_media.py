"""Mutated recordings of every kind that is read: how many are used, refused, or do harm.

    OMP_NUM_THREADS=1 python -m benchmarks.fuzz_media 3000

Children read them one after the other, with limits of time and memory, as in `tests/test_media_fuzz.py`. Mutants that
do harm stay in the folder that is named at the end.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tests.support.clips import AVI, MKV, MP4, MPG, Codecs, Take, write_clip
from tests.support.fuzzing import Outcome, fuzz

FORMATS = {
    "mp4": MP4,
    "fast.mp4": Codecs("mp4", "libx264", "aac", 48000, MP4.picture_options, (("movflags", "faststart"),)),
    "fragments.mp4": Codecs("mp4", "libx264", "aac", 48000, MP4.picture_options, (("movflags", "frag_keyframe"),)),
    "avi": AVI,
    "mpg": MPG,
    "mkv": MKV,
    "ts": Codecs("mpegts", "mpeg2video", "mp2", 48000),
    "flv": Codecs("flv", "libx264", "aac", 44100, MP4.picture_options),
}
SOUNDS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "mp3": ("mp3", "libmp3lame"),
}


def originals(folder: Path) -> dict[str, bytes]:
    found = {}
    for number, (kind, codecs) in enumerate(FORMATS.items()):
        take = Take(seconds=1.5, width=96, height=96, rotation=90 * (number % 4), gop=6)
        found[f"a.{kind}"] = write_clip(folder / f"a.{kind}", take, codecs).read_bytes()
    for kind, (container, codec) in SOUNDS.items():
        if codec in av.codecs_available:
            sound = Take(seconds=1.5, picture=False)
            path = write_clip(folder / f"a.{kind}", sound, Codecs(container, "", codec, 48000))
            found[f"a.{kind}"] = path.read_bytes()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8))
    for kind in ("jpeg", "png", "webp", "tiff"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        found[f"a.{kind.replace('jpeg', 'jpg')}"] = buffer.getvalue()
    return found


def report(outcome: Outcome, kinds: int, seconds: float) -> None:
    total = sum(outcome.counts.values())
    print(f"{total} mutants of {kinds} kinds of file in {seconds:.0f} s: {dict(outcome.counts)}")
    for reason, count in outcome.reasons.most_common(12):
        print(f"  {count:5d} {reason} ...")
    print(f"most memory beyond the process's own: {outcome.peak[0]:.0f} MB (mutant {outcome.peak[1]})")
    print(f"longest: {outcome.longest[0]:.2f} s (mutant {outcome.longest[1]})")
    for number, fault in outcome.faults.items():
        print(f"  mutant {number}: {fault}")


def main(count: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-media-"))
    models = originals(folder)
    began = time.monotonic()
    outcome = fuzz(models, range(count), folder)
    report(outcome, len(models), time.monotonic() - began)
    print(f"mutants that did harm: {folder}" if outcome.faults else "none did harm")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
