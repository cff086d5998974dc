"""A run on a small table, and the command that serves it, in a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import elision
from elision import TableConfig


def patients(folder: Path) -> Path:
    """Three modalities of two classes with gaps, one class named like markup; the run's sets are calibrated."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(150) % 2)
    frame = pd.DataFrame({"label": np.where(y == 1, "ill", "<b>well</b>")})
    for m, size in (("lab", 2), ("gait", 3), ("voice", 1)):
        for i in range(size):
            frame[f"{m}.{'abc'[i]}"] = rng.normal(size=150) + 2 * y
    frame.loc[::3, ["gait.a", "gait.b", "gait.c"]] = np.nan
    frame.to_csv(folder / "patients.csv", index=False)
    elision.train(folder / "patients.csv", folder / "run", TableConfig(encoders="linear", max_steps=40))
    return folder / "run"


@contextlib.contextmanager
def served(run: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Its address and the process; options of the command as ``words``."""
    command = [sys.executable, "-m", "elision", "serve", str(run), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().partition("answers at ")[2].partition(";")[0], process
        finally:
            process.terminate()
