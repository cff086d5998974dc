"""The folder of a run: one training at a time, its config, log and checkpoints."""

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from elision.deep.checkpoints import Checkpoints
from elision.errors import InputError
from elision.files import write_atomically

CONFIG, DATA, LOG, RESULT, MODEL = "config.json", "data.json", "log.csv", "result.json", "model"
LOG_COLUMNS = (
    "epoch", "step", "loss", "learning_rate", "samples_per_second", "validation_nll", "validation_accuracy", "seconds",
)  # fmt: skip


class RunFolder:
    """A run's files.

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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else trains here meanwhile; the lock ends with the process, however it ends."""
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
            writer = csv.DictWriter(file, LOG_COLUMNS)
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
        writer = csv.DictWriter(text, LOG_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue())
