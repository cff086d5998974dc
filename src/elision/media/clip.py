"""An open recording: its tracks, what lies where in it, and its packets from any point on."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from elision.errors import InputError
from elision.media.promises import promised_clip, promised_stream
from elision.media.track import Roll, Track, stamp_of

CONTAINERS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,wav,w64,flac,mp3,aac,aiff,au,amr,caf"
"""Containers that are opened, by FFmpeg's names. Playlists, which may name other files and addresses, are not."""

MAX_SIDE, MAX_PIXELS = 8192, 36 * 2**20
"""Pictures up to 8192 pixels a side and 36 megapixels (8K) are decoded."""

MAX_PACKETS, MAX_HOURS = 20_000_000, 24 * 7
"""A recording beyond either is refused: its header or its time stamps are damaged, or it is no clip."""

_MARGINS = (0, 1, 4)
"""Seconds before a packet that it is sought at: containers without an index lead to somewhere near."""

_ATTEMPTS = 100
"""Errors in a row after which a file counts as read to its end."""

_TITLES: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""Titles that are no UTF-8 make no file unreadable: PyAV before 19 has to be told so."""

TOLERANCE = 0.1
"""Seconds by which a recording may end before its header says: padding, rounding."""

_OPTIONS = {
    "format_whitelist": CONTAINERS,
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PIXELS),
    "max_streams": "100",
}


class MediaError(InputError):
    """A recording cannot be used.

    Args:
        file: the recording.
        reason: why, as a clause: "has zero bytes".
    """

    def __init__(self, file: Path | str, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return f"{self.file} {self.reason}"


@dataclass
class OpenClip:
    """An open recording. A context manager; at most a packet is held at a time.

    Args:
        path: of the file.
        picture, sound: its first stream of either kind; None where there is none.
        sounds: all its streams of sound, of which `sound` may be made another one.
        truncated: "video" or "audio" -> how far that goes, as a clause, where the header promises more.
        seeks: whether seeking has been right so far.
    """

    path: Path
    container: av.container.InputContainer
    picture: Track | None = None
    sound: Track | None = None
    sounds: tuple[Track, ...] = ()
    truncated: dict[str, str] = field(default_factory=dict)
    seeks: bool = field(default=True, repr=False)

    @classmethod
    def open(cls, path: Path) -> "OpenClip":
        """Open a recording and read where its packets lie, without decoding any.

        Raises:
            MediaError: it is no recording, it is damaged at its beginning, or it holds neither picture nor sound.
        """
        clip = cls(path, _open(path))
        try:
            clip._scan()
        except BaseException:
            clip.container.close()
            raise
        return clip

    @property
    def end(self) -> float:
        """The end of its last packet, in seconds on its clock."""
        return max(track.end for track in (self.picture, *self.sounds) if track)

    def __enter__(self) -> "OpenClip":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def stream(self, track: Track) -> av.stream.Stream:
        """Return the stream of a track, ready to decode on one thread."""
        stream = self.container.streams[track.stream]
        context = stream.codec_context
        if context is None:
            raise MediaError(self.path, f"has {stream.type} in a codec that FFmpeg does not decode here")
        if not context.is_open:
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)}
        return stream

    def packets(self, track: Track, since: int) -> Iterator[av.Packet]:
        """Yield the packets of a track, from its last key at or before the stamp ``since`` on, and one that flushes.

        Seeks where that leads to such a key; else passes over what lies before it.
        """
        first = self._seek(track, since) if self.seeks else None
        if first is None:
            self.seeks = False
            self.container.close()
            self.container = _open(self.path)
            rest = self._read(self.stream(track))
            first = next((p for p in rest if track.begins(p, track.key(since))), None)
        else:
            rest = self._read(self.stream(track))
        if first is not None:
            yield first
            yield from rest

    def _seek(self, track: Track, since: int) -> av.Packet | None:
        """Return the last key packet not after ``since``, or None if the container cannot be led there."""
        stream, key = self.stream(track), track.key(since)
        for margin in _MARGINS:
            try:
                self.container.seek(key - int(margin / track.unit), stream=stream)
            except (av.FFmpegError, OverflowError):
                return None
            packet = next((p for p in self._read(stream) if track.begins(p, key)), None)
            if packet is not None and stamp_of(packet) <= max(since, key):
                return packet
        return None

    def _read(self, *streams: av.stream.Stream) -> Iterator[av.Packet]:
        """Yield packets to the file's end; a damaged stretch is passed over."""
        errors = 0
        while errors < _ATTEMPTS:
            try:
                for packet in self.container.demux(streams):
                    errors = 0
                    yield packet
                return
            except av.FFmpegError:
                errors += 1
            except IndexError:  # PyAV stumbles at the end over streams that appeared in between
                return

    def _scan(self) -> None:
        picture = _picture(self.container)
        streams = [*([picture] if picture else []), *self.container.streams.audio]
        if not streams:
            raise MediaError(self.path, "holds neither picture nor sound")
        rolls = {s.index: Roll() for s in streams}
        for count, packet in enumerate(self._read(*streams)):
            if count > MAX_PACKETS:
                raise MediaError(self.path, f"has more than {MAX_PACKETS} packets: cut it, unless it is damaged")
            rolls[packet.stream.index].add(packet)
        begins = [roll.stamps[0] * s.time_base for s in streams if (roll := rolls[s.index]).stamps]
        origin = self.container.start_time
        origin = float(min(begins, default=0)) if origin is None else origin / av.time_base
        tracks = {s.index: rolls[s.index].track(s, origin) for s in streams if rolls[s.index].stamps}
        self.picture = tracks.get(picture.index) if picture else None
        self.sounds = tuple(tracks[s.index] for s in self.container.streams.audio if s.index in tracks)
        self.sound = self.sounds[0] if self.sounds else None
        self._check(tracks.values())
        last = max((track.end for track in tracks.values()), default=0.0)
        whole = promised_clip(self.path, self.container, last)
        for stream in streams:
            end = tracks[stream.index].end if stream.index in tracks else 0.0
            promise = promised_stream(self.path, self.container, stream, end + origin) - origin
            for there, promised in ((end, promise), (last, whole)):
                if there < promised - TOLERANCE:
                    beyond = "without a last page" if promised == math.inf else f"of {promised:.2f} s"
                    self.truncated[stream.type] = f"is truncated: it ends at {there:.2f} s {beyond}"

    def _check(self, tracks: Iterable[Track]) -> None:
        for track in tracks:
            if track.end - track.start > MAX_HOURS * 3600:
                raise MediaError(self.path, f"has time stamps over more than {MAX_HOURS} hours: it is damaged")
            if not (-MAX_HOURS < track.start / 3600 < MAX_HOURS):
                raise MediaError(self.path, f"has a stream that begins at {track.start:.0f} s: it is damaged")


def _picture(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the first moving picture, which a cover is not; None where there is none."""
    attached = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & attached), None)


def _open(path: Path) -> av.container.InputContainer:
    try:
        _check_file(path)
        return av.open(f"file:{path.absolute()}", options=_OPTIONS, **_TITLES)
    except FileNotFoundError as error:
        raise MediaError(path, "does not exist") from error
    except PermissionError as error:
        raise MediaError(path, "cannot be read: permission denied") from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(path, _reason(path, error)) from error


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise MediaError(path, "is not a file")
    if path.stat().st_size == 0:
        raise MediaError(path, "has zero bytes")
    with path.open("rb"):  # says what is wrong better than FFmpeg
        pass


def _reason(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head[4:8] == b"ftyp":
        return "is a truncated or damaged mp4: its index (moov) is not there"
    if not any(byte < 9 for byte in head):
        return "is a text file, not a recording"
    return f"is not a recording, or of a format that is not read: {getattr(error, 'strerror', None) or error}"
