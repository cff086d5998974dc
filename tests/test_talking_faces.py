"""Synthetic talking faces: what the clips hold, and that they are the same every time."""

from pathlib import Path

import numpy as np
import pytest

from elision.demo import talking_faces as faces
from elision.errors import InputError

av = pytest.importorskip("av")


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """(pictures, waves, facts) of a file."""
    with av.open(str(path)) as film:
        video, audio = film.streams.video[0], film.streams.audio[0]
        facts = {"video": video.codec_context.name, "audio": audio.codec_context.name,
                 "rate": audio.rate, "fps": float(video.average_rate)}  # fmt: skip
        pictures = np.stack([f.to_ndarray(format="rgb24") for f in film.decode(video)])
    with av.open(str(path)) as film:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=faces.RATE)
        chunks = [g for f in film.decode(audio=0) for g in resampler.resample(f)]
        waves = np.concatenate([g.to_ndarray()[0] for g in chunks])
    return pictures, waves, facts


def clip(emotion: int, seed: int = 0) -> faces.DrawnClip:
    speaker = faces.Speaker.draw(np.random.default_rng(seed))
    return faces.DrawnClip(Path("x"), emotion, (seed, 0, emotion), speaker)


@pytest.mark.parametrize(("layout", "first", "codecs"), [
    ("ravdess", "Actor_01/01-01-05-01-01-01-01.mp4", ("h264", "aac")),
    ("enterface05", "subject 1/anger/sentence 1/s1_an_1.avi", ("mpeg4", "pcm_s16le")),
], ids=["ravdess", "enterface05"])  # fmt: skip
def test_clips_have_the_layouts_names_and_codecs_and_show_what_was_drawn(tmp_path, layout, first, codecs):
    files = faces.make(tmp_path, layout, n_subjects=1, repeats=1)
    assert [str(f.relative_to(tmp_path)) for f in files[:1]] == [first] and len(files) == len(set(files)) == 6
    pictures, waves, facts = decoded(files[0])
    assert facts == {"video": codecs[0], "audio": codecs[1], "rate": 48_000, "fps": 12}
    assert pictures.shape == (15, 96, 96, 3)
    naming = faces.NAMINGS[layout]
    speaker = faces.Speaker.draw(np.random.default_rng([0, naming.code, 0]))
    made = faces.DrawnClip(Path("x"), 0, (0, naming.code, 0, 0, 0), speaker)
    drawn = np.stack(list(faces.frames(made))).astype(float)
    assert np.abs(pictures - drawn).mean() < 8  # of 255: what the codec and its halved colours cost
    tone = faces.sound(made)
    assert len(waves) >= len(tone)
    # 1024 samples of AAC's encoder delay may or may not be cut by the reader
    match = max(np.corrcoef(waves[lag : lag + 48_000], tone[:48_000])[0, 1] for lag in (0, 1024))
    assert match > 0.95


def test_the_same_seed_gives_the_same_files_with_any_number_of_workers_and_another_seed_others(tmp_path):
    once, again, other = (
        faces.make(tmp_path / name, "ravdess", 1, 1, seed, workers) for name, seed, workers in
        (("a", 3, 1), ("b", 3, 3), ("c", 4, 1))
    )  # fmt: skip
    assert [f.read_bytes() for f in once] == [f.read_bytes() for f in again]
    assert all(a.read_bytes() != c.read_bytes() for a, c in zip(once, other, strict=True))


def test_what_is_there_is_kept(tmp_path):
    files = faces.make(tmp_path, "enterface05", 1, 1)
    files[2].write_bytes(b"mine")
    files[3].unlink()
    assert faces.make(tmp_path, "enterface05", 1, 1) == files
    assert files[2].read_bytes() == b"mine" and files[3].stat().st_size > 10_000


def test_ravdess_numbers_emotions_as_its_authors_do():
    """03 happy, 04 sad, 05 angry, 06 fearful, 07 disgust, 08 surprised (Livingstone and Russo 2018)."""
    codes = [faces.NAMINGS["ravdess"].path(0, e, 0).name.split("-")[2] for e in range(6)]
    assert dict(zip(faces.EMOTIONS, codes, strict=True)) == {
        "happiness": "03", "sadness": "04", "anger": "05", "fear": "06", "disgust": "07", "surprise": "08",
    }  # fmt: skip
    for naming in faces.NAMINGS.values():
        paths = [naming.path(s, e, r) for s in range(naming.subjects) for e in range(6) for r in range(naming.repeats)]
        assert len(set(paths)) == len(paths)


def right(means_and_noise: list[tuple[np.ndarray, float]], n: int = 20_000) -> float:
    """How often the best possible reader of these expressions is right."""
    rng = np.random.default_rng(0)
    z = rng.integers(6, size=n)
    logs = 0.0
    for means, noise in means_and_noise:
        x = means[z] + noise * rng.standard_normal((n, means.shape[1]))
        logs = logs - ((x[:, None] - means) ** 2).sum(-1) / (2 * noise**2)
    return float((logs.argmax(1) == z).mean())


def test_each_modality_alone_is_clearly_below_both():
    face, voice = (faces.FACE, faces.FACE_NOISE), (faces.VOICE, faces.VOICE_NOISE)
    alone, both = (right([face]), right([voice])), right([face, voice])
    assert alone == pytest.approx((0.78, 0.68), abs=0.02) and both == pytest.approx(0.93, abs=0.02)


def test_pictures_and_voices_carry_the_expression():
    """The mouth of happiness turns up and that of sadness down; surprise is higher than sadness."""
    quiet = {"FACE_NOISE": 0.0, "VOICE_NOISE": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quiet.items():
            patch.setattr(faces, name, value)
        happy, sad = (next(faces.frames(clip(faces.EMOTIONS.index(e)))).astype(float) for e in ("happiness", "sadness"))
        high, low = (faces.sound(clip(faces.EMOTIONS.index(e))) for e in ("surprise", "sadness"))
    rows = [_red_centre(picture) for picture in (happy, sad)]
    assert rows[0]["middle"] > rows[0]["sides"] + 1 and rows[1]["middle"] < rows[1]["sides"] - 1
    loudness = [float(np.square(w).mean()) for w in (high, low)]
    assert loudness[0] > 3 * loudness[1]
    assert _pitch(high) > 1.5 * _pitch(low)


def _red_centre(picture: np.ndarray) -> dict[str, float]:
    """The mean row of the lips in the middle of the face and at its sides, below the nose."""
    redness = (picture[..., 0] - picture[..., 1]).clip(0)
    lips = np.where(redness > 75, redness, 0.0)
    lips[:50] = 0
    columns = np.flatnonzero(lips.sum(0))

    def at(chosen):
        return float((lips[:, chosen].sum(1) * np.arange(96)).sum() / lips[:, chosen].sum())

    return {
        "middle": at(columns[len(columns) // 3 : -len(columns) // 3]),
        "sides": at(np.r_[columns[:4], columns[-4:]]),
    }


def _pitch(waves: np.ndarray) -> float:
    """The strongest frequency below 600 Hz."""
    power = np.abs(np.fft.rfft(waves)) ** 2
    frequencies = np.fft.rfftfreq(len(waves), 1 / faces.RATE)
    band = (frequencies > 60) & (frequencies < 600)
    return float(frequencies[band][power[band].argmax()])


@pytest.mark.parametrize(("arguments", "message"), [
    (("mpeg",), "unknown layout 'mpeg': choose from enterface05, ravdess"),
    (("ravdess", 25), "n_subjects is 25: expected 1 to 24"),
    (("enterface05", 1, 6), "repeats is 6: expected 1 to 5"),
])  # fmt: skip
def test_what_cannot_be_named_is_refused(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        faces.make(tmp_path, *arguments)
