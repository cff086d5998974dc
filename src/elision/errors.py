"""Errors and warnings that tell a person what was expected, what came, where, and what to do."""

import re
import sys
import warnings
from collections.abc import Collection


class InputError(ValueError):
    """Something given to Elision cannot be used as it is: data, a choice, or a folder."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is no longer a number."""


def check_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Raise `InputError` naming the choices unless ``value`` is one of them."""
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}: choose from {', '.join(sorted(choices))}")


def warn(text: str) -> None:
    """Warn at the line that a user wrote: the nearest one that is not Elision's, or else the command's."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and re.match(r"elision\.(?!cli\.)", frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)
