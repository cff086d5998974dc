"""What the numbers of the paper's tables say: who is above whom, how surely, and what another split makes of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from elision.study.paper import ROWS
from elision.study.paper_tables import LINE, Filled


@dataclass(frozen=True)
class Versus:
    """Two rows, compared on the same samples.

    Args:
        table, ours, theirs: the rows' titles.
        difference: mean of the accuracy of ours minus theirs, in points of per cent.
        wins, ties, losses: of (column, seed) pairs.
        p: two-sided, of no difference; None for fewer than two seeds, or no variation.
        seeds: pairs of the test.
    """

    table: str
    ours: str
    theirs: str
    difference: float
    wins: int
    ties: int
    losses: int
    p: float | None
    seeds: int


def comparisons(frame: pd.DataFrame, split: str) -> list[Versus]:
    """Ours against each other method, and joint against ours, over the columns and seeds that both have.

    The test is the corrected resampled t-test (Nadeau and Bengio 2003) over seeds, of the difference averaged over
    columns: training sets of different seeds overlap, so a plain t-test would be too sure.
    """
    found = []
    for name, part in frame[frame["split"] == split].groupby("table"):
        index = ["block", "missing", "rate", "seed"]
        wide = part.pivot_table(values="accuracy", index=index, columns=LINE) * 100
        lines = [line for line in ROWS if line in wide.columns]
        pairs = [(("mle", "conditional"), line) for line in lines if line[0] != "mle"]
        pairs += [(("mle", "joint"), line) for line in lines if line != ("mle", "joint")]
        overlap = float((part["n_test"] / part["n_train"]).mean())
        for ours, theirs in pairs:
            if ours in lines:
                both = wide[[ours, theirs]].dropna()
                if len(both):
                    found.append(_versus(name, ours, theirs, both[ours] - both[theirs], overlap))
    return found


def _versus(table: str, ours: tuple, theirs: tuple, differences: pd.Series, overlap: float) -> Versus:
    from scipy.stats import t as student

    per_seed = differences.groupby("seed").mean()
    n, p = len(per_seed), None
    if n > 1 and per_seed.var() > 0:
        statistic = per_seed.mean() / np.sqrt((1 / n + overlap) * per_seed.var())
        p = float(2 * student.sf(abs(statistic), n - 1))
    close = differences.abs() < 1e-9
    wins = int(((differences > 0) & ~close).sum())
    ties, losses = int(close.sum()), int(((differences < 0) & ~close).sum())
    return Versus(table, ROWS[ours].title, ROWS[theirs].title, float(differences.mean()), wins, ties, losses, p, n)


def means_by_split(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(table, row title) -> split -> mean accuracy in per cent over all its cells and seeds."""
    means = frame.groupby(["table", *LINE, "split"])["accuracy"].mean() * 100
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line, row in ROWS.items():
        for (table, *rest, split), mean in means.items():
            if tuple(rest) == line:
                found.setdefault((table, row.title), {})[split] = mean
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


@dataclass(frozen=True)
class Orders:
    """How often rows follow each other as in the paper.

    Args:
        columns: that have our numbers and the paper's of at least two methods.
        whole: in which our order of the paper's methods is the paper's.
        steps: (upper, lower) of the table's rows -> (columns in which ours has it so, columns with both).
    """

    columns: int
    whole: int
    steps: dict[tuple[str, str], tuple[int, int]]


def orders(filled: Filled) -> Orders:
    """Over all columns of a table."""
    columns, whole, counts = 0, 0, {}
    for panel in filled.panels:
        for cells in zip(*panel.rows.values(), strict=True):
            both = {t: c for t, c in zip(panel.rows, cells, strict=True) if c and c.paper is not None}
            if len(both) < 2:
                continue
            columns += 1
            ranked = sorted(both.values(), key=lambda c: -c.paper)
            whole += all(a.mean > b.mean for a, b in pairwise(ranked))
            for lower, upper in pairwise(both):
                hits, n = counts.get((upper, lower), (0, 0))
                counts[upper, lower] = hits + (both[upper].mean > both[lower].mean), n + 1
    return Orders(columns, whole, dict(reversed(counts.items())))
