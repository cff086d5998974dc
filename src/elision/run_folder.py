"""The folder of a run, of either kind of data: one training at a time, its config, log, checkpoints and result."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elision.checkpoints import Checkpoints
from elision.config import Config
from elision.errors import InputError
from elision.evaluation import Assessment
from elision.files import write_atomically

CONFIG, DATA, LOG, RESULT, MODEL = "config.json", "data.json", "log.csv", "result.json", "model"
READING = "reading.json"
LOG_COLUMNS = (
    "epoch", "step", "loss", "learning_rate", "samples_per_second", "validation_nll", "validation_accuracy", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class RunResult:
    """Say what a training came to.

    Args:
        folder: of the run.
        values: what result.json holds; empty unless finished.
        finished: False where it was asked to stop before its end; ``resume`` goes on.
        step: optimiser steps taken, of recordings.
        damaged: checkpoints that were passed over because they are not what was written.
    """

    folder: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    finished: bool = True
    step: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def test(self) -> Assessment | None:
        """Return how good it is on the test part; None unless finished."""
        return Assessment.of(self.values["test"]) if self.values else None


class RunFolder:
    """Give access to a run's files.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")

    @property
    def is_started(self) -> bool:
        """Return whether a training has begun here."""
        return (self.path / CONFIG).exists()

    def check(self, resume: bool) -> None:
        """Raise `InputError` unless a training can begin here, or with ``resume`` go on."""
        if resume and not self.is_started:
            raise InputError(f"{self.path} holds no run to resume: expected the folder of a training that was begun")
        if not resume and self.is_started:
            raise InputError(
                f"{self.path} holds a run already: go on with it, elision train --resume {self.path}, or choose "
                "another folder"
            )

    def check_same(self, saved: Config, config: Config, address: str, fingerprint: str) -> None:
        """Raise `InputError` unless the run was begun with this config, on this data."""
        differences = config.differences(saved)
        if differences:
            raise InputError(f"{self.path} was begun with another config: " + "; ".join(differences))
        if self.begun_on("fingerprint") != fingerprint:
            raise InputError(f"{self.path} was begun on other data: {address} is not what it was")

    @property
    def data(self) -> dict[str, str]:
        """Return what the run was begun on: "address" and "fingerprint"; {} where it is not known."""
        return self._read(DATA)

    def begun_on(self, what: str) -> str:
        """Return the "address" or the "fingerprint" of the run's data; `InputError` if the folder does not know it."""
        if what not in self.data:
            raise InputError(
                f"{self.path / DATA} does not say on what data the run was begun: begin it in another folder"
            )
        return self.data[what]

    @property
    def config(self) -> dict[str, Any]:
        """Return what config.json holds; {} where there is none."""
        return self._read(CONFIG)

    @property
    def result(self) -> dict[str, Any]:
        """Return what result.json holds; {} where there is none."""
        return self._read(RESULT)

    @property
    def reading(self) -> dict[str, Any]:
        """Return what reading.json holds, how a table is read that a model without a config was fitted to; or {}."""
        return self._read(READING)

    def begin(self, config: Config, address: str, fingerprint: str) -> None:
        """Write what the run learns from and how; config.json comes last: with it the run has begun."""
        self._write(DATA, {"address": address, "fingerprint": fingerprint})
        config.write(self.path / CONFIG)

    def finish(self, values: Mapping[str, Any]) -> None:
        """Write what the run came to, as result.json."""
        self._write(RESULT, values)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise InputError(f"{path} is not what was written: restore it, or train into another folder") from error

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        write_atomically(self.path / name, json.dumps(values, indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from training here meanwhile; the lock ends with the process, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise InputError(
                    f"{self.path} is being trained into by process {file.read().strip() or 'unknown'}: wait for it, or "
                    "choose another folder"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def log(self, values: Mapping[str, float]) -> None:
        """Append a line to log.csv."""
        path = self.path / LOG
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer: csv.DictWriter[str] = csv.DictWriter(file, LOG_COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()})

    def cut_log(self, step: int) -> None:
        """Forget the lines beyond a step: they will be written again."""
        path = self.path / LOG
        if not path.exists():
            return
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["step"] and int(row["step"]) <= step]
        text = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(text, LOG_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue())
