"""Checkpoints: folders of safetensors and JSON, whole or not there, the last two kept, a damaged one set aside."""

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from elision.errors import InputError
from elision.models import read_model, write_model

KEPT = 2
_KIND = "checkpoint"
_NAME = re.compile(r"(step|best)-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training needs to go on.

    Args:
        step: optimiser steps taken.
        tensors: by name.
        values: plain numbers and strings.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """The names of those that `latest` passed over."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, and remove all but the last two; the best weights that those refer to stay."""
        self._write(f"step-{checkpoint.step:09d}", checkpoint)
        for _, step in self._there("step")[KEPT:]:
            self._remove("step", step)
        found = [self._read(name, step) for name, step in self._there("step")]
        needed = {kept.values["progress"]["best_step"] for kept in found if kept}
        for _, step in self._there("best"):
            if step not in needed | {checkpoint.step}:
                self._remove("best", step)

    def save_best(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the weights of the best validation so far."""
        self._write(f"best-{step:09d}", Checkpoint(step, tensors, {}))

    def latest(self) -> Checkpoint | None:
        """Return the last one that is whole; None if there is none."""
        for name, step in self._there("step"):
            found = self._read(name, step)
            best = found and found.values["progress"]["best_step"]
            if found and (best is None or self._read(f"best-{best:09d}", best)):
                return found
            self.damaged.append(name)
        return None

    def set_aside(self) -> None:
        """Rename what `latest` passed over, so that it is never counted among those to keep."""
        for name in self.damaged:
            aside = self.folder / f"damaged-{name}"
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(FileNotFoundError):
                (self.folder / name).rename(aside)

    def best(self, step: int) -> Mapping[str, Tensor] | None:
        """Return the best weights of that step; None if they are damaged or gone."""
        found = self._read(f"best-{step:09d}", step)
        return found and found.tensors

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        if (self.folder / name).exists():
            shutil.rmtree(self.folder / name)  # of before a resume; it may be damaged
        write_model(self.folder / name, _KIND, dict(checkpoint.values), checkpoint.tensors)

    def _read(self, name: str, step: int) -> Checkpoint | None:
        try:
            saved = read_model(self.folder / name)
        except InputError:
            return None
        return Checkpoint(step, saved.tensors, saved.description)

    def _there(self, kind: str) -> list[tuple[str, int]]:
        """Return (name, step) of each, the latest first."""
        matches = [_NAME.fullmatch(path.name) for path in self.folder.glob(f"{kind}-*")]
        steps = sorted((int(match[2]) for match in matches if match), reverse=True)
        return [(f"{kind}-{step:09d}", step) for step in steps]

    def _remove(self, kind: str, step: int) -> None:
        shutil.rmtree(self.folder / f"{kind}-{step:09d}", ignore_errors=True)
