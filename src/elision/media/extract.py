"""What is taken from the files of one sample."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from elision.errors import InputError, check_choice
from elision.extractors import OwnExtractor
from elision.kinds import KINDS, Modality, Value
from elision.media.audio import Waveforms, noisy, waveforms
from elision.media.clip import TOLERANCE, MediaError, OpenClip
from elision.media.image import Crop, read_image
from elision.media.spectrogram import Mel, log_mel
from elision.media.track import Track
from elision.media.video import pictures

__all__ = ["MODALITIES", "Crop", "Extracted", "MediaError", "MediaSettings", "Mel", "extract_media"]

MODALITIES = ("visual", "audio", "image")
"""The modalities that files show."""


@dataclass(frozen=True)
class MediaSettings:
    """The settings by which files become numbers.

    Args:
        windows: how many a clip is cut into.
        seconds: of each window.
        size: pixels a side of the pictures.
        jpeg_quality: 1 to 95.
        mel: the spectrogram's parameters.
        noise_db: white noise is added to the sound at this signal-to-noise ratio, in decibels; None for none.
        crop: finds what to cut out of a picture, such as a face: a function of the upright picture, (height, width, 3)
            uint8 RGB, that returns (left, top, right, bottom) in pixels, or None to use the whole. Its box is cut to a
            square in its middle. A function of a module, if worker processes are to find it.
        extractors: modality -> what makes features of it, which are kept in its place.
    """

    windows: int = 30
    seconds: float = 0.5
    size: int = 224
    jpeg_quality: int = 90
    mel: Mel = field(default_factory=Mel)
    noise_db: float | None = None
    crop: Crop | None = None
    extractors: Mapping[str, OwnExtractor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise InputError(f"{self.windows} windows: expected at least 1")
        if not 0 < self.seconds < np.inf:
            raise InputError(f"windows of {self.seconds} s: expected more than 0 seconds")
        for modality in self.extractors:
            check_choice("modality of an extractor", modality, MODALITIES)
        if not 8 <= self.size <= 2048:
            raise InputError(f"pictures of {self.size} pixels a side: expected 8 to 2048")
        if not 1 <= self.jpeg_quality <= 95:
            raise InputError(f"JPEG quality {self.jpeg_quality}: expected 1 to 95")
        if self.seconds * self.mel.sample_rate <= self.mel.points // 2:
            least = self.mel.points / 2 / self.mel.sample_rate
            raise InputError(f"windows of {self.seconds} s: expected more than {least:.3f} s, for the spectrogram")
        if self.noise_db is not None and not -200 <= self.noise_db <= 200:
            raise InputError(f"a signal-to-noise ratio of {self.noise_db} dB: expected -200 to 200")

    def starts(self, start: float, end: float) -> np.ndarray:
        """Return when each window begins, shape (windows,), in seconds: evenly spread, overlapping in a short clip.

        The first begins at ``start`` and the last ends at ``end``; a single window lies in the middle. In a clip
        shorter than one window, all begin at ``start``.

        Example:
            >>> MediaSettings(windows=3, seconds=0.5).starts(0.0, 2.5)
            array([0., 1., 2.])
        """
        room = max(end - start - self.seconds, 0.0)
        places = np.linspace(0.0, 1.0, self.windows) if self.windows > 1 else np.array([0.5])
        return start + room * places


@dataclass(frozen=True)
class Extracted:
    """The values that were read from the files of a sample.

    Args:
        values: modality -> "visual": one JPEG per window; "image": one JPEG; "audio": log-mel spectrograms, float16,
            shape (windows, bands, frames); features, float32 (d,), where an extractor makes them. A missing modality
            is no key.
        missing: modality asked for -> why it is missing.
        duration: seconds that the windows are spread over; 0 without picture and sound.
        notes: modality -> in what it was not taken as usual.
    """

    values: Mapping[str, list[bytes] | bytes | np.ndarray]
    missing: Mapping[str, str]
    duration: float
    notes: Mapping[str, str] = field(default_factory=dict)


def extract_media(
    sources: Mapping[str, Path], start: float | None, end: float | None, settings: MediaSettings, key: str
) -> Extracted:
    """Read the files of one sample.

    Windows are spread over the picture, or over the sound where there is no picture, from ``start`` to ``end``. The
    visual input of a window is the frame shown at its middle.

    Args:
        sources: modality -> file. A video gives both "visual" and "audio": the same path twice.
        start, end: seconds on the files' clocks, 0 being where a file begins; None for beginning and end.
        settings: how.
        key: of the sample, which its noise depends on.

    Raises:
        MediaError: a file cannot be used; why. A stream that a file does not have is no error: see `Extracted.missing`.
    """
    for modality in sources:
        check_choice("modality", modality, MODALITIES)
    values: dict[str, list[bytes] | bytes | np.ndarray] = {}
    if "image" in sources:
        picture = read_image(sources["image"], settings.size, settings.jpeg_quality, settings.crop)
        values["image"] = _seen("image", picture, settings, sources["image"])
    with ExitStack() as stack:
        clips = _open({m: sources[m] for m in ("visual", "audio") if m in sources}, stack)
        for m, clip in clips.items():
            _check_whole(m, clip, end)
        missing = {m: f"{_ABSENT[m]} in {clip.path.name}" for m, clip in clips.items() if _track(m, clip) is None}
        shown = {m: clip for m, clip in clips.items() if m not in missing}
        spread = partial(_spread, shown, start, end, settings)
        notes = {}
        if "audio" in shown:
            sheet = _listen(shown["audio"], spread, settings)
            if sheet.values.any():
                values["audio"] = _heard(sheet, settings, key, sources["audio"])
                notes = _noted(shown["audio"], sheet)
            else:
                missing["audio"] = f"silence throughout in {shown['audio'].path.name}"
        starts, duration = spread() if shown else (np.empty(0), 0.0)
        if "visual" in shown:
            values["visual"] = _seen("visual", _look(shown["visual"], starts, settings), settings, sources["visual"])
    return Extracted(values, missing, duration, notes)


_ABSENT = {"visual": "no picture", "audio": "no sound"}
_KINDS = {"visual": "video", "audio": "audio"}


def _open(sources: Mapping[str, Path], stack: ExitStack) -> dict[str, OpenClip]:
    """Open each file once, also where it shows two modalities."""
    opened = {path: stack.enter_context(OpenClip.open(path)) for path in dict.fromkeys(sources.values())}
    return {modality: opened[path] for modality, path in sources.items()}


def _track(modality: str, clip: OpenClip) -> Track | None:
    return {"visual": clip.picture, "audio": clip.sound}[modality]


def _check_whole(modality: str, clip: OpenClip, end: float | None) -> None:
    """Raise `MediaError` if the file lacks some of what its header promises of a modality, up to ``end``."""
    track, lost = _track(modality, clip), clip.truncated.get(_KINDS[modality])
    if lost and (end is None or track is None or track.end < end - TOLERANCE):
        raise MediaError(clip.path, lost)


def _span(
    shown: Mapping[str, OpenClip], start: float | None, end: float | None, tolerance: float
) -> tuple[float, float]:
    """Return where the windows begin and end, in seconds; an end up to a window after the clip's is accepted."""
    modality = next(iter(shown))  # the picture first
    clip, track = shown[modality], _track(modality, shown[modality])
    begin, finish = track.start if start is None else start, track.end if end is None else end
    if start is not None and not 0 <= start < track.end:
        raise MediaError(clip.path, f"lasts {track.end:.2f} s: expected a start from 0 to there, got {start:g} s")
    if not begin < finish <= track.end + tolerance:
        raise MediaError(
            clip.path, f"lasts {track.end:.2f} s: expected an end after {begin:.2f} s and up to there, got {finish:g} s"
        )
    return begin, finish


def _spread(
    shown: Mapping[str, OpenClip], start: float | None, end: float | None, settings: MediaSettings
) -> tuple[np.ndarray, float]:
    """Return when the windows begin, and the seconds that they are spread over."""
    begin, finish = _span(shown, start, end, settings.seconds)
    return settings.starts(begin, finish), finish - begin


def _listen(clip: OpenClip, spread: Callable[[], tuple[np.ndarray, float]], settings: MediaSettings) -> Waveforms:
    """Return the sound of the clip's first track that is audible, or else of its first, and make that `clip.sound`."""
    heard = []
    for track in clip.sounds:
        clip.sound = track
        heard.append(waveforms(clip, spread()[0], settings.seconds, settings.mel.sample_rate))
        if heard[-1].audible:
            return heard[-1]
    clip.sound = clip.sounds[0]
    return heard[0]


def _noted(clip: OpenClip, sheet: Waveforms) -> dict[str, str]:
    """Return {"audio": in what the sound was not taken as usual}, or nothing."""
    number = [stream.index for stream in clip.container.streams.audio].index(clip.sound.stream)
    notes = [f"its sound is that of track {number + 1}: those before are silent"] if number else []
    if sheet.channel is not None:
        notes.append(f"its sound is that of channel {sheet.channel + 1} alone: the mix of its channels cancels")
    return {"audio": "; ".join(notes)} if notes else {}


def _look(clip: OpenClip, starts: np.ndarray, settings: MediaSettings) -> list[bytes]:
    half = settings.seconds / 2
    return pictures(clip, starts + half, half, settings.size, settings.jpeg_quality, settings.crop)


def _seen(m: str, pictures: list[bytes] | bytes, settings: MediaSettings, path: Path) -> Value:
    """Return pictures, or the features that an extractor makes of them."""
    if m not in settings.extractors:
        return pictures
    kind = "image" if m == "image" else "frames"
    windows = KINDS[kind].split(pictures)
    modality = Modality(kind, (3, settings.size, settings.size), len(windows))
    return _extracted(m, settings, path, np.stack([KINDS[kind].decode(window, modality) for window in windows]))


def _heard(sheet: Waveforms, settings: MediaSettings, key: str, path: Path) -> np.ndarray:
    """Return log-mel spectrograms, or the features that an extractor makes of the sound."""
    waveform = sheet.values if settings.noise_db is None else noisy(sheet, settings.noise_db, key)
    if "audio" in settings.extractors:
        return _extracted("audio", settings, path, waveform, settings.mel.sample_rate)
    return log_mel(torch.from_numpy(waveform), settings.mel).half().numpy()


def _extracted(m: str, settings: MediaSettings, path: Path, windows: np.ndarray, *rate: int) -> np.ndarray:
    try:
        return settings.extractors[m].features(windows[None], *rate)[0]
    except InputError as error:
        raise MediaError(path, f"has no features: {error}") from error
