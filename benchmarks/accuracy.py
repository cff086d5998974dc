"""Accuracy on RAVDESS: every method, fusion, objective and encoder, the defaults, and late fusion of SVCs.

    python -m benchmarks.manifests ../shared/data data
    python -m benchmarks.accuracy data/ravdess.csv --out results/accuracy

Six classes, random split, five seeds, 80 and 95 % of either modality missing in training, test data complete. All lines
see the same samples; the validation part is used for early stopping, weights, and the choice of C.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.rivals import execute_rival
from benchmarks.rivals.late_svc import LateSVC
from elision.data import load
from elision.registries import FUSIONS, METHODS
from elision.study.execution import execute
from elision.study.results import Result, results_frame
from elision.study.run import Run, Training
from elision.study.runner import run_grid
from elision.study.watch import watching

RATES = (0.8, 0.95)
RIVALS = {"late-svc C=1": (1.0,), "late-svc": (1.0, 10.0, 100.0)}
"""Late fusion of SVCs: scikit-learn's default C, and C chosen by validation NLL."""


def lines() -> list[tuple[str, str, str, str]]:
    """(method, fusion, objective, encoders)."""
    ours = [
        (method, fusion, objective, encoder)
        for method in ("mle", "zero-padding", "lower-bound")
        for fusion in FUSIONS
        if fusion not in METHODS[method].claims.refusals
        for objective in METHODS[method].claims.objectives
        for encoder in ("kernel", "mlp")
    ]
    defaults = [("mle", fusion, "auto", "auto") for fusion in FUSIONS]
    return [*defaults, *ours, *((name, "late", "-", "-") for name in RIVALS)]


def work(run: Run) -> Result:
    if run.method in RIVALS:
        return execute_rival(run, [partial(LateSVC, c, run.seed) for c in RIVALS[run.method]])
    return execute(run)


def main(lines: list[tuple[str, str, str, str]], work: Callable[[Run], Result]) -> None:
    """Run what is left of every line in every cell, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    data = load(options.data)
    mark = data.fingerprint()
    runs = [
        Run(options.data, data.name, mark, False, *line, Training(encoders), missing, rate, seed)
        for seed in range(options.seeds)
        for missing in data.arrays
        for rate in RATES
        for *line, encoders in lines
    ]
    with watching(len(runs)) as watch:
        results, failures = run_grid(runs, options.out, options.workers, watch, work, revive=Result.read)
    for failure in failures:
        print("failed:", failure.run, failure.error)
    print(markdown(results_frame(results).assign(encoders=[r.run.training.encoders for r in results])))


def markdown(table) -> str:
    """accuracy / NLL, mean over seeds with the standard error of the accuracy."""
    names = ["method", "fusion", "objective", "encoders"]
    cells = table.groupby([*names, "missing", "rate"], sort=False)[["accuracy", "nll", "seconds"]]
    mean, error = cells.mean(), cells.sem()
    columns = list(dict.fromkeys(zip(table["missing"], table["rate"], strict=True)))
    rows = [
        [*names, *(f"{m} {r:.0%}" for m, r in columns), "seconds"],
        ["---"] * (len(names) + len(columns) + 1),
    ]
    for line in dict.fromkeys(table[names].itertuples(index=False, name=None)):
        keys = [(*line, *c) for c in columns]
        texts = [
            f"{mean.loc[k, 'accuracy']:.3f} ± {error.loc[k, 'accuracy']:.3f} / "
            f"{mean.loc[k, 'nll']:.3f} ± {error.loc[k, 'nll']:.3f}"
            for k in keys
        ]
        rows.append([*line, *texts, f"{sum(mean.loc[k, 'seconds'] for k in keys) / len(keys):.1f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main(lines(), work)
