"""Files that are whole or not there, in a local folder or wherever fsspec reaches, and hashes of what they hold.

An address is a path, or what fsspec understands: ``s3://``, ``file://``, ``memory://``.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from elision.errors import InputError

Address = Path | str
"""A path, or an address that fsspec understands."""


def local(address: Address) -> Path | None:
    """Return the path of a local address, absolute; None for one that only fsspec reaches."""
    text = str(address)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://").removeprefix("localhost"))
    return None if "://" in text else Path(text).absolute()


def join(address: Address, name: str) -> Address:
    """Return the address of a file in a folder."""
    folder = local(address)
    return folder / name if folder else f"{str(address).rstrip('/')}/{name}"


def cache_folder() -> Path:
    """Return the user's cache folder for what Elision keeps."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elision"


def read_file(address: Address) -> bytes:
    """Return all of a file.

    Raises:
        FileNotFoundError: there is none.
        InputError: fsspec, or its package for this kind of address, is not installed.
    """
    with _open(address, "rb") as file:
        return file.read()


def write_atomically(address: Address, content: str | bytes) -> None:
    """Write a file so that it is there whole, or as it was before.

    An object store shows an upload only once it is complete.
    """
    content = content.encode() if isinstance(content, str) else content
    path = local(address)
    if path is None:
        with _open(address, "wb") as file:
            file.write(content)
        return
    unfinished = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def delete(address: Address) -> None:
    """Remove a file; one that is not there is no error."""
    path = local(address)
    if path:
        path.unlink(missing_ok=True)
        return
    import fsspec

    system, name = fsspec.core.url_to_fs(str(address))
    if system.exists(name):
        system.rm(name)


def sha256(address: Address) -> str:
    """Return the SHA-256 of a file's content, read in pieces: 64 hexadecimal digits. Raises what `read_file` does."""
    with _open(address, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(content: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes, or of whatever lends its bytes: 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of plain values; the order of a mapping's names does not matter."""
    return sha256_of(json.dumps(value, sort_keys=True).encode())


def is_whole(address: Address, digest: str) -> bool:
    """Return whether a file is there and has this SHA-256."""
    try:
        return sha256(address) == digest
    except OSError:
        return False


@contextmanager
def _open(address: Address, mode: str) -> Iterator[IO[bytes]]:
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
