"""Tables of results for people: means and deviations, a row per line, a column per missing modality and rate."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
from scipy.stats import rankdata

from elision.evaluation import paired_difference
from elision.study.results import Result
from elision.study.run import UPPER_BOUND, Run

Line = tuple[str, ...]
"""What names a row of a table, such as its method, fusion and objective."""
Column = tuple[str, float]
"""What is missing, and its rate."""
Values = Mapping[tuple[Line, Column], Sequence[float]]
"""Where the values of runs stand, seed by seed."""
LINE = ("method", "fusion", "objective")


def line_of(run: Run) -> Line:
    """Return the line of a comparison that a run belongs to."""
    return run.method, run.fusion, run.objective


@dataclass(frozen=True)
class Measure:
    """Say how a metric is shown.

    Args:
        title: with its unit.
        of: a result -> its value in that unit.
        less_is_better: whether the best is the least.
        digits: behind the point.
    """

    title: str
    of: Callable[[Result], float]
    less_is_better: bool
    digits: int


ACCURACY = Measure("Accuracy, %", lambda result: 100 * result.test.metrics.accuracy, less_is_better=False, digits=1)
NLL = Measure("NLL, nats", lambda result: result.test.metrics.nll, less_is_better=True, digits=3)


def values_of(
    results: Sequence[Result], of: Callable[[Result], float], line: Callable[[Run], Line] = line_of
) -> Values:
    """Return the values of results by the place where they stand, in the order in which the results come."""
    values: dict[tuple[Line, Column], list[float]] = defaultdict(list)
    for result in results:
        values[line(result.run), (result.run.missing, result.run.rate)].append(of(result))
    return values


def deviation(values: Sequence[float] | np.ndarray) -> float:
    """Return the standard deviation of a sample (n - 1); NaN for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Cell:
    """Hold one cell of a table.

    Args:
        mean, deviation, n: mean, standard deviation (NaN for one value) and number of the values.
        best: no other line's mean is better in this column.
        digits: behind the point.
        paper: the paper's value, or None.
    """

    mean: float
    deviation: float
    n: int
    best: bool
    digits: int
    paper: float | None = None

    @property
    def text(self) -> str:
        """Return mean and deviation, such as ``92.1 ± 1.3``."""
        spread = "" if np.isnan(self.deviation) else f" ± {self.deviation:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread}"

    @property
    def difference(self) -> str:
        """Return ours minus the paper's, such as ``+0.4``; "" without the paper's."""
        return "" if self.paper is None else f"{self.mean - self.paper:+.1f}"


@dataclass(frozen=True)
class Grid:
    """Hold a table: a row per line, a column per (missing, rate).

    Args:
        title: over it.
        heads: over the names of a line.
        columns: (missing, rate).
        rows: line -> its cells, None where nothing was run.
        has_paper: whether the paper's value stands beside ours, or a dash where it has none.
        compared: whether that is of the same thing, so that the difference says something.
        agreement: Kendall's tau of each column between our order and the paper's; None where fewer than two lines have
            both numbers. Empty without the paper.
        spread: what stands behind ± in the cells.
    """

    title: str
    heads: tuple[str, ...]
    columns: list[Column]
    rows: dict[Line, list[Cell | None]]
    has_paper: bool = False
    compared: bool = False
    agreement: Sequence[float | None] = ()
    spread: str = "standard deviation"

    @property
    def spans(self) -> list[tuple[str, list[float]]]:
        """Return neighbouring columns of one missing modality: (missing, its rates)."""
        return [(name, [rate for _, rate in group]) for name, group in groupby(self.columns, key=itemgetter(0))]

    @property
    def told(self) -> list[int]:
        """Return which names of a line tell lines apart: the first, and those that differ."""
        return [i for i in range(len(self.heads)) if i == 0 or len({line[i] for line in self.rows}) > 1]

    def counts(self, line: Line) -> str:
        """Return how many values stand behind the cells of a line: ``5`` or ``3-5``."""
        found = sorted({cell.n for cell in self.rows[line] if cell})
        return f"{found[0]}" if len(found) == 1 else f"{found[0]}-{found[-1]}"


def cells_of(values: Values, columns: Sequence[Column], measure: Measure) -> dict[Line, list[Cell | None]]:
    """Return line -> its cells; the best of a column is marked, the upper bound out of competition."""
    means = {place: float(np.mean(found)) for place, found in values.items()}
    choose = min if measure.less_is_better else max
    rivals = {c: [m for (line, column), m in means.items() if column == c and line[0] != UPPER_BOUND] for c in columns}
    best = {column: choose(found) for column, found in rivals.items() if found}

    def cell(line: Line, column: Column) -> Cell | None:
        if (line, column) not in means:
            return None
        found, mean = values[line, column], means[line, column]
        is_best = line[0] != UPPER_BOUND and mean == best[column]
        return Cell(mean, deviation(found), len(found), is_best, measure.digits)

    return {line: [cell(line, column) for column in columns] for line in dict.fromkeys(line for line, _ in values)}


def grid_of(results: Sequence[Result], measure: Measure) -> Grid:
    """Return the table of a measure, lines and columns in the order in which the results come."""
    values = values_of(results, measure.of)
    columns = list(dict.fromkeys(column for _, column in values))
    return Grid(measure.title, LINE, columns, cells_of(values, columns, measure))


def markdown(grid: Grid) -> str:
    """Return a table as Markdown: mean and standard deviation over n seeds, the best in bold."""
    paper = " [paper, difference]" if grid.compared else " [paper]"
    told = f"mean ± {grid.spread}" + (paper if grid.has_paper else "")
    header = [*grid.heads, *(column_title(*column) for column in grid.columns), "n"]
    lines = [f"{grid.title} ({told})", "", _row(header), _row(["---"] * len(header))]
    for line, cells in grid.rows.items():
        lines.append(_row([*line, *(_cell(cell, grid) for cell in cells), grid.counts(line)]))
    if grid.agreement:
        taus = ["" if tau is None else f"{tau:.2f}" for tau in grid.agreement]
        lines.append(_row(["Kendall's tau", *[""] * (len(grid.heads) - 1), *taus, ""]))
    return "\n".join(lines) + "\n"


def column_title(missing: str, rate: float) -> str:
    """Return what a column is called, such as ``audio missing 80 %``."""
    return "as it is" if missing == "none" else f"{missing} missing {rate:.0%}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell | None, grid: Grid) -> str:
    if cell is None:
        return "not run"
    ours = f"**{cell.text}**" if cell.best else cell.text
    if not grid.has_paper:
        return ours
    paper = "-" if cell.paper is None else f"{cell.paper:.2f}"
    return f"{ours} [{paper}{f', {cell.difference}' if grid.compared and cell.difference else ''}]"


@dataclass(frozen=True)
class Rank:
    """Hold a line's place: mean rank by NLL and by accuracy over all columns and seeds, 1 is best."""

    line: Line
    nll_rank: float
    accuracy_rank: float
    nll: float
    accuracy: float
    seconds: float


def ranking(results: Sequence[Result]) -> list[Rank]:
    """Return lines by mean rank in NLL, ties by NLL; ties share their ranks. The upper bound, no method, has no rank.

    Where runs failed, only the (missing, rate, seed) that every line has finished count, if there are any.
    """
    cells: dict[tuple[str, float, int], list[Result]] = defaultdict(list)
    for result in results:
        if result.run.method != UPPER_BOUND:
            cells[result.run.missing, result.run.rate, result.run.seed].append(result)
    n_lines = len({line_of(result.run) for mine in cells.values() for result in mine})
    common = [mine for mine in cells.values() if len(mine) == n_lines]
    values: dict[Line, list[tuple[float, ...]]] = defaultdict(list)
    for mine in common or cells.values():
        by_nll = rankdata([result.test.metrics.nll for result in mine])
        by_accuracy = rankdata([-result.test.metrics.accuracy for result in mine])
        for result, first, second in zip(mine, by_nll, by_accuracy, strict=True):
            metrics = result.test.metrics
            values[line_of(result.run)].append((first, second, metrics.nll, metrics.accuracy, result.seconds))
    ranks = [Rank(line, *np.mean(found, axis=0).tolist()) for line, found in values.items()]
    return sorted(ranks, key=lambda rank: (rank.nll_rank, rank.nll))


def not_told_apart(results: Sequence[Result]) -> list[Line]:
    """Return the lines, but the first, whose NLL cannot be told apart from the first one's, in the order of ranks.

    Means over the cells that both finished, with the seed as the unit: a line counts as told apart where the 95 %
    interval of the difference leaves out 0; of one seed none is.
    """
    first, *others = ranking(results)
    by_line: dict[Line, dict[tuple[str, float, int], float]] = defaultdict(dict)
    for result in results:
        cell = result.run.missing, result.run.rate, result.run.seed
        by_line[line_of(result.run)][cell] = result.test.metrics.nll
    found = []
    for other in others:
        mine, theirs = by_line[first.line], by_line[other.line]
        cells = sorted(mine.keys() & theirs.keys())
        ours, their = (np.array([values[cell] for cell in cells]) for values in (mine, theirs))
        if not cells or not paired_difference(ours, their, np.array([cell[2] for cell in cells])).told_apart:
            found.append(other.line)
    return found
