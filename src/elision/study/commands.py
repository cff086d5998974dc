"""Runs as shell commands, for a scheduler of the user's own: each run's configuration is in a file that it names."""

import importlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elision.errors import InputError
from elision.files import write_atomically
from elision.plain import plain, revived

COMMANDS = "commands.txt"
_FOLDER = "commands"


def write_commands(out: Path, runs: Sequence[Any], work: Callable) -> None:
    """Write ``out/commands.txt``, a shell command per run, and ``out/commands/KEY.json``, what each of them reads.

    A command leaves the run's result where `run_grid` looks for it; its exit code is 1 if the run failed.

    Args:
        out: the grid's folder.
        runs: frozen dataclasses of plain values: text, numbers, booleans, None, tuples, and dataclasses of those.
        work: a function of a module.

    Raises:
        InputError: a run or the work cannot be written down.
    """
    folder = out / _FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for run in runs:
        content = {"work": _name(work), "type": _name(type(run)), "run": run}
        try:
            text = json.dumps(content, indent=1, default=plain)
        except TypeError as error:
            expected = "expected text, a number, or a tuple of these"
            raise InputError(f"{run!r} cannot be written into a command: {expected} ({error})") from error
        write_atomically(folder / f"{run.key}.json", text)
    module = f"{__package__}.runner"
    lines = [shlex.join([sys.executable, "-m", module, str(out.absolute()), run.key]) + "\n" for run in runs]
    write_atomically(out / COMMANDS, "".join(lines))


def read_command(out: Path, key: str) -> tuple[Any, Callable]:
    """Return the run of that key, and its work.

    Raises:
        InputError: there is no such run, or its file does not describe one.
    """
    path = out / _FOLDER / f"{key}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        run, work = revived(_named(content["type"]), content["run"]), _named(content["work"])
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: list the grid's commands again") from error
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not describe a run ({error}): list the grid's commands again") from error
    if run.key != key:
        raise InputError(f"{path} describes the run {run.key}: it was changed, or another version of Elision wrote it")
    return run, work


def _name(thing: Any) -> str:
    """Return module:name of a function or class."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "<unnamed>")
    if module in (None, "__main__") or "<" in name:
        raise InputError(f"{thing!r} cannot be written into a command: expected a function or class of a module")
    return f"{module}:{name}"


def _named(name: str) -> Any:
    module, _, rest = name.partition(":")
    found = importlib.import_module(module)
    for part in rest.split("."):
        found = getattr(found, part)
    return found
