"""Where the packets of a stream lie in time."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import av
import numpy as np


@dataclass(frozen=True)
class Track:
    """The times of the packets of a stream.

    Args:
        stream: its number in the container.
        stamps: presentation times of the packets, sorted, in units of `unit`, shape (packets,), int64.
        keys: those of the packets that decoding can begin with, sorted.
        exact: every packet has a presentation time of its own; else they may be off by a few frames.
        until: where the last packet ends, in units of `unit`.
        unit: seconds.
        origin: the second, on the stream's clock, that is 0 on the clip's.
    """

    stream: int
    stamps: np.ndarray
    keys: np.ndarray
    exact: bool
    until: int
    unit: Fraction
    origin: float

    @property
    def start(self) -> float:
        """The beginning, in seconds on the clip's clock."""
        return self.seconds(int(self.stamps[0]))

    @property
    def end(self) -> float:
        """The end, in seconds on the clip's clock."""
        return self.seconds(self.until)

    def seconds(self, stamp: int) -> float:
        """Return the second of the clip's clock at which a stamp lies."""
        return stamp * self.unit.numerator / self.unit.denominator - self.origin

    def stamp(self, seconds: float) -> int:
        """Return the last stamp that is not after a second of the clip's clock, to a microsecond."""
        return math.floor((seconds + self.origin + 1e-6) / self.unit)

    def shown(self, stamp: int) -> int:
        """Return the stamp of the packet shown at a time: the last one not after it, or else the first."""
        return int(self.stamps[max(np.searchsorted(self.stamps, stamp, "right") - 1, 0)])

    def key(self, stamp: int) -> int:
        """Return the stamp of the packet to begin with, to decode what is shown at a time."""
        keys = self.keys if len(self.keys) else self.stamps[:1]
        return int(keys[max(np.searchsorted(keys, stamp, "right") - 1, 0)])

    def begins(self, packet: av.Packet, since: int) -> bool:
        """Return whether decoding can begin with a packet, at a stamp or after."""
        stamp = stamp_of(packet)
        return stamp is not None and stamp >= since and (packet.is_keyframe or not len(self.keys))


@dataclass
class Roll:
    """Records the packets of a stream as they come, to make a `Track` of them."""

    stamps: array = field(default_factory=partial(array, "q"))
    keys: array = field(default_factory=partial(array, "q"))
    exact: bool = True
    until: int = -(2**62)

    def add(self, packet: av.Packet) -> None:
        """Record one packet."""
        stamp = stamp_of(packet)
        if stamp is None or packet.size == 0:
            return
        if packet.is_keyframe:
            self.keys.append(stamp)
        if packet.is_discard:  # decoded, but cut off by an edit list
            return
        self.exact &= packet.pts is not None
        self.stamps.append(stamp)
        self.until = max(self.until, stamp + (packet.duration or 0))

    def track(self, stream: av.stream.Stream, origin: float) -> Track:
        """Return the track of the packets recorded, for a clip whose second 0 is ``origin`` on the stream's clock."""
        stamps, keys = np.unique(np.array(self.stamps)), np.unique(np.array(self.keys))
        until = self.until
        if until == stamps[-1]:  # no durations
            until += int(stamps[-1] - stamps[-2]) if len(stamps) > 1 else _frame(stream)
        exact = self.exact and len(stamps) == len(self.stamps)
        return Track(stream.index, stamps, keys, exact, until, stream.time_base, origin)


def merge(stretches: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Return stretches (begin, end), sorted, with those that lie less than ``gap`` apart made one.

    Example:
        >>> merge([(5, 6), (0, 2), (1, 3)], 2)
        [(0, 3), (5, 6)]
    """
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if merged and begin - merged[-1][1] < gap:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def stamp_of(packet: av.Packet) -> int | None:
    """Return a packet's presentation time, or else its decoding time."""
    return packet.dts if packet.pts is None else packet.pts


def _frame(stream: av.stream.Stream) -> int:
    """Return how long a frame lasts, in units of the stream's clock."""
    rate = stream.average_rate if stream.type == "video" else None
    return max(round(1 / rate / stream.time_base), 1) if rate else 1
