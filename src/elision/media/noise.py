"""White noise that is the same for a sample wherever and whenever it is made."""

import numpy as np

from elision.files import sha256_of

_DRAWN_TOGETHER = 2**14  # samples


def white(key: str, first: int, count: int) -> np.ndarray:
    """Return samples ``first`` to ``first + count`` of the endless white noise of a key.

    Returns:
        Standard normal numbers, shape (count,), float32. Overlapping stretches of a key agree.
    """
    begin = first // _DRAWN_TOGETHER
    blocks = [_block(key, number) for number in range(begin, (first + count - 1) // _DRAWN_TOGETHER + 1)]
    return np.concatenate(blocks)[first - begin * _DRAWN_TOGETHER :][:count]


def _block(key: str, number: int) -> np.ndarray:
    digest = bytes.fromhex(sha256_of(f"{key}\0{number}".encode()))
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    return generator.standard_normal(_DRAWN_TOGETHER, dtype=np.float32)
