"""Errors that tell a person what was expected, what came, where, and what to do."""

from collections.abc import Collection


class InputError(ValueError):
    """Something given to Elision cannot be used as it is: data, a choice, or a folder."""


class TrainingError(RuntimeError):
    """Training cannot go on: the loss is no longer a number."""


def check_choice(what: str, value: str, choices: Collection[str]) -> None:
    """Raise `InputError` naming the choices unless ``value`` is one of them."""
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}: choose from {', '.join(sorted(choices))}")
