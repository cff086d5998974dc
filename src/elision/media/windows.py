"""Places of the windows of a clip."""

from dataclasses import dataclass

import numpy as np

from elision.errors import InputError


@dataclass(frozen=True)
class Windows:
    """Windows of one length, evenly spread over a clip; in a short clip they overlap.

    Args:
        count: how many, at least 1.
        seconds: of each, more than 0.

    Example:
        >>> Windows(3, 0.5).starts(0.0, 2.5)
        array([0., 1., 2.])
    """

    count: int = 30
    seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"{self.count} windows: expected at least 1")
        if not 0 < self.seconds < np.inf:
            raise InputError(f"windows of {self.seconds} s: expected more than 0 seconds")

    def starts(self, start: float, end: float) -> np.ndarray:
        """Return when each window begins, shape (count,), in seconds.

        The first begins at ``start`` and the last ends at ``end``; a single window lies in the middle. In a clip
        shorter than one window, all begin at ``start``.
        """
        room = max(end - start - self.seconds, 0.0)
        places = np.linspace(0.0, 1.0, self.count) if self.count > 1 else np.array([0.5])
        return start + room * places
