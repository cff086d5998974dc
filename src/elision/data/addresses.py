"""Where a store lies: a local folder, or whatever fsspec reaches (``s3://``, ``file://``, ``memory://``)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from elision.errors import InputError
from elision.files import write_atomically

_PIECE = 1 << 20


def local(address: Path | str) -> Path | None:
    """The path of a local address, absolute; None for one that only fsspec reaches."""
    text = str(address)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://").removeprefix("localhost"))
    return None if "://" in text else Path(text).absolute()


def join(address: Path | str, name: str) -> Path | str:
    """The address of a file in a folder."""
    folder = local(address)
    return folder / name if folder else f"{str(address).rstrip('/')}/{name}"


def read(address: Path | str) -> bytes:
    """All of a file.

    Raises:
        FileNotFoundError: there is none.
        InputError: fsspec, or its package for this kind of address, is not installed.
    """
    with _open(address, "rb") as file:
        return file.read()


def write(address: Path | str, content: bytes) -> None:
    """Write a file, whole or not at all (an object store shows an upload only once it is complete)."""
    path = local(address)
    if path:
        return write_atomically(path, content)
    with _open(address, "wb") as file:
        file.write(content)
    return None


def sha256(address: Path | str) -> str:
    """Of a file's content, read in pieces; 64 hexadecimal digits. Raises as `read` does."""
    digest = hashlib.sha256()
    with _open(address, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _open(address: Path | str, mode: str) -> Iterator[IO[bytes]]:
    path = local(address)
    if path:
        with path.open(mode) as file:
            yield file
        return
    try:
        import fsspec

        opened = fsspec.open(str(address), mode)
    except ImportError as error:
        raise InputError(f"{address}: {error}; pip install 'elision[video]' brings fsspec itself") from error
    except ValueError as error:  # a protocol that it does not know
        raise InputError(f"{address}: {error}") from error
    with opened as file:
        yield file
