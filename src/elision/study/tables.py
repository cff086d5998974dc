"""Results as tables: a row per run for machines, means and deviations for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from elision.study.run import UPPER_BOUND

COLUMNS = (
    "data", "method", "fusion", "objective", "missing", "rate", "seed", "n_train", "n_complete", "n_test",
    "accuracy", "nll", "ece", "brier", "seconds",
)  # fmt: skip
METRICS = {"accuracy": False, "nll": True, "ece": True, "brier": True}
"""metric -> whether less is better."""
COMPLETE = "as they are"


def results_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per run, the columns of ``results.csv``: test samples as they are."""
    rows = []
    for result in results:
        values = result["run"] | result["metrics"] | result
        rows.append({c: values[c] for c in COLUMNS if c != "n_test"} | {"n_test": result["metrics"]["n"]})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def pattern_table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per run and set of test samples: as they are, and with each modality removed."""
    rows = []
    for result in results:
        tests = {COMPLETE: result["metrics"]} | {f"without {m}": v for m, v in result["removed"].items()}
        rows += [result["run"] | {"test": test} | metrics for test, metrics in tests.items()]
    columns = ["data", "method", "fusion", "objective", "missing", "rate", "seed", "test", *METRICS, "n"]
    return pd.DataFrame(rows)[columns]


@dataclass(frozen=True)
class Cell:
    """A metric over seeds.

    Args:
        mean, deviation, n: mean, standard deviation (NaN for one value) and number of the values.
        best: whether no other line's mean is better in this column.
    """

    mean: float
    deviation: float
    n: int
    best: bool

    def text(self, percent: bool) -> str:
        """Such as ``92.1 ± 1.3`` or ``0.284 ± 0.021``."""
        scale, digits = (100, 1) if percent else (1, 3)
        spread = "" if np.isnan(self.deviation) else f" ± {self.deviation * scale:.{digits}f}"
        return f"{self.mean * scale:.{digits}f}{spread}"


@dataclass(frozen=True)
class Grid:
    """One metric, a row per line (method, fusion, objective) and a column per (missing, rate)."""

    columns: list[tuple[str, float]]
    rows: dict[tuple[str, str, str], list[Cell | None]]

    @property
    def spans(self) -> list[tuple[str, list[float]]]:
        """Neighbouring columns of one missing modality: (missing, its rates)."""
        return [(name, [rate for _, rate in group]) for name, group in groupby(self.columns, key=itemgetter(0))]

    @classmethod
    def of(cls, table: pd.DataFrame, metric: str) -> "Grid":
        """From a table with a row per run."""
        columns = list(dict.fromkeys(zip(table["missing"], table["rate"], strict=True)))
        groups = table.groupby(["method", "fusion", "objective", "missing", "rate"], sort=False)[metric]
        stats = groups.agg(["mean", "std", "count"]).to_dict("index")
        choose: Callable = min if METRICS[metric] else max
        rivals = {k: v["mean"] for k, v in stats.items() if k[0] != UPPER_BOUND}
        best = {c: choose((v for k, v in rivals.items() if k[3:] == c), default=None) for c in columns}
        lines = dict.fromkeys(key[:3] for key in stats)
        rows = {
            line: [
                Cell(s["mean"], s["std"], int(s["count"]), s["mean"] == best[c] and line[0] != UPPER_BOUND)
                if (s := stats.get((*line, *c)))
                else None
                for c in columns
            ]
            for line in lines
        }
        return cls(columns, rows)


@dataclass(frozen=True)
class Rank:
    """A line's place: mean rank by NLL and by accuracy over all columns and seeds, 1 is best."""

    line: tuple[str, str, str]
    nll_rank: float
    accuracy_rank: float
    nll: float
    accuracy: float
    seconds: float


def ranking(table: pd.DataFrame) -> list[Rank]:
    """Return lines by mean rank in NLL, ties by NLL; ties share their ranks. The upper bound, no method, has no rank.

    Where runs failed, only the (missing, rate, seed) that every line has finished count, if there are any.
    """
    lines = ["method", "fusion", "objective"]
    table = table[table["method"] != UPPER_BOUND]
    finished = table.groupby(["missing", "rate", "seed"])["method"].transform("size")
    common = table[finished == len(table[lines].drop_duplicates())]
    table = common if len(common) else table
    cell = table.groupby(["missing", "rate", "seed"], sort=False)
    ranked = table.assign(nll_rank=cell["nll"].rank(), accuracy_rank=cell["accuracy"].rank(ascending=False))
    means = ranked.groupby(lines, sort=False)[["nll_rank", "accuracy_rank", "nll", "accuracy", "seconds"]].mean()
    return [Rank(line, *values) for line, *values in means.sort_values(["nll_rank", "nll"]).itertuples()]


def column_title(missing: str, rate: float) -> str:
    """Such as ``audio missing 80 %``."""
    return "as it is" if missing == "none" else f"{missing} missing {rate:.0%}"


def markdown(table: pd.DataFrame) -> str:
    """``table.md``: accuracy in per cent and NLL in nats, mean and standard deviation over n seeds, best in bold."""
    parts = []
    for metric, title in (("accuracy", "Accuracy, %"), ("nll", "NLL, nats")):
        grid = Grid.of(table, metric)
        header = ["method", "fusion", "objective", *(column_title(*c) for c in grid.columns), "n"]
        lines = [f"{title} (mean ± standard deviation)", "", row(header), row(["---"] * len(header))]
        for line, cells in grid.rows.items():
            texts = [_bold(c.text(metric == "accuracy"), c.best) if c else "" for c in cells]
            lines.append(row([*line, *texts, counts(cells)]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def counts(cells: Sequence[Any]) -> str:
    """The numbers of values ``n`` of cells, some of which may be None: ``5`` or ``3-5``."""
    found = sorted({c.n for c in cells if c})
    return str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"
