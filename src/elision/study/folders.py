"""A run's folder: its result or its failure, written in one step, and told from one that was changed since."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elision.errors import InputError
from elision.files import is_whole, sha256_of
from elision.parallel.processes import is_running
from elision.plain import plain, revived

RESULT = "result.json"
FAILURE = "failure.json"
_HASH = "result.sha256"
_HOST = socket.gethostname()


@dataclass(frozen=True)
class FailedRun:
    """Tell why a run has no result.

    Args:
        run: its title.
        key: its folder's name.
        error: in one line.
        traceback: of the exception, if there was one.
    """

    run: str
    key: str
    error: str
    traceback: str = ""


def write_result(folder: Path, key: str, content: Any) -> None:
    """Write ``folder/KEY/result.json`` with the SHA-256 of its bytes beside it.

    Raises:
        TypeError, ValueError: the content is neither JSON nor a dataclass of such.
        OSError: naming the run's folder.
    """
    encoded = json.dumps(content, indent=1, default=plain)
    _write(folder, key, {RESULT: encoded, _HASH: sha256_of(encoded.encode())})


def write_failure(folder: Path, failed: FailedRun) -> None:
    """Write a failure as ``folder/KEY/failure.json``."""
    _write(folder, failed.key, {FAILURE: json.dumps(plain(failed), indent=1)})


def is_there(folder: Path, key: str, name: str) -> bool:
    """Return whether a run left a file of that name, changed or not; what is no longer JSON counts as nothing."""
    return _content(folder / key / name) is not None


def read_outcome(
    folder: Path, key: str, title: str, revive: Callable[[dict[str, Any]], Any] = dict
) -> tuple[Any, FailedRun | None]:
    """Return a run's (result, failure), of which one at least is None.

    A result that was changed, or that ``revive`` refuses by an `InputError`, is a failure. One without a hash beside
    it is taken as it is.
    """
    path, hashed = folder / key / RESULT, folder / key / _HASH
    content = _content(path)
    if content is None:
        failed = _content(folder / key / FAILURE)
        return None, revived(FailedRun, failed) if failed else None
    if hashed.is_file() and not is_whole(path, hashed.read_text(encoding="utf-8").strip()):
        error = "was changed after it was written"
    else:
        try:
            return revive(content), None
        except InputError as refused:
            error = str(refused)
    return None, FailedRun(title, key, f"{path} {error}: remove its folder, and start again to do the run anew")


def remove_stale(folder: Path) -> None:
    """Remove what processes of this machine were writing when they were killed."""
    for stale in folder.glob(f".*-*@{_HOST}"):
        pid = stale.name.rpartition("@")[0].rpartition("-")[2]
        if not (pid.isdecimal() and is_running(int(pid))):
            shutil.rmtree(stale, ignore_errors=True)


def _write(folder: Path, key: str, files: dict[str, str]) -> None:
    """Let the run's folder appear with its content in it, or not at all."""
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


def _content(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None
