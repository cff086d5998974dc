"""The paper's tables with our numbers beside its own: runs, cells, panels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from elision.study.paper import (
    END_TO_END,
    EXPERIMENTS,
    ROWS,
    SEEDS,
    TABLES,
    Setting,
    Table,
    block_of,
    published,
    table2,
)
from elision.study.paper_run import SPLITS

REFERENCE = "resnet50"
"""Whose columns stand beside features that the paper does not know."""
COLUMNS = (
    "table", "method", "objective", "fusion", "extractor", "missing", "rate", "split", "seed", "data", "n_train",
    "n_complete", "n_test", "accuracy", "nll", "ece", "brier", "seconds", "paper",
)  # fmt: skip
LINE = ["method", "objective"]


def runs_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per run, the columns of ``results.csv``; accuracy in [0, 1], the paper's in per cent."""
    rows = []
    for result in results:
        run, metrics = result["run"], result["metrics"]
        setting = Setting(**run["setting"])
        values = asdict(setting) | run | metrics | result
        values |= {"split": SPLITS[run["by_group"]], "n_test": metrics["n"], "paper": published(setting)}
        rows.append({c: values[c] for c in COLUMNS})
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).assign(block=[block_of_row(r) for r in rows])
    return frame.sort_values([c for c in COLUMNS[:9] if c != "rate"] + ["rate"], kind="stable", ignore_index=True)


def block_of_row(row: dict[str, Any]) -> str:
    """See `elision.study.paper.block_of`."""
    return row["fusion"] if row["extractor"] == END_TO_END else row["extractor"]


@dataclass(frozen=True)
class Cell:
    """One cell, accuracies in per cent.

    Args:
        mean, deviation, n: of our runs; deviation is NaN for one.
        paper: the paper's value, or None.
        best: no other row's mean is better in this column.
    """

    mean: float
    deviation: float
    n: int
    paper: float | None
    best: bool

    @property
    def text(self) -> str:
        """Such as ``72.4 ± 1.3``."""
        return f"{self.mean:.1f}" + ("" if np.isnan(self.deviation) else f" ± {self.deviation:.1f}")

    @property
    def difference(self) -> str:
        """Ours minus the paper's, such as ``+0.4``; "" without either."""
        return "" if self.paper is None else f"{self.mean - self.paper:+.1f}"


@dataclass(frozen=True)
class Panel:
    """One block of a table: a row per method, six columns.

    Args:
        name: the block's, in the settings.
        title: over it.
        columns: (missing, rate).
        rows: row title -> cells, None where nothing was run.
        agreement: Kendall's tau of each column between our order of the paper's methods and the paper's; None where
            fewer than two methods have both numbers.
        compared: whether the paper's values beside ours are of the same thing, so that a difference says something.
    """

    name: str
    title: str
    columns: list[tuple[str, float]]
    rows: dict[str, list[Cell | None]]
    agreement: list[float | None]
    compared: bool


@dataclass(frozen=True)
class Filled:
    """A table of the paper as far as it was run.

    Args:
        table: the paper's.
        data: names of the data sets that it was run on.
        panels: its blocks.
        done: settings of the paper that have at least one result.
        settings: settings of the paper, of the blocks that were run.
        seeds: most and fewest runs of a setting that has some.
    """

    table: Table
    data: list[str]
    panels: list[Panel]
    done: int
    settings: int
    seeds: tuple[int, int]

    @property
    def is_partial(self) -> bool:
        """Whether a setting of the paper has fewer runs than the paper's five."""
        return self.done < self.settings or self.seeds[0] < SEEDS


def fill(frame: pd.DataFrame, split: str) -> list[Filled]:
    """The tables that have results of that split."""
    mine = frame[frame["split"] == split]
    return [_fill(TABLES[name], part) for name, part in mine.groupby("table")]


def _fill(table: Table, frame: pd.DataFrame) -> Filled:
    present = set(frame["block"])
    known = [block for block in table.blocks if block in present]
    blocks = (known or []) + sorted(present - set(table.blocks))
    shown = list(table.blocks) if known else blocks
    panels = [_panel(table, block, frame[frame["block"] == block]) for block in blocks]
    own = frame[frame["objective"] != "joint"]
    counts = own.groupby([*LINE, "block", "missing", "rate"]).size()
    settings = sum(block_of(s) in shown for s in (EXPERIMENTS[table.name]() if known else table2(shown)))
    seeds = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    return Filled(table, sorted(frame["data"].unique()), panels, len(counts), settings, seeds)


def _panel(table: Table, block: str, frame: pd.DataFrame) -> Panel:
    stats = frame.groupby([*LINE, "missing", "rate"])["accuracy"].agg(["mean", "std", "count"])
    means = {key: 100 * mean for key, mean in stats["mean"].items()}
    best = {c: max((v for k, v in means.items() if k[2:] == c), default=None) for c in table.columns}
    rows: dict[str, list[Cell | None]] = {}
    for (method, objective), row in ROWS.items():
        keys = [(method, objective, *column) for column in table.columns]
        if any(key in means for key in keys):
            rows[row.title] = [
                Cell(means[k], 100 * stats.loc[k, "std"], int(stats.loc[k, "count"]), _paper(table, block, k),
                     means[k] == best[k[2:]])
                if k in means else None
                for k in keys
            ]  # fmt: skip
    compared = block in table.blocks
    title = table.blocks.get(block) or f"features as given; beside them the paper's {table.blocks[REFERENCE]}"
    agreement = [_tau([cells[i] for cells in rows.values()]) for i in range(len(table.columns))]
    return Panel(block, title, table.columns, rows, agreement, compared)


def _paper(table: Table, block: str, key: tuple) -> float | None:
    method, objective, missing, rate = key
    known = block if block in table.blocks else REFERENCE
    values = table.accuracy.get(method, {}).get(known)
    if values is None or objective != "conditional":
        return None
    return values[table.columns.index((missing, rate))]


def _tau(cells: Sequence[Cell | None]) -> float | None:
    from scipy.stats import kendalltau

    both = [(cell.mean, cell.paper) for cell in cells if cell and cell.paper is not None]
    if len(both) < 2:
        return None
    tau = float(kendalltau(*zip(*both, strict=True)).statistic)
    return None if np.isnan(tau) else tau
