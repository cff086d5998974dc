"""The league's tables and its figure, from a row per (cell, seed, line).

Ranks and means are over (cell, seed) pairs. Seeds split the same samples anew, so that they say how sure a difference
is on that data, and not on other data: the intervals of the overall differences take the data set as their unit.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import studentized_range
from scipy.stats import t as student

from elision.registries import METHODS
from elision.study.run import UPPER_BOUND

CELL = ["data", "missing", "rate"]
PAIR = [*CELL, "seed"]
RANKED = ("nll", "accuracy", "nll_removed")
COMPARED = ("nll", "accuracy", "nll_removed", "accuracy_removed")


def fair(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """title -> samples on which every line of the table was run: an unfinished league has two such tables.

    All lines on the (cell, seed) pairs that all have finished; and, if that is not all, the lines that have finished
    every pair.
    """
    pairs = frame.groupby(PAIR)
    everyone = frame[pairs["method"].transform("nunique") == frame["method"].nunique()]
    if len(everyone) == len(frame):
        return {"All lines": frame}
    finished = frame.groupby("method").size()
    done = frame[frame["method"].isin(finished[finished == pairs.ngroups].index)]
    titles = {"All lines, on the samples that all have finished": everyone, "Lines that have finished": done}
    return {title: part for title, part in titles.items() if len(part)}


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Ranks within each (cell, seed), 1 is best, in columns ``rank *``; without the upper bound, which is no method."""
    methods = frame[frame["method"] != UPPER_BOUND]
    pair = methods.groupby(PAIR)
    return methods.assign(**{f"rank {m}": pair[m].rank(ascending=m != "accuracy") for m in RANKED})


def overall(frame: pd.DataFrame) -> pd.DataFrame:
    """Per method: mean ranks, mean metrics and median seconds over (cell, seed), the best by NLL first."""
    columns = [*(f"rank {m}" for m in RANKED), "accuracy", "nll", "ece", "accuracy_removed", "nll_removed"]
    methods = ranked(frame).groupby("method")
    return methods[columns].mean().assign(seconds=methods["seconds"].median()).sort_values("rank nll")


def differences(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Each line minus the first by NLL, a row per (cell, seed) and a column per line."""
    best = overall(frame).index[0]
    wide = frame[frame["method"] != UPPER_BOUND].pivot_table(index=PAIR, columns="method", values=metric)
    return wide.sub(wide[best], axis=0).drop(columns=best)


def interval_over_data(differences: pd.DataFrame) -> pd.DataFrame:
    """Mean of each column, and half its 95 % interval with the data set as the unit (cluster-robust, t); by line."""
    n_pairs = differences.groupby("data").size()
    n_data, shares = len(n_pairs), n_pairs / len(differences)
    mean = differences.mean()
    apart = differences.groupby("data").mean() - mean
    variance = apart.pow(2).mul(shares**2, axis=0).sum() * n_data / max(n_data - 1, 1)
    half = variance**0.5 * student.ppf(0.975, n_data - 1) if n_data > 1 else variance * np.nan
    return pd.DataFrame({"mean": mean, "half": half})


def interval_over_seeds(differences: pd.DataFrame) -> pd.DataFrame:
    """As `interval_over_data`, of one data set with its seeds as the unit."""
    seeds = differences.groupby("seed").mean()
    half = seeds.sem() * (student.ppf(0.975, len(seeds) - 1) if len(seeds) > 1 else np.nan)
    return pd.DataFrame({"mean": seeds.mean(), "half": half})


def markdown(frame: pd.DataFrame, left_out: Sequence[str] = ()) -> str:
    """Ranks, differences, and two tables per data set: test data complete, and with a modality missing."""
    parts = [f"* {line}" for line in left_out] + [""] * bool(left_out)
    for title, part in fair(frame).items():
        parts += _overall(title, part)
    order = frame[frame["method"] != UPPER_BOUND].groupby("method")["nll"].mean().sort_values().index
    lines = [*order, *([UPPER_BOUND] if (frame["method"] == UPPER_BOUND).any() else [])]
    for data, part in frame.groupby("data", sort=False):
        for title, metrics in (
            ("test data complete: accuracy / NLL / ECE", ["accuracy", "nll", "ece"]),
            ("test data lacking one modality, mean over which: accuracy / NLL", ["accuracy_removed", "nll_removed"]),
        ):
            parts += [f"### {data}, {title}", "", table(_cells(part, lines, metrics)), ""]
    return "\n".join(parts)


def _overall(title: str, part: pd.DataFrame) -> list[str]:
    pairs, cells, data = part.groupby(PAIR).ngroups, part.groupby(CELL).ngroups, part["data"].unique()
    ranks = overall(part)
    best, order = ranks.index[0], ranks.index[1:]
    whole = {m: interval_over_data(differences(part, m)).loc[order] for m in COMPARED}
    nll = differences(part, "nll")
    each = {name: interval_over_seeds(nll.loc[name]).loc[order] for name in data}
    return [
        f"### {title}: {cells} cells, {pairs} (cell, seed) pairs",
        "",
        "Mean ranks and means over the pairs, median seconds of a fit; removed: the same test samples with one "
        "modality taken away, mean over which.",
        "",
        table(ranks.reset_index()),
        "",
        f"Minus {best} on the same samples, with 95 % intervals that take the {len(data)} data sets as their unit:",
        "",
        table(_texts(whole)),
        "",
        f"NLL minus that of {best} on each data set, with 95 % intervals over its seeds, which share its samples:",
        "",
        table(_texts(each)),
        "",
        "Mean ranks on each data set: NLL / accuracy / NLL with a modality taken away",
        "",
        table(_ranks_by_data(part)),
        "",
    ]


def _texts(columns: dict[str, pd.DataFrame]) -> pd.DataFrame:
    texts = {name: [with_error(*row, "+") for row in frame.to_numpy()] for name, frame in columns.items()}
    index = next(iter(columns.values())).index
    return pd.DataFrame(texts, index=index).reset_index(names="method")


def _ranks_by_data(frame: pd.DataFrame) -> pd.DataFrame:
    means = ranked(frame).groupby(["method", "data"], sort=False)[[f"rank {m}" for m in RANKED]].mean()
    text = means.map("{:.1f}".format).agg(" / ".join, axis=1).unstack("data")
    return text.loc[overall(frame).index, frame["data"].unique()].reset_index()


def _cells(part: pd.DataFrame, lines: list[str], metrics: list[str]) -> pd.DataFrame:
    """A row per line, a column per (missing, rate): mean ± standard error over seeds of each metric."""
    groups = part.groupby(["method", "missing", "rate"], sort=False)[metrics]
    mean, error, count = groups.mean(), groups.sem(), groups.size()
    columns = list(dict.fromkeys(zip(part["missing"], part["rate"], strict=True)))
    rows = []
    for line in lines:
        seeds = sorted({int(count.get((line, *column), 0)) for column in columns})
        row = {"method": line, "n": "-".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))}
        for column in columns:
            key = (line, *column)
            row[f"{column[0]} {column[1]:.0%}"] = (
                " / ".join(with_error(mean.loc[key, m], error.loc[key, m]) for m in metrics)
                if key in mean.index
                else ""
            )
        rows.append(row)
    return pd.DataFrame(rows)


def with_error(value: float, error: float, sign: str = "-") -> str:
    """Such as ``0.123 ± 0.004``; of one value there is no error."""
    return f"{value:{sign}.3f}" + (f" ± {error:.3f}" if np.isfinite(error) else "")


def table(frame: pd.DataFrame) -> str:
    """As Markdown."""

    def text(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(text, row)) + " |" for row in rows)


def critical_difference(frame: pd.DataFrame, path: Path) -> None:
    """Mean ranks, and the Nemenyi test's critical difference at 5 % for as many data sets (Demsar 2006)."""
    from matplotlib import pyplot as plt

    ranks, n_data = overall(frame), frame["data"].nunique()
    k = len(ranks)
    width = studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n_data))
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.34 * k + 1.6), layout="constrained")
    for axis, metric in zip(axes, ("nll", "accuracy"), strict=True):
        means = ranks[f"rank {metric}"].sort_values()
        colours = ["#0b6e99" if line.split(",")[0] in METHODS else "#9aa5b1" for line in means.index]
        axis.barh(range(k), means, color=colours, height=0.6)
        axis.axvspan(means.iloc[0], min(means.iloc[0] + width, k), color="#0b6e99", alpha=0.12, zorder=0)
        axis.set_yticks(range(k), means.index)
        axis.set_xlim(0, k)
        axis.invert_yaxis()
        axis.set_xlabel(f"mean rank by {metric if metric == 'accuracy' else 'NLL'}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Elision's methods in blue. Shaded: not told from the first at 5 %, by {n_data} data sets", fontsize=10
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)
