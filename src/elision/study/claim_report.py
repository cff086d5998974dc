"""The report of `elision reproduce claim`: tables in the paper's layout, paired differences, and the paper's order."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elision.evaluation import Difference, paired_difference
from elision.pages import render
from elision.study.claim import LINES
from elision.study.folders import FailedRun
from elision.study.paper import JOINT, TABLE1
from elision.study.report import ReportFiles, Study, environment
from elision.study.results import Result, results_frame, to_csv
from elision.study.run import SPLITS
from elision.study.tables import ACCURACY, NLL, Cell, Column, Grid, Line, deviation, markdown

AGAINST = LINES["mle", JOINT]
"""The row that the others are compared with."""
PAPERS_ORDER = {"Table 1": ("lower-bound", "hgr", "zero-padding", "mle"), "Table 2": ("ae1", "ae2", "mle")}
"""Table of the paper -> its methods, worst first: as it has them in every column of + and concat, and on the whole."""
_MEASURES = {"accuracy": ACCURACY, "nll": NLL}
_ByRow = Mapping[str, np.ndarray]
"""row -> its values, one of each cell (what is missing, rate, seed)."""


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
    by_block: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        run = result.run
        by_block[run.data, SPLITS[run.by_group], TABLE1.blocks[run.fusion]].append(result)
    blocks = [block for where, own in sorted(by_block.items()) if (block := _block(", ".join(where), own))]
    content = {
        "blocks": blocks,
        "joint": AGAINST,
        "orders": {t: " < ".join(LINES[m, "conditional"] for m in methods) for t, methods in PAPERS_ORDER.items()},
        "facts": study.settings["data"] | {"Runs": f"{len(results):,} finished of {len(study.runs):,}"},
        "choices": study.about["choices"],
        "failures": failures,
        "seconds": sum(result.seconds for result in results),
        "n_runs": len(results),
        "versions": environment(),
        "command": command,
    }
    frame = results_frame(results).assign(row=[_row(result) for result in results])
    tables = [f"## {block.title}\n\n" + "\n".join(map(markdown, block.grids)) for block in blocks]
    page = render("claim.html", content)
    files = {"results.csv": to_csv(frame), "tables.md": "\n".join(tables), "report.html": page}
    return ReportFiles(files, ["report.html"])


def _row(result: Result) -> str:
    return LINES[result.run.method, result.run.objective]


def _block(title: str, results: Sequence[Result]) -> Block | None:
    """Return what a block tells, of the cells that every row has finished; None where there are none."""
    table: dict[tuple[str, float, int], dict[str, Result]] = defaultdict(dict)
    for result in results:
        table[result.run.missing, result.run.rate, result.run.seed][_row(result)] = result
    rows = [row for row in LINES.values() if any(row in own for own in table.values())]
    cells = sorted(cell for cell, own in table.items() if len(own) == len(rows))
    if not cells:
        return None
    columns, seeds = [(missing, rate) for missing, rate, _ in cells], np.array([seed for *_, seed in cells])
    values = {
        name: {row: np.array([measure.of(table[cell][row]) for cell in cells]) for row in rows}
        for name, measure in _MEASURES.items()
    }
    grids = [
        _grid(measure.title, columns, values[name], deviation, measure.digits, max if name == "accuracy" else min)
        for name, measure in _MEASURES.items()
    ]
    first: dict[str, int] = {}
    differences: dict[str, dict[str, Difference]] = {}
    if AGAINST in rows:
        gaps = {m: {row: own - by[AGAINST] for row, own in by.items() if row != AGAINST} for m, by in values.items()}
        for name, grid in zip(_MEASURES, grids, strict=True):
            first[name] = sum(cell.best for cell in grid.rows[AGAINST,] if cell)
        for row in gaps["nll"]:
            differences[row] = {m: paired_difference(gap[row], 0 * gap[row], seeds) for m, gap in gaps.items()}
        gap = _grid(f"NLL minus that of {AGAINST}, nats", columns, gaps["nll"], _reach, NLL.digits)
        grids.append(replace(gap, spread="half of the 95 % interval"))
    taus = _taus(values)
    if taus:
        tau = _grid("Kendall's tau to the paper's order", columns, taus, deviation, 2)
        grids.append(replace(tau, heads=("order of",)))
    return Block(title, len(set(seeds)), len(set(columns)), first, differences, grids)


def _grid(
    title: str,
    columns: Sequence[Column],
    values: _ByRow,
    spread: Callable[[np.ndarray], float],
    digits: int,
    best: Callable[..., float] | None = None,
) -> Grid:
    """Return the table of values by column and row, ``spread`` beside each mean; the best of a column is marked."""
    places = {column: [i for i, other in enumerate(columns) if other == column] for column in dict.fromkeys(columns)}
    means = {row: [float(own[at].mean()) for at in places.values()] for row, own in values.items()}
    marked = [best(column) if best else None for column in zip(*means.values(), strict=True)]
    rows: dict[Line, list[Cell | None]] = {
        (row,): [
            Cell(mean, spread(own[at]), len(at), mean == mark, digits)
            for mean, mark, at in zip(means[row], marked, places.values(), strict=True)
        ]
        for row, own in values.items()
    }
    return Grid(title, ("method",), list(places), rows)


def _reach(gaps: np.ndarray) -> float:
    """Return half of the 95 % interval of gaps, one of each seed; NaN for one."""
    found = paired_difference(gaps, 0 * gaps, np.arange(len(gaps)))
    return found.high - found.mean if len(gaps) > 1 else float("nan")


def _taus(values: Mapping[str, _ByRow]) -> dict[str, np.ndarray]:
    """Return Kendall's tau between each cell's order of the paper's methods and the paper's; 0 where all are level."""
    from scipy.stats import kendalltau

    found = {}
    for table, methods in PAPERS_ORDER.items():
        rows = [LINES[m, "conditional"] for m in methods]
        for name, measure in _MEASURES.items():
            if set(rows) <= set(values[name]):
                sign = -1 if measure.less_is_better else 1
                cells = np.stack([sign * values[name][row] for row in rows], axis=1)
                taus = [np.asarray(kendalltau(range(len(rows)), cell))[0] for cell in cells]
                found[f"{table}, {measure.title}"] = np.nan_to_num(taus)
    return found
