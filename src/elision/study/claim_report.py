"""The report of `elision reproduce claim`: tables in the paper's layout, paired differences, and the paper's order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from elision.evaluation import Difference, paired_difference
from elision.pages import render
from elision.study.claim import LINES
from elision.study.folders import FailedRun
from elision.study.paper import JOINT, TABLE1
from elision.study.report import ReportFiles, Study, environment
from elision.study.results import Result, results_frame, to_csv
from elision.study.run import SPLITS
from elision.study.tables import Cell, Grid, deviation, markdown

OURS = LINES["mle", JOINT]
ORDERS = {"Table 1": ("lower-bound", "hgr", "zero-padding", "mle"), "Table 2": ("ae1", "ae2", "mle")}
"""Table of the paper -> its methods, worst first: as it has them in every column of + and concat, and on the whole."""
CELL = ["missing", "rate", "seed"]
MEASURES = {"accuracy": ("Accuracy, %", "max", 1), "nll": ("NLL, nats", "min", 3)}
"""metric -> its title, which is the best, digits."""


@dataclass(frozen=True)
class Block:
    """Hold what is told of one data set, split and fusion.

    Args:
        title: which these are.
        seeds: that every row has finished in some column.
        columns: how many there are.
        first: metric -> columns in which no row's mean is better than the joint objective's.
        differences: row -> metric -> its difference from the joint objective, over all columns, paired by seeds.
        grids: accuracy, NLL, the difference in NLL by column, and Kendall's tau to the paper's order.
    """

    title: str
    seeds: int
    columns: int
    first: dict[str, int]
    differences: dict[str, dict[str, Difference]]
    grids: list[Grid]


def report_claim(study: Study, results: Sequence[Result], failures: Sequence[FailedRun], command: str) -> ReportFiles:
    """Make the report of the claim; see `elision.study.plan.write_report`."""
    frame = results_frame(results).assign(row=[LINES[r.run.method, r.run.objective] for r in results])
    blocks = [
        _block(f"{data}, {SPLITS[by_group]}, {TABLE1.blocks[fusion]}", own)
        for (data, by_group, fusion), own in frame.groupby(["data", "by_group", "fusion"])
    ]
    content = {
        "blocks": [block for block in blocks if block],
        "joint": OURS,
        "orders": {table: " < ".join(LINES[m, "conditional"] for m in methods) for table, methods in ORDERS.items()},
        "facts": study.settings["data"] | {"Runs": f"{len(results):,} finished of {len(study.runs):,}"},
        "choices": study.about["choices"],
        "failures": failures,
        "seconds": sum(result.seconds for result in results),
        "n_runs": len(results),
        "versions": environment(),
        "command": command,
    }
    tables = [f"## {block.title}\n\n" + "\n".join(map(markdown, block.grids)) for block in content["blocks"]]
    page = render("claim.html", content)
    files = {"results.csv": to_csv(frame), "tables.md": "\n".join(tables), "report.html": page}
    return ReportFiles(files, ["report.html"])


def _block(title: str, results: pd.DataFrame) -> Block | None:
    """Return what a block tells, of the cells that every row has finished; None where there are none."""
    rows = [row for row in LINES.values() if row in set(results["row"])]
    whole = results.assign(accuracy=100 * results["accuracy"]).pivot(index=CELL, columns="row", values=list(MEASURES))
    whole = whole.dropna().sort_index()
    if not len(whole):
        return None
    wide = {metric: whole[metric][rows] for metric in MEASURES}
    grids = [_grid(head, wide[m], deviation, digits, best) for m, (head, best, digits) in MEASURES.items()]
    first, differences = {}, {}
    if OURS in rows:
        first = {m: sum(cell.best for cell in grid.rows[OURS,]) for m, grid in zip(MEASURES, grids, strict=True)}
        others = [row for row in rows if row != OURS]
        gaps = {m: values[others].sub(values[OURS], axis=0) for m, values in wide.items()}
        differences = {row: {m: _difference(gap[row]) for m, gap in gaps.items()} for row in others}
        grids.append(_grid(f"NLL minus that of {OURS}, nats", gaps["nll"], _reach, 3, told="half of the 95 % interval"))
    taus = _taus(wide)
    if len(taus.columns):
        grids.append(_grid("Kendall's tau to the paper's order", taus, deviation, 2, head="order of"))
    n_columns = len(grids[0].columns)
    return Block(title, whole.index.get_level_values("seed").nunique(), n_columns, first, differences, grids)


def _grid(
    title: str,
    values: pd.DataFrame,
    spread: Callable[[pd.Series], float],
    digits: int,
    best: str = "",
    told: str = "standard deviation",
    head: str = "method",
) -> Grid:
    """Return the table of values by cell and row, ``spread`` beside each mean, the ``best`` of a column marked."""
    by_column = values.groupby(level=CELL[:2])
    means = by_column.mean()
    marked = means.eq(means.agg(best, axis=1), axis=0) if best else means.isna()
    columns = list(means.index)
    rows = {
        (row,): [
            Cell(means.loc[c, row], spread(own), len(own), bool(marked.loc[c, row]), digits)
            for c, own in by_column[row]
        ]
        for row in values
    }
    return Grid(title, (head,), columns, rows, spread=told)


def _difference(gap: pd.Series) -> Difference:
    return paired_difference(gap.to_numpy(), np.zeros(len(gap)), gap.index.get_level_values("seed").to_numpy())


def _reach(gap: pd.Series) -> float:
    found = _difference(gap)
    return found.high - found.mean if np.isfinite(found.high) else float("nan")


def _taus(wide: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return Kendall's tau between each cell's order of the paper's methods and the paper's, by table and metric."""
    from scipy.stats import kendalltau

    found = {}
    for order, methods in ORDERS.items():
        rows = [LINES[m, "conditional"] for m in methods]
        for metric, values in wide.items():
            if set(rows) <= set(values):
                sign = 1 if metric == "accuracy" else -1
                own = sign * values[rows].to_numpy()
                found[f"{order}, {MEASURES[metric][0]}"] = [kendalltau(range(len(rows)), cell)[0] for cell in own]
    return pd.DataFrame(found, index=wide["nll"].index)
