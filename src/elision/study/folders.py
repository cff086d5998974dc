"""A run's folder: its result or its failure, written in one step, and told from one that was changed since."""

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

RESULT = "result.json"
FAILURE = "failure.json"
_HASH = "result.sha256"
_HOST = socket.gethostname()


def write_result(folder: Path, key: str, content: dict[str, Any]) -> None:
    """Write ``folder/KEY/result.json`` with the SHA-256 of its bytes beside it.

    Raises:
        TypeError, ValueError: the content is not JSON.
        OSError: naming the run's folder.
    """
    encoded = json.dumps(content, indent=1)
    _write(folder, key, {RESULT: encoded, _HASH: _sha256(encoded.encode())})


def write_failure(folder: Path, key: str, title: str, error: str, trace: str = "") -> None:
    """Write ``folder/KEY/failure.json``."""
    _write(folder, key, {FAILURE: json.dumps(_failure(key, title, error, trace), indent=1)})


def is_there(folder: Path, key: str, name: str) -> bool:
    """Whether a run left a file of that name, changed or not; what is no longer JSON counts as nothing."""
    return _read(folder / key / name) is not None


def read(folder: Path, key: str, title: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """A run's result, or its failure, or neither. A result that was changed is a failure.

    A result without a hash beside it, from an earlier version, is taken as it is.
    """
    path, hashed = folder / key / RESULT, folder / key / _HASH
    content = _read(path)
    if content is None:
        return None, _read(folder / key / FAILURE)
    if hashed.is_file() and hashed.read_text(encoding="utf-8").strip() != _sha256(path.read_bytes()):
        error = f"{path} was changed after it was written: remove its folder, and start again to do the run anew"
        return None, _failure(key, title, error)
    return content, None


def remove_stale(folder: Path) -> None:
    """Remove what processes of this machine were writing when they were killed."""
    for stale in folder.glob(f".*-*@{_HOST}"):
        pid = stale.name.rpartition("@")[0].rpartition("-")[2]
        if not (pid.isdecimal() and _lives(int(pid))):
            shutil.rmtree(stale, ignore_errors=True)


def _write(folder: Path, key: str, files: dict[str, str]) -> None:
    """The run's folder appears with its content in it, or not at all."""
    staging, target = folder / f".{key}-{os.getpid()}@{_HOST}", folder / key
    try:
        staging.mkdir()
        for name, content in files.items():
            (staging / name).write_text(content, encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    except OSError as error:  # a full disk does not say of which file
        raise OSError(error.errno, error.strerror, str(target)) from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def _failure(key: str, title: str, error: str, trace: str = "") -> dict[str, Any]:
    return {"run": title, "key": key, "error": error, "traceback": trace}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
