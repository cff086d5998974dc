"""Checkpoints: safetensors and JSON, whole or not there, the last two kept, a damaged one passed over."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as parse
from safetensors.torch import save as serialize
from torch import Tensor

from elision.files import write_atomically

KEPT = 2
_NAME = re.compile(r"(step|best)-(\d+)\.safetensors")


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


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as safetensors, each by itself: two names of one memory are written twice."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        x = tensor.detach().cpu().contiguous()
        pointer = x.untyped_storage().data_ptr()
        plain[name] = x.clone() if pointer in seen else x
        seen.add(pointer)
    return serialize(plain)


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """What `latest` passed over."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, and remove all but the last two; the best weights that those refer to stay."""
        self._write(f"step-{checkpoint.step:09d}", checkpoint)
        for _, step in self._there("step")[KEPT:]:
            self._remove("step", step)
        needed = {self._values(name)["progress"]["best_step"] for name, _ in self._there("step") if self._values(name)}
        for _, step in self._there("best"):
            if step not in needed | {checkpoint.step}:
                self._remove("best", step)

    def save_best(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the weights of the best validation so far."""
        self._write(f"best-{step:09d}", Checkpoint(step, tensors, {}))

    def latest(self) -> Checkpoint | None:
        """The last one that is whole; None if there is none."""
        for name, step in self._there("step"):
            found = self._read(name, step)
            best = found and found.values["progress"]["best_step"]
            if found and (best is None or self._read(f"best-{best:09d}", best)):
                return found
            self.damaged.append(name)
        return None

    def best(self, step: int) -> Mapping[str, Tensor] | None:
        """The best weights of that step; None if they are damaged or gone."""
        found = self._read(f"best-{step:09d}", step)
        return found and found.tensors

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = to_bytes(checkpoint.tensors)
        values = json.dumps(checkpoint.values, sort_keys=True)
        write_atomically(self.folder / f"{name}.safetensors", content)
        described = {"sha256": hashlib.sha256(content + values.encode()).hexdigest(), "values": values}
        write_atomically(self.folder / f"{name}.json", json.dumps(described))

    def _read(self, name: str, step: int) -> Checkpoint | None:
        values = self._values(name)
        if values is None:
            return None
        try:
            content = (self.folder / f"{name}.safetensors").read_bytes()
            described = json.loads((self.folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        if hashlib.sha256(content + described["values"].encode()).hexdigest() != described["sha256"]:
            return None
        return Checkpoint(step, parse(content), values)

    def _values(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads(json.loads((self.folder / f"{name}.json").read_text())["values"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _there(self, kind: str) -> list[tuple[str, int]]:
        """(name, step) of each, the latest first."""
        matches = [_NAME.fullmatch(path.name) for path in self.folder.glob(f"{kind}-*.safetensors")]
        steps = sorted((int(match[2]) for match in matches if match), reverse=True)
        return [(f"{kind}-{step:09d}", step) for step in steps]

    def _remove(self, kind: str, step: int) -> None:
        for suffix in ("json", "safetensors"):
            (self.folder / f"{kind}-{step:09d}.{suffix}").unlink(missing_ok=True)
