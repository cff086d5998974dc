"""The length that a recording's header promises, which a truncated file does not hold.

Nothing is promised by MPEG program and transport streams, ADTS, AMR, MP3 without a Xing or VBRI header, WAV written to
a pipe, and MP4, Matroska and FLV written as a live stream: cut, they are shorter recordings.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

import av

_BY_STREAM = ("mov", "flac", "aiff", "au")
"""Containers whose streams have durations of their own."""

_OPEN_END = 0x7FFFF000
"""Sizes from here on stand in a WAV header that was written before the sound, as do 0 and, elsewhere, all bits set."""

_PAGE = 65307
"""Bytes of an Ogg page at most."""

_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""What begins the object of an ASF header that holds the duration."""


def promised_stream(path: Path, container: av.container.InputContainer, stream: av.stream.Stream, end: float) -> float:
    """Return the end of a stream that the header promises; -inf where it promises nothing.

    Args:
        path: of the file.
        container: opened, in its beginning.
        stream: of it.
        end: of its last packet.

    Returns:
        Seconds on the stream's clock, as ``end``; inf where an Ogg file lacks its last page.
    """
    form = container.format.name
    begin, unit = stream.start_time or 0, stream.time_base
    if form in ("wav", "w64"):
        return end + _lacking(path) / (stream.bit_rate / 8) if stream.bit_rate else -math.inf
    if form == "ogg":
        return -math.inf if _has_last_page(path) else math.inf
    if form == "caf" and stream.frames:  # samples; the duration is what FFmpeg finds
        return float(begin * unit) + stream.frames / stream.codec_context.sample_rate
    if form == "avi" and stream.frames:
        return float(stream.frames * unit)
    if stream.duration and (form.startswith(_BY_STREAM) or (form == "mp3" and _counts_frames(path))):
        return float((begin + stream.duration) * unit)
    return -math.inf


def promised_clip(path: Path, container: av.container.InputContainer, end: float) -> float:
    """Return the end, in seconds, that the header promises for its longest stream; -inf where it promises nothing.

    Args:
        path: of the file.
        container: opened.
        end: of its last packet, in seconds.
    """
    form = container.format.name
    if form == "asf":
        return _played(path)
    # By FFmpeg, from the file's size and the bit rate; without a packet it has none.
    estimated = end > 0 and any(stream.duration for stream in container.streams)
    if form.startswith(("matroska", "flv")) and container.duration and not estimated:
        return container.duration / av.time_base
    return -math.inf


def _lacking(path: Path) -> int:
    """Return how many bytes of its sound a WAV or W64 file lacks, by its header."""
    with path.open("rb") as file:
        head = file.read(24)
        if head[:4] == b"riff":
            end = int.from_bytes(head[16:24], "little")
            return max(end - path.stat().st_size, 0) if end < 2**63 - 1 else 0
        return max(_end_of_sound(file, "big" if head[:4] == b"RIFX" else "little") - path.stat().st_size, 0)


def _end_of_sound(file: BinaryIO, order: str) -> int:
    """Return where the sound of a RIFF or RF64 file ends, by its header; 0 where that does not know."""
    file.seek(12)
    wide = 0
    for _ in range(1000):  # chunks
        name, size = file.read(4), int.from_bytes(file.read(4), order)
        if name == b"data":
            known = wide if size == 0xFFFFFFFF else size if size < _OPEN_END else 0
            return file.tell() + known if known else 0
        if name == b"ds64":
            wide = int.from_bytes(file.read(16)[8:], "little")
            size -= 16
        file.seek(size + size % 2, 1)
    return 0


def _has_last_page(path: Path) -> bool:
    """Return whether an Ogg file ends with a whole page that is marked as a stream's last."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2 * _PAGE, 0))
        tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _counts_frames(path: Path) -> bool:
    """Return whether an MP3 file's first frame holds the number of frames."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
        file.seek(10 + tag if head[:3] == b"ID3" else 0)
        first = file.read(4096)
    return any(
        at >= 0 and first[at + 7 : at + 8] and (name == b"VBRI" or first[at + 7] & 1)
        for name in (b"Xing", b"Info", b"VBRI")
        for at in [first.find(name)]
    )


def _played(path: Path) -> float:
    """Return the end, in seconds, that the header of an ASF file promises; -inf where it was written live."""
    with path.open("rb") as file:
        head = file.read(2**16)
    at = head.find(_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return -math.inf
    duration, _, preroll, flags = struct.unpack_from("<QQQI", head, at + 64)
    return -math.inf if flags & 1 or not duration else duration / 1e7 - preroll / 1e3
