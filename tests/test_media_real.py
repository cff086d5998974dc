"""Real recordings, where they are at hand: GRID's clips in two codecs, RAVDESS's sound."""

import csv
import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from elision.media.extract import MediaSettings, extract_media

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_grid = pytest.mark.skipif(not (DATA / "grid").is_dir(), reason="GRID's clips are not at ../shared/data/grid")
needs_ravdess = pytest.mark.skipif(not (DATA / "ravdess").is_dir(), reason="no RAVDESS at ../shared/data/ravdess")


def some(pattern, count):
    paths = sorted(DATA.glob(pattern))
    return paths[:: max(len(paths) // count, 1)]


def both(path, settings, start=None, end=None):
    return extract_media({"visual": path, "audio": path}, start, end, settings, path.stem)


def check_whole(paths):
    for path in paths:
        found = both(path, MediaSettings(size=64))
        assert found.missing == {}
        assert found.duration == pytest.approx(3.0, abs=0.05)
        assert len(found.values["visual"]) == 30
        assert found.values["audio"].shape == (30, 64, 51)
        assert np.isfinite(found.values["audio"]).all()


@needs_grid
def test_clips_in_both_codecs():
    check_whole(some("grid/clips/*.mp4", 10) + some("grid/raw_mpg/*.mpg", 5))


@needs_grid
@pytest.mark.slow
def test_all_clips():
    check_whole([*sorted(DATA.glob("grid/clips/*.mp4")), *sorted(DATA.glob("grid/raw_mpg/*.mpg"))])


@needs_grid
def test_the_frame_shown_at_a_word():
    """Against every frame of the clip, decoded plainly and resized by Pillow: the nearest is the one shown."""
    with (DATA / "grid" / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::250]
    for row in rows:
        path = DATA / "grid" / row["file"]
        middle = (float(row["digit_start"]) + float(row["digit_end"])) / 2
        found = both(path, MediaSettings(windows=1, size=160), middle - 0.25, middle + 0.25)
        shown = np.asarray(Image.open(io.BytesIO(found.values["visual"][0])).convert("L")).astype(float)
        with av.open(str(path)) as container:
            frames = [
                (frame.time, frame.to_image().convert("L").crop((0, 16, 160, 176)))
                for frame in container.decode(video=0)
            ]
        distances = [np.abs(shown - np.asarray(image)).mean() for _, image in frames]
        assert frames[int(np.argmin(distances))][0] == max(t for t, _ in frames if t <= middle + 1e-6)
        assert min(distances) < 3


@needs_grid
def test_the_same_clip_in_two_codecs_sounds_alike():
    """MP4 with AAC and MPEG-1 with MP2: shifted by 1024 samples (23 ms, 2.3 frames of the spectrogram) alone, the AAC
    encoder's delay, which these mp4 files do not mark."""
    for path in some("grid/raw_mpg/*.mpg", 4):
        settings = MediaSettings(windows=1, seconds=2.5)
        one, other = (
            both(p, settings).values["audio"][0].astype(float)[:40]
            for p in (path, DATA / "grid" / "clips" / f"{path.stem}.mp4")
        )
        likeness = {
            lag: np.corrcoef(one[:, 5 + lag : 240 + lag].ravel(), other[:, 5:240].ravel())[0, 1] for lag in range(-4, 5)
        }
        assert max(likeness, key=likeness.get) in (-3, -2)
        assert likeness[-2] > 0.95


@needs_ravdess
def test_sound_alone():
    for path in some("ravdess/audio/*.flac", 20):
        found = both(path, MediaSettings())
        assert found.missing == {"visual": f"no picture in {path.name}"}
        assert found.values["audio"].shape == (30, 64, 51)
        with av.open(str(path)) as container:
            assert found.duration == pytest.approx(container.duration / av.time_base, abs=0.01)
