"""Errors and warnings that tell a person what was expected, what came, where, and what to do."""

import inspect
import warnings
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """Something given to Elision cannot be used as it is: data, a choice, or a folder."""


class InputWarning(UserWarning):
    """Something given to Elision was read or left out in a way that its user should know."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is no longer a number."""


def check_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Raise `InputError` naming the choices unless ``value`` is one of them."""
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}: choose from {', '.join(sorted(choices))}")


def quoted(names: Iterable[object], most: int = 12) -> str:
    """Return names for a message, the first of many."""
    names = list(names)
    return ", ".join(map(repr, names[:most])) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def warn(text: str) -> None:
    """Give an `InputWarning` at the line that a user wrote: the nearest one that is not Elision's."""
    frame, level = inspect.currentframe(), 1
    while frame and frame.f_globals.get("__name__", "").startswith("elision."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, InputWarning, stacklevel=level)
