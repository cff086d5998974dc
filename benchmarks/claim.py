"""The paper's claim on real features: its method, baselines and the joint objective, one modality missing in training.

    python -m benchmarks.manifests ../shared/data data
    OMP_NUM_THREADS=1 python -m benchmarks.claim data --out results/claim --workers 16 --minutes 9

Every method has MLP encoders, k 32, addition, Adam by fan-in and 300 full-batch steps per stage. Of these the
parameters of the best validation value are kept (``best``), or the last (``last``, as in `elision reproduce`); where
the split keeps people together the validation part holds people of its own. 50, 80, 90 and 95 % of either modality are
missing in training; test samples are complete. It goes seed by seed, and finished runs are kept: what is stopped, by
itself after ``--minutes``, is a smaller study, and the same command goes on with it.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from benchmarks.timing import machine
from elision.data import load
from elision.parallel import Watcher
from elision.study.execution import execute
from elision.study.results import Result
from elision.study.run import Run, Training
from elision.study.runner import read_outcomes, run_grid
from elision.study.watch import watching

METHODS = {
    "mle, joint": ("mle", "joint"), "mle, conditional": ("mle", "conditional"), "ae2": ("ae2", "conditional"),
    "ae1": ("ae1", "conditional"), "hgr": ("hgr", "conditional"), "zero padding": ("zero-padding", "conditional"),
    "late fusion": ("late-fusion", "conditional"), "lower bound": ("lower-bound", "conditional"),
}  # fmt: skip
PAPER = ("lower bound", "zero padding", "ae1", "ae2", "mle, conditional")
"""The paper's order, worst first, as far as its tables have it in every column; HGR changes places."""
DATA = {"words_digit": (False,), "ravdess": (True, False), "words_letter": (False,), "mfeat3": (False,)}
"""Table -> whether groups are kept together."""
RATES = (0.8, 0.9, 0.95, 0.5)
"""The most telling first."""


class TimeIsUp(Exception):
    """Raised to stop the study."""


def plan(folder: Path, only: list[str], selections: list[str], seeds: int, methods: Sequence[str] = ()) -> list[Run]:
    """Seed by seed, and in each the columns of a rate together, so that what is interrupted is a smaller study."""
    sets = [(str(folder / f"{name}.csv"), DATA[name]) for name in only]
    known = [(source, grouped, data, data.fingerprint()) for source, grouped in sets for data in [load(source)]]
    runs = []
    for seed in range(seeds):
        for selection in selections:
            training = Training("mlp", 32, way="segments", options=(("selection", selection),))
            runs += [
                Run(source, data.name, mark, by_group, method, "addition", objective, training, m, rate, seed)
                for rate in RATES
                for source, grouped, data, mark in known
                for by_group in grouped
                for m in list(data.arrays)[:2]
                for name, (method, objective) in METHODS.items()
                if not methods or name in methods
            ]
    return runs


def until(end: float, watch: Watcher) -> Watcher:
    """Return a watcher that raises `TimeIsUp` once the clock has reached ``end``."""

    def tell(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
        watch(done, total, running, seconds_left)
        if time.monotonic() >= end:
            raise TimeIsUp

    return tell


def frame(results: list[Result]) -> pd.DataFrame:
    """Return a row per run."""
    names = {ours: name for name, ours in METHODS.items()}
    rows = [
        {
            "data": r.run.data + (" by group" if r.run.by_group else ""),
            "selection": dict(r.run.training.options)["selection"],
            "method": names[r.run.method, r.run.objective],
            "column": f"{r.run.missing} {r.run.rate:.0%}",
            "seed": r.run.seed,
            "accuracy": 100 * r.test.metrics.accuracy,
            "nll": r.test.metrics.nll,
        }
        for r in results
    ]
    return pd.DataFrame(rows)


def tables(results: pd.DataFrame) -> str:
    """Return accuracy / NLL for each data set and selection, the order's tau, and paired differences to mle, joint."""
    parts = []
    for (data, selection), own in results.groupby(["data", "selection"], sort=False):
        cells = own.groupby(["column", "seed"])["method"].transform("nunique")
        own = own[cells == cells.max()]  # of a study that was stopped, what every method has
        columns = sorted(own["column"].unique())
        means = own.groupby(["method", "column"])[["accuracy", "nll"]].mean()
        parts += [f"\n**{data}, {selection} parameters**, {own['seed'].nunique()} seeds\n"]
        parts += ["| method | " + " | ".join(columns) + " | minus mle, joint |", "| --- " * (len(columns) + 2) + "|"]
        wide = own.pivot_table(index=["column", "seed"], columns="method", values="nll")
        for method in wide:
            cells = [means.loc[method, c] for c in columns]
            away = (wide[method] - wide["mle, joint"]).groupby("seed").mean()
            error = away.std() / len(away) ** 0.5 if len(away) > 1 else np.nan
            shown = " | ".join(f"{c.accuracy:.1f} / {c.nll:.2f}" for c in cells)
            parts.append(f"| {method} | {shown} | {away.mean():+.3f} ± {error:.3f} |")
        for measure, sign in (("accuracy", 1), ("nll", -1)):
            taus = [kendalltau(range(len(PAPER)), [sign * means.loc[m, c][measure] for m in PAPER])[0] for c in columns]
            parts.append(f"| tau by {measure} | " + " | ".join(f"{tau:.2f}" for tau in taus) + " | |")
    return "\n".join(parts)


def main() -> None:
    """Run what is left, then print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=DATA, default=list(DATA))
    parser.add_argument("--selection", nargs="*", default=["best"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    runs = plan(options.folder, options.only, options.selection, options.seeds, options.methods)
    with watching(len(runs)) as watch, suppress(TimeIsUp):
        run_grid(runs, options.out, options.workers, until(end, watch), execute, revive=Result.read)
    results, failures = read_outcomes(options.out, ((run.key, run.title) for run in runs), Result.read)
    for failure in failures:
        print(f"failed: {failure.run}: {failure.error}")
    print(machine())
    print(tables(frame(results)) if results else "no run is finished")


if __name__ == "__main__":
    main()
