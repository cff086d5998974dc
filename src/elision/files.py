"""Files that are whole or not there, and what they hold."""

import hashlib
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """The file is there whole, or as it was before."""
    staging = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        staging.write_bytes(content.encode() if isinstance(content, str) else content)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Of a file's content, read in pieces; 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
