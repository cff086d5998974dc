"""Clips with known content, in the codecs of real data sets: a frame's number painted in, a tone per half second.

    write_clip(path, Take())                     # H.264 and AAC in mp4
    write_clip(path, Take(), AVI)                # MPEG-4 and PCM in avi
    write_clip(path, Take(seconds=4), MPG)       # MPEG-1 and MP2

`read_number` gives back the number painted into a frame, from a JPEG or an array, after resizing and cropping.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

SEGMENT = 0.5
"""Seconds that a tone lasts."""


@dataclass(frozen=True)
class Codecs:
    """How a clip is written."""

    format: str
    picture: str
    sound: str
    rate: int
    picture_options: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


MP4 = Codecs("mp4", "libx264", "aac", 48000, (("preset", "veryfast"),))
AVI = Codecs("avi", "mpeg4", "pcm_s16le", 44100)
MPG = Codecs("mpeg", "mpeg1video", "mp2", 44100)
MKV = Codecs("matroska", "libx264", "aac", 48000, (("preset", "veryfast"),))


@dataclass(frozen=True)
class Take:
    """What a clip shows.

    Args:
        seconds: the picture's length.
        fps: frames per second.
        times: seconds at which frames are shown, instead of an even rate; the last one is `seconds` long at most.
        width, height: of the picture as it is displayed upright, before rotation and sample aspect ratio.
        rotation: degrees counter-clockwise by which a player turns the stored picture: 0, 90, 180, 270.
        aspect: sample aspect ratio, a pixel's width over its height.
        picture, sound: whether there is such a stream.
        sound_start, sound_seconds: where the sound begins, and how long it is (None: to the picture's end).
        channels: 1 or 2 of the same sound.
        tone: segment -> its frequency in Hz; None for `tone`.
        silent: the sound is digital silence.
        gop: frames from one key frame to the next.
        paint: (number, width, height) -> picture (height, width, 3), uint8.
    """

    seconds: float = 2.0
    fps: int = 25
    times: tuple[float, ...] | None = None
    width: int = 192
    height: int = 144
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    picture: bool = True
    sound: bool = True
    sound_start: float = 0.0
    sound_seconds: float | None = None
    channels: int = 2
    tone: Callable[[int], float] | None = None
    silent: bool = False
    gop: int = 12
    paint: Callable[[int, int, int], np.ndarray] | None = None

    def shown_at(self) -> list[float]:
        """The seconds at which each frame appears; frame number n at the n-th."""
        return list(self.times or np.arange(round(self.seconds * self.fps)) / self.fps)


def tone(segment: int) -> float:
    """The frequency, in Hz, of the sound in seconds segment / 2 to (segment + 1) / 2."""
    return 400.0 + 300.0 * (segment % 12)


def write_clip(path: Path, take: Take = Take(), codecs: Codecs = MP4) -> Path:
    """Write it, picture and sound interleaved."""
    with av.open(str(path), "w", format=codecs.format, options=dict(codecs.options)) as container:
        tracks = []
        if take.picture:
            tracks.append(_picture(container, take, codecs))
        if take.sound:
            tracks.append(_sound(container, take, codecs))
        waiting = [(next(track), track) for track in tracks]
        while waiting:
            waiting.sort(key=lambda entry: entry[0])
            _, track = waiting.pop(0)
            following = next(track, None)
            if following is not None:
                waiting.append((following, track))
    return path


def paint(number: int, width: int, height: int) -> np.ndarray:
    """The number in black and white cells, four by four, over the central square; top left is red, as a marker."""
    side = min(width, height)
    cells = np.zeros((4, 4, 3), np.uint8)
    cells.reshape(16, 3)[_BIT_CELLS] = np.array([number >> bit & 1 for bit in range(12)])[:, None] * 255
    cells[0, 0] = 255, 0, 0
    cells[0, 3] = 0, 0, 255
    index = np.arange(side) * 4 // side
    picture = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    picture[top : top + side, left : left + side] = cells[index][:, index]
    return picture


_BIT_CELLS = [c for c in range(16) if c not in (0, 3, 12, 15)]


def read_number(picture: bytes | np.ndarray) -> int:
    """The number painted in the central square of a JPEG or an array (height, width, 3).

    Raises:
        AssertionError: the markers are not where they belong: turned, mirrored, squeezed, or other colours.
    """
    array = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")) if isinstance(picture, bytes) else picture
    height, width = array.shape[:2]
    side = min(width, height)
    square = array[(height - side) // 2 :, (width - side) // 2 :][:side, :side].astype(float)
    middle = (np.arange(4) * 2 + 1) * side // 8
    reach = max(side // 11, 1)
    patches = [[square[y - reach : y + reach, x - reach : x + reach] for x in middle] for y in middle]
    cells = np.array([[patch.mean((0, 1)) for patch in row] for row in patches])
    uneven = max(patch.std((0, 1)).max() for row in patches for patch in row)
    assert uneven < 45, f"cells are uneven, by {uneven:.0f}: squeezed or blurred"
    red, blue = cells[0, 0], cells[0, 3]
    assert red[0] > 160 and red[1:].max() < 110, f"top left is {red.round()}, not red"
    assert blue[2] > 160 and blue[:2].max() < 110, f"top right is {blue.round()}, not blue"
    assert cells[3, [0, 3]].max() < 80, f"the lower corners are {cells[3, [0, 3]].round()}, not black"
    bits = cells.reshape(16, 3)[_BIT_CELLS].mean(1)
    assert ((bits < 80) | (bits > 176)).all(), f"cells are {bits.round()}, neither black nor white"
    return int(sum(1 << bit for bit, level in enumerate(bits) if level > 128))


def waveform(take: Take, rate: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """The sound at ``rate``, float64 in -0.5 to 0.5, shape (count,): from its ``first`` sample on, counted from
    `sound_start`, by default to its end."""
    end = take.seconds if take.sound_seconds is None else take.sound_start + take.sound_seconds
    samples = round((end - take.sound_start) * rate)
    at = take.sound_start + np.arange(first, min(first + (samples if count is None else count), samples)) / rate
    if take.silent:
        return np.zeros(len(at))
    segments = (at / SEGMENT + 1e-9).astype(int)
    frequency = np.array([(take.tone or tone)(s) for s in range(segments.max(initial=0) + 1)])[segments]
    return 0.5 * np.sin(2 * np.pi * frequency * at)


def _picture(container: av.container.OutputContainer, take: Take, codecs: Codecs) -> Iterator[float]:
    width, height = (take.height, take.width) if take.rotation % 180 else (take.width, take.height)
    width = round(width / take.aspect / 2) * 2
    stream = container.add_stream(codecs.picture, rate=take.fps, options=dict(codecs.picture_options))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.gop_size = take.gop
    stream.codec_context.thread_count = 1
    stream.bit_rate = 2_000_000 if codecs.picture != "libx264" else 0
    if take.aspect != 1:
        stream.codec_context.sample_aspect_ratio = take.aspect
    if take.rotation:
        stream.set_display_rotation(take.rotation)
    clock = Fraction(1, 90000) if take.times else Fraction(1, take.fps)
    stream.codec_context.time_base = clock
    times = take.shown_at()
    for number, (now, after) in enumerate(pairwise([*times, max(take.seconds, times[-1] + 1 / take.fps)])):
        yield now
        upright = (take.paint or paint)(number, take.width, take.height)
        stored = np.rot90(upright, -take.rotation // 90)
        squeezed = stored[:, (np.arange(width) * stored.shape[1]) // width]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(squeezed), "rgb24")
        frame.pts, frame.time_base, frame.duration = round(now / clock), clock, round((after - now) / clock)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _sound(container: av.container.OutputContainer, take: Take, codecs: Codecs) -> Iterator[float]:
    layout = {1: "mono", 2: "stereo"}[take.channels]
    stream = container.add_stream(codecs.sound, rate=codecs.rate, layout=layout)
    size = stream.codec_context.frame_size or 1024
    begin, start = 0, round(take.sound_start * codecs.rate)
    while len(samples := waveform(take, codecs.rate, begin, size)):
        yield take.sound_start + begin / codecs.rate
        piece = np.tile(samples.astype(np.float32), (take.channels, 1))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = codecs.rate, start + begin, Fraction(1, codecs.rate)
        for converted in av.AudioResampler(stream.format, layout, codecs.rate).resample(frame):
            container.mux(stream.encode(converted))
        begin += size
    container.mux(stream.encode(None))
