"""Synthetic talking faces: a stand-in that goes the whole way from clips to the paper's tables, where data is not ours.

A drawn face says something: brows, mouth and eyes, and the voice's pitch, loudness and pace carry one of six emotions,
each clip's with noise of its own, so that neither face nor voice alone tells all of them. Complexion, place and size of
the face, background and base pitch belong to the speaker and say nothing.

Nobody's face, nobody's voice, and none of the paper's numbers.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from elision.demo.drawn_face import SIZE, Speaker, draw_face
from elision.errors import InputError, check_choice
from elision.files import write_atomically

FPS, RATE, FRAMES = 12, 48_000, 15
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
FACE = np.array([
    # brows up, brows slant (inner end up), corners of the mouth up, mouth open
    [-1.0, -1.0, -0.4, 0.3],
    [-0.6, -0.5, -0.9, 0.0],
    [0.7, 0.6, -0.3, 0.6],
    [0.2, 0.0, 1.0, 0.3],
    [0.0, 1.0, -1.0, -0.2],
    [1.0, 0.1, 0.0, 1.0],
])  # fmt: skip
"""What a face shows of each emotion, shape (6, 4), about -1 to 1."""
VOICE = np.array([
    # pitch, loudness, pace
    [0.5, 1.0, 0.6],
    [-0.7, 0.1, -0.4],
    [0.9, -0.6, 0.9],
    [0.6, 0.5, 0.0],
    [-0.8, -0.9, -0.9],
    [1.0, 0.5, -0.6],
])  # fmt: skip
"""What a voice carries of each emotion, shape (6, 3)."""
FACE_NOISE, VOICE_NOISE = 0.5, 0.6
"""Standard deviation of a clip's own expression, in the units above: who read it exactly would be right in 78 per cent
of faces, 68 of voices, and 93 of both together."""


@dataclass(frozen=True)
class DrawnClip:
    """One clip to be made.

    Args:
        path: relative to the folder.
        emotion: index in `EMOTIONS`.
        seed: keys of its own randomness.
        speaker: who speaks.
    """

    path: Path
    emotion: int
    seed: tuple[int, ...]
    speaker: Speaker

    def expression(self) -> tuple[np.ndarray, np.ndarray]:
        """(face, voice) of this clip: the emotion's, with noise."""
        rng = np.random.default_rng([*self.seed, 1])
        face = FACE[self.emotion] + FACE_NOISE * rng.standard_normal(FACE.shape[1])
        return face, VOICE[self.emotion] + VOICE_NOISE * rng.standard_normal(VOICE.shape[1])


def make(dest: Path, layout: str, n_subjects: int = 8, repeats: int = 4, seed: int = 0, workers: int = 1) -> list[Path]:
    """Write ``n_subjects x 6 x repeats`` clips of 1.25 s as a data set of that layout would name them.

    The same arguments give the same files, byte for byte, with the same version of PyAV.

    Args:
        dest: folder to make; what it holds already is kept.
        layout: a name in `NAMINGS`.
        n_subjects: people, at most what the layout can name.
        repeats: clips of a person and emotion, at most what the layout can name.
        seed: of everything random.
        workers: threads.

    Returns:
        The files, in the layout's order.
    """
    check_choice("layout", layout, NAMINGS)
    naming = NAMINGS[layout]
    for what, value, most in (("n_subjects", n_subjects, naming.subjects), ("repeats", repeats, naming.repeats)):
        if not 1 <= value <= most:
            raise InputError(f"{what} is {value}: expected 1 to {most}, which the layout {layout} can name")
    clips = [
        DrawnClip(
            naming.path(subject, emotion, repeat), emotion, (seed, naming.code, subject, emotion, repeat), speaker
        )
        for subject in range(n_subjects)
        for speaker in [Speaker.draw(np.random.default_rng([seed, naming.code, subject]))]
        for emotion in range(len(EMOTIONS))
        for repeat in range(repeats)
    ]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda clip: _write(dest, clip, naming), clips))


def _write(dest: Path, clip: DrawnClip, naming: "Naming") -> Path:
    path = dest / clip.path
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode(frames(clip), sound(clip), naming))
    return path


def frames(clip: DrawnClip) -> Iterator[np.ndarray]:
    """The pictures, uint8, shape (96, 96, 3) each."""
    rng = np.random.default_rng([*clip.seed, 2])
    face, voice = clip.expression()
    sway = rng.normal(0, 0.012, 2)
    phase = rng.uniform(0, 2 * math.pi)
    blink = int(rng.integers(FRAMES))
    for i in range(FRAMES):
        moved = sway * math.sin(2 * math.pi * i / FRAMES + phase)
        talking = _syllables(np.array([i / FPS]), _pace(voice), phase)[0]
        picture = draw_face(clip.speaker, face, moved, talking, closed=i == blink)
        grain = rng.normal(0, 5, picture.shape)
        yield (picture + grain).clip(0, 255).astype(np.uint8)


def sound(clip: DrawnClip) -> np.ndarray:
    """The voice, float32 within [-1, 1], shape (60,000,) at 48 kHz: a harmonic tone in syllables, and breath."""
    rng = np.random.default_rng([*clip.seed, 3])
    _, voice = clip.expression()
    t = np.arange(FRAMES * RATE // FPS) / RATE
    phase = np.random.default_rng([*clip.seed, 2]).uniform(0, 2 * math.pi)
    pitch = clip.speaker.pitch * 2 ** (0.45 * voice[0]) * (1 + 0.02 * np.sin(2 * math.pi * 5 * t))
    turns = 2 * math.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(n * turns) / n ** (1.6 - 0.3 * voice[1]) for n in range(1, 13))
    volume = clip.speaker.volume * 2 ** (0.8 * voice[1])
    envelope = 0.15 + 0.85 * _syllables(t, _pace(voice), phase)
    waves = volume * envelope * tone / 2 + 0.012 * rng.standard_normal(len(t))
    return np.tanh(waves).astype(np.float32)


def _pace(voice: np.ndarray) -> float:
    """Syllables per second."""
    return 3.5 * 2 ** (0.5 * float(voice[2]))


def _syllables(t: np.ndarray, pace: float, phase: float) -> np.ndarray:
    """Return how loud the voice and how open the mouth is at each moment, in [0, 1]."""
    return 0.5 + 0.5 * np.sin(2 * math.pi * pace * t + phase)


def encode(pictures: Iterator[np.ndarray], waves: np.ndarray, naming: "Naming") -> bytes:
    """A film of pictures (96, 96, 3) at 12 a second and sound at 48 kHz, as bytes."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=naming.container, container_options={"fflags": "+bitexact"}) as film:
        video = film.add_stream(naming.video, rate=FPS, options=dict(naming.options))
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1  # several would be faster, and not always the same
        audio = film.add_stream(naming.audio, rate=RATE, layout="mono")
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
        whole = av.AudioFrame.from_ndarray(np.rint(waves * 32767).astype(np.int16)[None], format="s16", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
        resampler = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=RATE, frame_size=1024)
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            film.mux(audio.encode(frame))
        film.mux(audio.encode(None))
    return buffer.getvalue()


@dataclass(frozen=True)
class Naming:
    """Say how a data set names and packs its clips.

    Args:
        path: (subject, emotion, repeat), each from 0, to the clip's path.
        subjects, repeats: how many it can name.
        code: a number that keeps the layouts' random draws apart.
        container, video, audio: PyAV's names of format and codecs.
        options: of the video codec.
    """

    path: Callable[[int, int, int], Path]
    subjects: int
    repeats: int
    code: int
    container: str
    video: str
    audio: str
    options: Mapping[str, str]


def _ravdess(subject: int, emotion: int, repeat: int) -> Path:
    """Speech, audio and video: 01-01-emotion-intensity-statement-repetition-actor."""
    number = {"happiness": 3, "sadness": 4, "anger": 5, "fear": 6, "disgust": 7, "surprise": 8}[EMOTIONS[emotion]]
    repetition, statement, intensity = repeat % 2 + 1, repeat // 2 % 2 + 1, repeat // 4 + 1
    actor = f"{subject + 1:02d}"
    return Path(f"Actor_{actor}", f"01-01-{number:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor}.mp4")


def _enterface05(subject: int, emotion: int, repeat: int) -> Path:
    name, number, sentence = EMOTIONS[emotion], subject + 1, repeat + 1
    return Path(f"subject {number}", name, f"sentence {sentence}", f"s{number}_{name[:2]}_{sentence}.avi")


NAMINGS = {
    "ravdess": Naming(_ravdess, 24, 8, 1, "mp4", "libx264", "aac", {"preset": "veryfast", "qp": "25"}),
    "enterface05": Naming(_enterface05, 42, 5, 2, "avi", "mpeg4", "pcm_s16le", {"qscale": "4", "flags": "+qscale"}),
}
"""layout -> how its clips are named and packed. The quantiser is constant: x264's lookahead differs from run to run."""
