"""The sound of a clip in windows: mono, at one sample rate, in its place on the clip's clock."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from elision.media.clip import MediaError, OpenClip
from elision.media.noise import white
from elision.media.track import merge, stamp_of

FAR, BEFORE = 2.0, 0.5
"""Seconds that are read rather than seeked over; seconds that a decoder is given before what is wanted of it."""

CANCELLED = 1 / 400
"""Power of a mix below that of its loudest channel, 26 dB, which only channels of opposite signs come to: alone, the
side of 7.1 is mixed in at -19 dB."""

JITTER = 0.03
"""Seconds by which time stamps may differ from the count of samples before there is a gap."""


@dataclass(frozen=True)
class Waveforms:
    """The sound of a clip's windows.

    Args:
        values: full scale is -1 to 1, silence where there is no sound, shape (windows, samples), float32.
        filled: how many samples of each window were decoded, shape (windows,).
        firsts: where each window begins, in samples on the clip's clock, shape (windows,).
        channel: the one that was used, from 0, because in the mix the channels cancel; None where it is the mix.
    """

    values: np.ndarray
    filled: np.ndarray
    firsts: np.ndarray
    channel: int | None = None

    @property
    def audible(self) -> bool:
        """Tell whether any sample is beyond -80 dB of full scale, three steps of 16 bits."""
        return bool((np.abs(self.values) > 1e-4).any())


def waveforms(clip: OpenClip, starts: np.ndarray, seconds: float, rate: int) -> Waveforms:
    """Return the sound in windows; memory grows with their number, not with the clip's length.

    Channels are mixed with weights that sum to 1; where they cancel, the loudest is used alone. Samples lie where the
    time stamps say; before, after and between them is silence.

    Args:
        clip: with sound.
        starts: seconds on the clip's clock, ascending, shape (windows,).
        seconds: of a window.
        rate: samples per second.

    Raises:
        MediaError: more than half a window of its sound cannot be decoded.
    """
    powers: Counter[int | None] = Counter()
    sheet = _lay(clip, starts, seconds, rate, None, powers)
    mix, loudest = powers.pop(None, 0.0), max(powers, key=powers.__getitem__, default=None)
    if loudest is not None and mix < CANCELLED * powers[loudest]:
        sheet = _lay(clip, starts, seconds, rate, loudest, powers)
    _check(clip, sheet, rate)
    np.nan_to_num(sheet.values, copy=False).clip(-4, 4, out=sheet.values)  # damaged floating-point samples
    return sheet


def _lay(
    clip: OpenClip, starts: np.ndarray, seconds: float, rate: int, channel: int | None, powers: Counter
) -> Waveforms:
    """Return the windows of the mix, or of one channel, and count the power of each channel, and of the mix as None."""
    track, length = clip.sound, round(seconds * rate)
    firsts = np.round(starts * rate).astype(np.int64)
    sheet = Waveforms(np.zeros((len(starts), length), np.float32), np.zeros(len(starts), np.int64), firsts, channel)
    before = [(track.stamp(start - BEFORE), track.stamp(start + seconds)) for start in starts]
    for begin, end in merge(before, int(FAR / track.unit)):
        for first, samples in _mono(clip, begin, end, rate, channel, powers):
            _place(sheet, first, samples[: max(round(track.end * rate) - first, 0)])
    return sheet


def noisy(sheet: Waveforms, decibels: float, key: str) -> np.ndarray:
    """Return the windows with the white noise of a key added, ``decibels`` below the windows' mean power.

    Returns:
        Shape (windows, samples), float32. Where windows overlap, their noise agrees.
    """
    power = np.mean(np.square(sheet.values, dtype=np.float64))
    noise = np.stack([white(key, int(first), sheet.values.shape[1]) for first in sheet.firsts])
    return sheet.values + np.float32(np.sqrt(power * 10 ** (-decibels / 10))) * noise


def _mono(
    clip: OpenClip, begin: int, end: int, rate: int, channel: int | None, powers: Counter
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (place in samples on the clip's clock, samples) of what lies between two stamps."""
    run = None
    for frame in _frames(clip, begin, end):
        at = clip.sound.seconds(frame.pts)
        if run is None or not run.continued_by(frame, at):
            yield from run.finish() if run else ()
            run = _Run(clip, frame, at, rate, channel, powers)
        yield from run.resample(frame)
    yield from run.finish() if run else ()


class _Run:
    """A stretch of sound without a gap, resampled."""

    def __init__(
        self, clip: OpenClip, frame: av.AudioFrame, at: float, rate: int, channel: int | None, powers: Counter
    ) -> None:
        self.clip, self.begin, self.next, self.channel, self.powers = clip, at, at, channel, powers
        self.form = frame.format.name, frame.layout.name, frame.sample_rate
        self.place = round(at * rate)
        self.resampler = av.AudioResampler("fltp", "mono", rate, options={"rematrix_maxval": "1.0"})
        self.channels = frame.layout.nb_channels  # apart they come in one plane: PyAV 18 crashes over eight of them
        self.apart = av.AudioResampler("flt", frame.layout, rate) if self.channels > 1 else None

    def continued_by(self, frame: av.AudioFrame, at: float) -> bool:
        return abs(at - self.next) < JITTER and self.form == (frame.format.name, frame.layout.name, frame.sample_rate)

    def resample(self, frame: av.AudioFrame | None) -> Iterator[tuple[int, np.ndarray]]:
        if frame is not None:
            self.next += frame.samples / frame.sample_rate
        try:
            pieces = [piece.to_ndarray()[0] for piece in self.resampler.resample(frame) if piece]
            apart = [piece.to_ndarray() for piece in self.apart.resample(frame) if piece] if self.apart else []
            apart = [piece.reshape(-1, self.channels).T for piece in apart]
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(self.clip.path, f"has sound that cannot be converted: {error}") from error
        for samples in pieces:
            self.powers[None] += _power(samples)
        for piece in apart:
            self.powers.update({channel: _power(samples) for channel, samples in enumerate(piece)})
        if self.apart and self.channel is not None:
            pieces = [piece[min(self.channel, len(piece) - 1)] for piece in apart]
        for samples in pieces:
            yield self.place, samples
            self.place += len(samples)

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        if not self.resampler.is_passthrough:
            yield from self.resample(None)


def _frames(clip: OpenClip, begin: int, end: int) -> Iterator[av.AudioFrame]:
    """Yield what can be decoded between two stamps; the caller begins early, since decoders need the packets before."""
    for packet in clip.packets(clip.sound, begin):
        stamp = stamp_of(packet)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        following = None
        for frame in frames:
            if frame.pts is None:  # of several in a packet, as in ADPCM, the first alone has one
                frame.pts = frame.dts if following is None else following
            if frame.pts is not None and frame.samples and frame.sample_rate:
                following = frame.pts + round(frame.samples / frame.sample_rate / clip.sound.unit)
                yield frame
        if stamp is not None and stamp > end:
            return


def _power(samples: np.ndarray) -> float:
    """Return the sum of squares of the samples that are numbers."""
    power = float(np.dot(samples, samples))
    return power if np.isfinite(power) else 0.0


def _place(sheet: Waveforms, first: int, samples: np.ndarray) -> None:
    """Copy samples into each window that they reach."""
    length = sheet.values.shape[1]
    reached = range(
        np.searchsorted(sheet.firsts, first - length, "right"), np.searchsorted(sheet.firsts, first + len(samples))
    )
    for window in reached:
        offset = first - int(sheet.firsts[window])
        into = slice(max(offset, 0), min(offset + len(samples), length))
        sheet.values[window, into] = samples[into.start - offset : into.stop - offset]
        sheet.filled[window] += into.stop - into.start


def _check(clip: OpenClip, sheet: Waveforms, rate: int) -> None:
    """Raise `MediaError` if more than half of the sound that a window should hold could not be decoded."""
    track, length = clip.sound, sheet.values.shape[1]
    begins = np.clip(sheet.firsts, round(track.start * rate), None)
    ends = np.clip(sheet.firsts + length, None, round(track.end * rate))
    lost = ends - begins - sheet.filled
    if (lost > length / 2).any():
        at = sheet.firsts[lost.argmax()] / rate
        raise MediaError(clip.path, f"is damaged: the sound from {at:.2f} s on cannot be decoded")
