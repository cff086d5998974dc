"""The command: thin verbs. Whatever it does, Python can do; heavy imports happen where they are used."""

from elision.cli.app import app, main

__all__ = ["app", "main"]
