"""The paper's tables as far as they were run, with its numbers beside ours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from elision.study.paper import EXPERIMENTS, JOINT, ROWS, SEEDS, TABLES, Table, published, setting, table2
from elision.study.results import Result
from elision.study.run import Run
from elision.study.tables import ACCURACY, Cell, Grid, cells_of, values_of

REFERENCE = "resnet50"
"""Whose columns stand beside features that the paper does not know."""


@dataclass(frozen=True)
class Filled:
    """A table of the paper as far as it was run.

    Args:
        table: the paper's.
        data: names of the data sets that it was run on.
        blocks: fusion or extractor -> its grid, a row per method, accuracies in per cent.
        done: settings of the paper that have at least one result.
        settings: settings of the paper, of the blocks that were run.
        seeds: fewest and most runs of a setting that has some.
    """

    table: Table
    data: list[str]
    blocks: dict[str, Grid]
    done: int
    settings: int
    seeds: tuple[int, int]

    @property
    def is_partial(self) -> bool:
        """Return whether a setting of the paper has fewer runs than the paper's five."""
        return self.done < self.settings or self.seeds[0] < SEEDS

    @property
    def title(self) -> str:
        """Return a title such as ``Table 1 on ravdess (partial: 12 of 66 settings, 1 of 5 runs each)``."""
        few, most = self.seeds
        settings = "" if self.done == self.settings else f"{self.done} of {self.settings} settings, "
        runs = f"{few}" if few == most else f"{few} to {most}"
        left = f" (partial: {settings}{runs} of {SEEDS} runs each)"
        return f"Table {self.table.name[-1]} on {', '.join(self.data)}{left if self.is_partial else ''}"


def row_of(run: Run) -> tuple[str]:
    """Return the title of the row that a run stands in."""
    return (ROWS[run.method, run.objective].title,)


def by_table(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the paper's tables that have results -> those."""
    found = {name: [result for result in results if result.run.table == name] for name in TABLES}
    return {name: mine for name, mine in found.items() if mine}


def fill(results: Sequence[Result]) -> list[Filled]:
    """Return the paper's tables that have results, which are all of one split."""
    return [_fill(TABLES[name], mine) for name, mine in by_table(results).items()]


def _fill(table: Table, results: Sequence[Result]) -> Filled:
    present = {result.run.block for result in results}
    known = [block for block in table.blocks if block in present]
    blocks = known + sorted(present - set(table.blocks))
    shown = list(table.blocks) if known else blocks
    grids = {block: _grid(table, block, [r for r in results if r.run.block == block]) for block in blocks}
    settings = EXPERIMENTS[table.name]() if known else table2(shown)
    counts = Counter(result.run.setting for result in results if result.run.objective != JOINT)
    seeds = (min(counts.values()), max(counts.values())) if counts else (0, 0)
    return Filled(table, sorted({r.run.data for r in results}), grids, len(counts), len(settings), seeds)


def _grid(table: Table, block: str, results: Sequence[Result]) -> Grid:
    cells = cells_of(values_of(results, ACCURACY.of, row_of), table.columns, ACCURACY)
    compared, rows = block in table.blocks, {}
    beside = block if compared else REFERENCE
    for (method, objective), row in ROWS.items():
        if (row.title,) in cells:
            settings = [setting(table.name, method, objective, beside, beside, *column) for column in table.columns]
            both = zip(cells[row.title,], settings, strict=True)
            rows[row.title,] = [cell and replace(cell, paper=published(s, beside)) for cell, s in both]
    title = table.blocks.get(block) or f"features as given; beside them the paper's {table.blocks[REFERENCE]}"
    agreement = [_tau([line[i] for line in rows.values()]) for i in range(len(table.columns))]
    title = f"{table.heading} {title}, accuracy in %"
    return Grid(title, ("method",), table.columns, rows, has_paper=True, compared=compared, agreement=agreement)


def _tau(cells: Sequence[Cell | None]) -> float | None:
    from scipy.stats import kendalltau

    both = [(cell.mean, cell.paper) for cell in cells if cell and cell.paper is not None and cell.n > 1]
    if len(both) < 2:
        return None
    tau = np.asarray(kendalltau(*zip(*both, strict=True)))[0]
    return None if np.isnan(tau) else float(tau)


@dataclass(frozen=True)
class Orders:
    """Tell how often rows follow each other as in the paper.

    Args:
        columns: that have our numbers and the paper's of at least two methods.
        whole: in which our order of the paper's methods is the paper's.
        steps: (upper, lower) of the table's rows -> (columns in which ours has it so, columns with both).
    """

    columns: int
    whole: int
    steps: Mapping[tuple[str, str], tuple[int, int]]


def orders(filled: Filled) -> Orders:
    """Count over all columns of a table in which our rows follow each other as the paper's do."""
    columns, whole = 0, 0
    hits: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for grid in filled.blocks.values():
        for cells in zip(*grid.rows.values(), strict=True):
            both = [(t, c, c.paper) for (t,), c in zip(grid.rows, cells, strict=True) if c and c.paper is not None]
            if len(both) < 2:
                continue
            columns += 1
            ranked = sorted(both, key=lambda entry: -entry[2])
            whole += all(above.mean > below.mean for (_, above, _), (_, below, _) in pairwise(ranked))
            for (lower, below, _), (upper, above, _) in pairwise(both):
                hits[upper, lower] += above.mean > below.mean
                seen[upper, lower] += 1
    return Orders(columns, whole, {step: (hits[step], n) for step, n in reversed(seen.items())})
