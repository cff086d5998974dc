"""What the numbers of the paper's tables say: who is above whom, how surely, and what another split makes of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elision.study.paper import JOINT, ROWS
from elision.study.paper_tables import by_table
from elision.study.results import Result
from elision.study.run import SPLITS
from elision.study.tables import Line

OURS = ("mle", "conditional")
_Place = tuple[str, str, float, int]
"""Where rows are compared: block, what is missing, rate, seed."""


@dataclass(frozen=True)
class Versus:
    """Compare two rows on the same samples.

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


def comparisons(results: Sequence[Result]) -> list[Versus]:
    """Compare ours with each other method, and joint with all, over the columns and seeds that both have.

    The test is the corrected resampled t-test (Nadeau and Bengio 2003) over seeds, of the difference averaged over
    columns: training sets of different seeds overlap, so a plain t-test would be too sure.
    """
    found = []
    for table, mine in by_table(results).items():
        accuracy: dict[Line, dict[_Place, float]] = defaultdict(dict)
        for result in mine:
            run = result.run
            place = run.block, run.missing, run.rate, run.seed
            accuracy[run.method, run.objective][place] = 100 * result.test.metrics.accuracy
        lines = [line for line in ROWS if line in accuracy]
        pairs = [(OURS, line) for line in lines if line[0] != OURS[0]]
        pairs += [(("mle", JOINT), line) for line in lines if line != ("mle", JOINT)]
        overlap = float(np.mean([result.test.metrics.n / result.n_train for result in mine]))
        for ours, theirs in pairs:
            common = [place for place in accuracy.get(ours, {}) if place in accuracy[theirs]]
            if common:
                differences = {place: accuracy[ours][place] - accuracy[theirs][place] for place in common}
                found.append(_versus(table, ROWS[ours].title, ROWS[theirs].title, differences, overlap))
    return found


def _versus(table: str, ours: str, theirs: str, differences: Mapping[_Place, float], overlap: float) -> Versus:
    from scipy.stats import t as student

    by_seed: dict[int, list[float]] = defaultdict(list)
    for place, difference in differences.items():
        by_seed[place[-1]].append(difference)
    means = np.array([np.mean(values) for values in by_seed.values()])
    n, p = len(means), None
    if n > 1 and means.var() > 0:
        statistic = means.mean() / np.sqrt((1 / n + overlap) * means.var(ddof=1))
        p = float(2 * student.sf(abs(statistic), n - 1))
    values = np.array(list(differences.values()))
    wins, losses = int((values > 1e-9).sum()), int((values < -1e-9).sum())
    return Versus(table, ours, theirs, float(values.mean()), wins, len(values) - wins - losses, losses, p, n)


def means_by_split(results: Sequence[Result]) -> dict[tuple[str, str], dict[str, float]]:
    """Return (table, row title) -> split -> mean accuracy in per cent over all its cells and seeds."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for table, mine in by_table(results).items():
        for line, row in ROWS.items():
            for result in mine:
                if (result.run.method, result.run.objective) == line:
                    splits = found.setdefault((table, row.title), {})
                    splits.setdefault(SPLITS[result.run.by_group], []).append(100 * result.test.metrics.accuracy)
    return {
        place: {split: float(np.mean(values)) for split, values in splits.items()} for place, splits in found.items()
    }
