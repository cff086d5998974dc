"""The claim's tables, both measures in a cell, from the runs that `elision reproduce claim` has finished.

    python -m benchmarks.claim_tables results/claim --out benchmarks/CLAIM.md

First a summary, a line for each data set, split and fusion, then a table for each of them. A cell is a column (what
is missing, and how often) and a seed; it counts when every line that has finished more than half of the block's cells
has finished it. Level in accuracy counts as first.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from benchmarks.league_report import table
from elision.evaluation import paired_difference
from elision.files import write_atomically
from elision.study.claim import LINES
from elision.study.claim_report import AGAINST, PAPERS_ORDER
from elision.study.paper import TABLE1
from elision.study.results import Result, results_frame
from elision.study.run import SPLITS

PAPERS = LINES["mle", "conditional"]
OF_PAPER = [LINES[m, "conditional"] for m in ("mle", "ae2", "ae1", "hgr", "zero-padding", "lower-bound")]
ROWS = [AGAINST, *OF_PAPER[:5], LINES["late-fusion", "conditional"], OF_PAPER[5]]
TITLES = {"words_digit": "words, digits", "words_letter": "words, letters", "ravdess": "RAVDESS", "mfeat3": "mfeat"}


@dataclass(frozen=True)
class Block:
    """Hold one data set, split and fusion: accuracy in per cent and NLL in nats, each (cells, lines)."""

    title: str
    accuracy: pd.DataFrame
    nll: pd.DataFrame

    @property
    def columns(self) -> list[tuple[str, float]]:
        """Return (missing, rate) in order."""
        return sorted({(missing, rate) for missing, rate, _ in self.nll.index})

    @property
    def seeds(self) -> np.ndarray:
        """Return the seed of each cell."""
        return self.nll.index.get_level_values("seed").to_numpy()

    def means(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the mean over the seeds of each column: (columns, lines)."""
        return frame.groupby(level=["missing", "rate"]).mean()


def read_runs(folder: Path) -> pd.DataFrame:
    """Return a row per finished run, with `line` and `block`."""
    results = [Result.read(json.loads(path.read_bytes())) for path in sorted(folder.glob("runs/*/result.json"))]
    frame = results_frame(results)
    frame["line"] = [LINES[r.run.method, r.run.objective] for r in results]
    frame["accuracy"] *= 100
    return frame


def blocks(runs: pd.DataFrame) -> list[Block]:
    """Return the blocks, fusion by fusion."""
    found = []
    for fusion in TABLE1.blocks:
        for (name, by_group), own in runs[runs["fusion"] == fusion].groupby(["data", "by_group"]):
            split = f" {SPLITS[bool(by_group)]}" if runs.loc[runs["data"] == name, "by_group"].any() else ""
            title = f"{TITLES.get(str(name), name)}{split}; {fusion.replace('-', ' ')}"
            wide = own.pivot(index=["missing", "rate", "seed"], columns="line", values=["accuracy", "nll"])
            lines = [r for r in ROWS if r in wide["nll"] and wide["nll"][r].notna().mean() > 0.5]
            wide = wide.loc[wide["nll"][lines].notna().all(axis=1)]
            if {AGAINST, PAPERS} <= set(lines):
                found.append(Block(title, wide["accuracy"][lines], wide["nll"][lines]))
    return found


def both(accuracy: float, nll: float) -> str:
    return f"{accuracy:.1f} / {nll:.3f}"


def summary(found: list[Block]) -> pd.DataFrame:
    """Return how often the joint objective and the paper's form are first, and by how much they differ."""
    rows = {}
    for block in found:
        nll, accuracy, columns = block.nll, block.accuracy, block.means(block.nll)
        rest = [line for line in nll if line not in (AGAINST, PAPERS)]
        best = nll[rest].mean().idxmin()
        lead = paired_difference(nll[PAPERS].to_numpy(), nll[AGAINST].to_numpy(), block.seeds)
        paper = [line for line in OF_PAPER if line in nll]
        rows[block.title] = {
            "lines": len(nll.columns),
            "columns": len(columns),
            "seeds": len(set(block.seeds)),
            "columns in which joint has the lowest mean NLL": int((columns.idxmin(axis=1) == AGAINST).sum()),
            "cells": len(nll),
            "first by NLL": int((nll.idxmin(axis=1) == AGAINST).sum()),
            "by accuracy": int((accuracy[AGAINST] >= accuracy.max(axis=1) - 1e-9).sum()),
            "before the paper's form by NLL": int((nll[AGAINST] < nll[PAPERS]).sum()),
            "by": interval(lead),
            "joint": both(accuracy[AGAINST].mean(), nll[AGAINST].mean()),
            "the paper's form": both(accuracy[PAPERS].mean(), nll[PAPERS].mean()),
            "best other": f"{best} {both(accuracy[best].mean(), nll[best].mean())}",
            "cells in which the paper's form is first of the paper's by NLL": int(
                (nll[paper].idxmin(axis=1) == PAPERS).sum()
            ),
        }
    return pd.DataFrame(rows).T


def interval(difference) -> str:
    """Return a mean, and half of its 95 % interval where there is more than one seed."""
    reach = difference.high - difference.mean
    return f"{difference.mean:+.3f}" + (f" ± {reach:.3f}" if np.isfinite(reach) else "")


def layout(block: Block) -> pd.DataFrame:
    """Return the block in the paper's layout: lines by columns, the lowest NLL of each bold, then Kendall's tau."""
    nll, accuracy = block.means(block.nll), block.means(block.accuracy)
    sizes = block.nll.groupby(level=["missing", "rate"]).size()
    heads = {c: f"{c[0]} {c[1]:.0%}, n {sizes[c]}" for c in block.columns}
    rows = {}
    for line in nll:
        cells = {heads[c]: f"{accuracy.loc[c, line]:.1f} / {nll.loc[c, line]:.2f}" for c in block.columns}
        cells = {}
        for c in block.columns:
            text = f"{accuracy.loc[c, line]:.1f} / {nll.loc[c, line]:.2f}"
            cells[heads[c]] = f"**{text}**" if nll.loc[c].idxmin() == line else text
        gap = paired_difference(block.nll[line].to_numpy(), block.nll[AGAINST].to_numpy(), block.seeds)
        rows[line] = cells | {"NLL - joint": "" if line == AGAINST else interval(gap)}
    for name, methods in PAPERS_ORDER.items():
        order = [LINES[m, "conditional"] for m in methods]
        if set(order) <= set(nll):
            for measure, frame, sign in (("accuracy", block.accuracy, 1), ("NLL", block.nll, -1)):
                tau = frame[order].apply(_tau(sign), axis=1)
                mean = tau.groupby(level=["missing", "rate"]).mean()
                row = {heads[c]: f"{mean[c]:+.2f}" for c in block.columns}
                rows[f"tau, {name}, {measure}"] = row | {"NLL - joint": f"{tau.mean():+.2f}"}
    return pd.DataFrame(rows).T


def _tau(sign: int) -> Callable[[pd.Series], float]:
    return lambda row: float(np.nan_to_num(np.asarray(kendalltau(range(len(row)), sign * row.to_numpy()))[0]))


def page(found: list[Block], n_runs: int) -> str:
    """Return the tables as Markdown."""
    return "\n".join(
        [
            "# The paper's claim, cell by cell\n",
            "`python -m benchmarks.claim_tables results/claim --out benchmarks/CLAIM.md` made this page of "
            f"{n_runs:,} runs of `elision reproduce claim`;",
            '[RESULTS](RESULTS.md), "The paper\'s claim on five data sets", says how they were made, and more.\n',
            "Accuracy in per cent / NLL in nats, means over n seeds. ± is half of Student's 95 % interval, seeds as "
            "units. Bold: lowest NLL. tau: Kendall's,",
            "to lower bound < HGR < zero padding < ours (Table 1) and AE1 < AE2 < ours (Table 2), mean over seeds, the "
            "last column over all cells.\n",
            table(summary(found).reset_index(names="data and fusion")),
            *(f"\n## {block.title}\n\n{table(layout(block).reset_index(names='method'))}" for block in found),
            "",
        ]
    )


def main() -> None:
    """Write the page, and print where the joint objective is not first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    runs = read_runs(options.folder)
    if runs.empty:
        parser.error(f"no finished run in {options.folder / 'runs'}")
    found = blocks(runs)
    write_atomically(options.out, page(found, len(runs)))
    print(summary(found).to_string())
    for block in found:
        means = block.means(block.nll)
        for column, best in means.idxmin(axis=1).items():
            if best != AGAINST:
                print(
                    f"{block.title}, {column}: {best} {means.loc[column, best]:.3f}, {means.loc[column, AGAINST]:.3f}"
                )


if __name__ == "__main__":
    main()
