"""The frames shown at given times, and what a model sees of them."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from PIL import Image

from elision.media.clip import MediaError, OpenClip
from elision.media.image import Crop, check_size, encode_jpeg, square
from elision.media.track import merge

FAR = 1.0
"""Seconds that are decoded rather than seeked over."""

_SKIP = "NONREF"

MAX_DECODED = 4 * 10**12
"""Pixels decoded of one clip at most: hours of 4K."""


def pictures(
    clip: OpenClip, times: np.ndarray, tolerance: float, size: int, quality: int, crop: Crop | None
) -> list[bytes]:
    """Return the frame shown at each time, upright, in square pixels, as a square JPEG.

    Args:
        clip: with a picture.
        times: seconds on the clip's clock, ascending, shape (n,).
        tolerance: seconds by which a frame may lie beside its time where the clip is damaged, or not yet or no longer
            shows a picture.
        size: pixels a side.
        quality: of the JPEG, 1 to 95.
        crop: what to cut out of a frame; None for its middle.

    Raises:
        MediaError: a time has no frame, or the frames are of no use.
    """
    encoded: list[bytes] = []
    last = None
    aspect = _aspect(clip.stream(clip.picture))
    for frame in frames_at(clip, times, tolerance):
        if frame is not last:  # neighbours may share a frame
            jpeg = encode_jpeg(upright(clip, frame, aspect, size, crop), quality)
        encoded.append(jpeg)
        last = frame
    return encoded


def frames_at(clip: OpenClip, times: np.ndarray, tolerance: float) -> Iterator[av.VideoFrame]:
    """Yield the frame shown at each of ``times``, decoding at most a few ahead; errors as in `pictures`."""
    track = clip.picture
    targets = [track.stamp(time) for time in times]
    shown = [track.shown(target) for target in targets]
    stretches = merge([(track.key(stamp), stamp) for stamp in shown], int(FAR / track.unit))
    rest = list(zip(times, targets, shown, strict=True))
    for begin, end in stretches:
        reel = _Reel(clip, begin, shown)
        while rest and rest[0][2] <= end:
            time, target, stamp = rest.pop(0)
            frame = reel.show(target, stamp)
            _check(clip, time, stamp, frame, tolerance)
            yield frame


class _Reel:
    """The frames of a clip from a key frame on, one at a time and one ahead.

    Frames that no other frame needs and that will not be shown are not decoded.
    """

    def __init__(self, clip: OpenClip, since: int, wanted: list[int]) -> None:
        self.exact = clip.picture.exact
        self.frames = _frames(clip, since, frozenset(wanted) if self.exact else None)
        self.current: av.VideoFrame | None = None
        self.following: av.VideoFrame | None = None

    def show(self, target: int, stamp: int) -> av.VideoFrame | None:
        """Return the last frame not after ``target``, or the first; stop at ``stamp`` where stamps are exact."""
        while self.current is None or not (self.exact and self.current.pts == stamp):
            self.following = self.following or next(self.frames, None)
            if self.following is None or (self.current is not None and self.following.pts > target):
                break
            self.current, self.following = self.following, None
        return self.current


def _frames(clip: OpenClip, since: int, wanted: frozenset[int] | None) -> Iterator[av.VideoFrame]:
    """Yield whole frames from a key packet on; those that cannot be decoded are left out."""
    decoded = 0
    for packet in clip.packets(clip.picture, since):
        context = packet.stream.codec_context
        context.skip_frame = _SKIP if wanted is not None and packet.pts not in wanted else "DEFAULT"
        decoded += context.width * context.height
        if decoded > MAX_DECODED:
            raise MediaError(clip.path, "takes too long to decode: cut it into clips")
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            frame.pts = frame.dts if frame.pts is None else frame.pts
            if frame.pts is not None and not frame.is_corrupt:
                yield frame


def _check(clip: OpenClip, time: float, stamp: int, frame: av.VideoFrame | None, tolerance: float) -> None:
    """Raise `MediaError` if there is no frame, or if it lies too far from its time."""
    track = clip.picture
    if frame is None:
        raise MediaError(clip.path, f"is damaged: no picture can be decoded at {time:.2f} s")
    gone = time - track.end
    if gone > tolerance:
        raise MediaError(clip.path, f"shows no picture at {time:.2f} s: its picture ends at {track.end:.2f} s")
    at = track.seconds(frame.pts)
    if at - time > tolerance or at < min(track.seconds(stamp), time - tolerance):
        near = f"the nearest that can be decoded is at {at:.2f} s"
        raise MediaError(clip.path, f"is damaged, or has no picture, at {time:.2f} s: {near}")


def upright(clip: OpenClip, frame: av.VideoFrame, aspect: Fraction, size: int, crop: Crop | None) -> Image.Image:
    """Return the middle square of a frame, turned as it is displayed, in square pixels, resized to ``size``."""
    check_size(clip.path, frame.width, frame.height)
    width, height = frame.width * aspect, Fraction(frame.height)
    check_size(clip.path, round(width), round(height))
    scale = 1 if crop else size / min(width, height)
    shape = max(round(width * scale), 1), max(round(height * scale), 1)
    array = _rgb(clip, frame, *shape)
    if crop is None:
        top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
        array = array[top : top + size, left : left + size]
    picture = Image.fromarray(np.ascontiguousarray(np.rot90(array, round(frame.rotation / 90))))
    return square(picture, size, crop) if crop else picture


def _rgb(clip: OpenClip, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    try:
        resized = frame.reformat(
            width,
            height,
            "rgb24",
            interpolation=Interpolation.BILINEAR,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return resized.to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(clip.path, f"has pictures that cannot be converted: {error}") from error


def _aspect(stream: av.VideoStream) -> Fraction:
    """Return a pixel's width over its height; a value that cannot be meant counts as 1."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, 8) <= aspect <= 8 else Fraction(1)
