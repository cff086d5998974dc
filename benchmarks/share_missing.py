"""The README's picture: accuracy and NLL against the share of samples that lack a modality, ours and rivals.

    OMP_NUM_THREADS=1 python -m benchmarks.share_missing ../shared/data --out results/share --workers 16

Spoken digits (mouth and sound) with 50, 80 or 95 % of the training samples without one of the two, three seeds, test
samples complete. Finished runs are kept in ``--out``; prints the table, and draws docs/_static/share-missing.png.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.league import work
from benchmarks.manifests import words
from elision.data import load
from elision.study.results import Result
from elision.study.run import Run, Training
from elision.study.runner import run_grid
from elision.study.watch import watching

PICTURE = Path(__file__).parent.parent / "docs" / "_static" / "share-missing.png"
LINES = {
    "mle": ("Elision (mle)", "#0b6e99", "o"),
    "late fusion of SVCs": ("late fusion of tuned SVCs", "#d1495b", "s"),
    "modality-dropout": ("modality dropout", "#b07d10", "D"),
    "mean imputation, SVC": ("mean imputation, tuned SVC", "#3f7f5f", "^"),
    "lower-bound": ("complete samples only", "#8a8f98", "v"),
}
"""Line of the league -> its label, colour and marker."""
OURS = ("mle", "modality-dropout", "lower-bound")
MODALITIES = ("sound", "mouth")
RATES = (0.5, 0.8, 0.95)


def plan(table: Path, seeds: int) -> list[Run]:
    """One run per line, modality, share and seed, seed by seed."""
    data = load(str(table))
    name, mark = data.name, data.fingerprint()
    return [
        Run(str(table), name, mark, False, line, *how, missing, rate, seed)
        for seed in range(seeds)
        for missing in MODALITIES
        for rate in RATES
        for line in LINES
        for how in [("addition", "all", Training()) if line in OURS else ("-", "-", Training("-"))]
    ]


def draw(frame: pd.DataFrame) -> Figure:
    """Draw means and standard errors over seeds."""
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, modality in enumerate(MODALITIES):
        for row, (measure, axis) in enumerate((("accuracy", "accuracy, %"), ("nll", "NLL, nats"))):
            drawn = axes[row, column]
            for line, (label, colour, marker) in LINES.items():
                own = frame[(frame["line"] == line) & (frame["missing"] == modality)].groupby("rate")[measure]
                shares = [100 * rate for rate in own.mean().index]
                errors = (own.std() / np.sqrt(own.count())).to_numpy()
                drawn.errorbar(shares, own.mean(), errors, color=colour, marker=marker, ms=5, capsize=2, label=label)
            drawn.spines[["top", "right"]].set_visible(False)
            drawn.set_xticks([100 * rate for rate in RATES], [f"{rate:.0%}" for rate in RATES])
            if column == 0:
                drawn.set_ylabel(axis)
        axes[0, column].set_title(f"{modality} missing in training", loc="left", fontsize=11)
        axes[1, column].set_xlabel(f"training samples that lack the {modality}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def main() -> None:
    """Run what is left, print the table, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    table = given.out / "words_digit.parquet"
    if not table.is_file():
        given.out.mkdir(parents=True, exist_ok=True)
        words(given.source / "words" / "words_digit.npz").to_parquet(table)
    runs = plan(table, given.seeds)
    with watching(len(runs)) as watch:
        results, failures = run_grid(runs, given.out, given.workers, watch, work, revive=Result.read)
    for failure in failures:
        print(f"failed: {failure.run}: {failure.error}")
    rows = [
        {"line": r.run.method, "missing": r.run.missing, "rate": r.run.rate, "seed": r.run.seed,
         "accuracy": 100 * r.test.metrics.accuracy, "nll": r.test.metrics.nll}
        for r in results
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    cells = frame.groupby(["missing", "rate", "line"])[["accuracy", "nll"]].mean()
    print("| line |" + "".join(f" {m} {r:.0%} |" for m in MODALITIES for r in RATES))
    print("|---" * (1 + len(MODALITIES) * len(RATES)) + "|")
    for line in LINES:
        found = [cells.loc[(m, r, line)] if (m, r, line) in cells.index else None for m in MODALITIES for r in RATES]
        print(f"| {line} |" + "".join(" |" if c is None else f" {c.accuracy:.1f} / {c.nll:.3f} |" for c in found))
    draw(frame).savefig(PICTURE, dpi=140)


if __name__ == "__main__":
    main()
