"""A few hundred mutated recordings: each is used or refused with a reason, soon and in little memory."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from clips import AVI, MKV, MP4, MPG, Take, write_clip
from fuzzing import fuzz, mutate

MUTANTS = 300


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    take = Take(seconds=1.0, width=96, height=96)
    found = {
        f"a.{kind}": write_clip(folder / f"a.{kind}", take, codecs).read_bytes()
        for kind, codecs in {"mp4": MP4, "avi": AVI, "mpg": MPG, "mkv": MKV}.items()
    }
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        found[f"a.{kind.lower().replace('jpeg', 'jpg')}"] = buffer.getvalue()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set and read as on Linux")
def test_mutants_are_used_or_refused(originals, tmp_path):
    outcome = fuzz(originals, range(MUTANTS), tmp_path)
    assert outcome.faults == {}
    assert outcome.counts["used"] + outcome.counts["refused"] == MUTANTS
    assert min(outcome.counts["used"], outcome.counts["refused"]) > MUTANTS / 20  # neither all broken nor all whole
    assert outcome.peak[0] < 400, f"mutant {outcome.peak[1]} took {outcome.peak[0]:.0f} MB"
    assert outcome.longest[0] < 10, f"mutant {outcome.longest[1]} took {outcome.longest[0]:.1f} s"


def test_a_mutant_is_the_same_for_the_same_number(originals):
    whole = originals["a.mp4"]
    assert mutate(whole, 7) == mutate(whole, 7)
    assert len({mutate(whole, number) for number in range(20)} - {whole}) >= 19
