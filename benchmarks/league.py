"""The league table: every method of Elision and every rival, on real data, on the same samples.

    pip install -e '.[rivals]'
    python -m benchmarks.manifests ../shared/data data
    python -m benchmarks.league data --out results/league

Data: RAVDESS six classes (random split, and by actor), digits, mfeat (views fou, zer, mor, and all six). Missing in
training: one modality at 50, 80, 95 % (each of the two, where there are two; fou of mfeat) and any at 50 and 80 %. Five
seeds, seed by seed, the quick lines first, so that an interrupted league is a smaller one. Test data complete, and with
each modality removed. Elision's lines are the estimator's defaults (encoders and objective averaged) under addition,
late fusion also under concatenation, where its classifiers share nothing. Every line may use the
validation part to stop, weigh or choose among at most three settings; none is trained on it.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import studentized_range
from scipy.stats import t as student

from benchmarks.rivals import execute_rival
from benchmarks.rivals.lines import RIVALS, not_installed
from elision.data import load
from elision.experiments.run import UPPER_BOUND, Run, execute
from elision.experiments.runner import run_grid
from elision.experiments.tables import METRICS
from elision.experiments.watch import watching
from elision.files import write_atomically
from elision.methods import METHODS

RATES = (0.5, 0.8, 0.95)
ANY_RATES = (0.5, 0.8)
SLOW = ("ae1", "ae2", UPPER_BOUND, "HistGradientBoosting", "LightGBM", "imml M3Care", "imml MUSE")


def data_sets(folder: Path) -> list[tuple[str, str, bool, tuple[str, ...]]]:
    """(title, source, split by group, modalities to remove)."""
    ravdess = str(folder / "ravdess.csv")
    return [
        ("RAVDESS", ravdess, False, ("audio", "face")),
        ("RAVDESS by actor", ravdess, True, ("audio", "face")),
        ("digits", "digits", False, ("left", "right")),
        ("mfeat, 3 views", str(folder / "mfeat3.csv"), False, ("fou",)),
        ("mfeat, 6 views", str(folder / "mfeat.csv"), False, ("fou",)),
    ]


def plan(folder: Path, seeds: int, only: list[str] | None) -> list[Run]:
    """The quick lines, then the slow ones; seed by seed, cell by cell, line by line."""
    lines = [(m, "addition", "auto", "auto") for m in (*METHODS, UPPER_BOUND)] + [(r, "-", "-", "-") for r in RIVALS]
    lines.append(("late-fusion", "concatenation", "auto", "auto"))
    lines = [line for line in lines if (not only or line[0] in only) and line[0] not in not_installed()]
    runs = []
    for slow in (False, True):
        for seed in range(seeds):
            for _, source, by_group, removable in data_sets(folder):
                data = load(source)
                mark = data.fingerprint()
                cells = [(m, rate) for m in removable for rate in RATES] + [("any", rate) for rate in ANY_RATES]
                runs += [
                    Run(source, data.name, mark, by_group, *line, missing, rate, seed)
                    for missing, rate in cells
                    for line in lines
                    if (line[0] in SLOW) == slow and (line[0] != UPPER_BOUND or (missing, rate) == cells[0])
                ]
    return runs


def work(run: Run) -> dict:
    """A run of ours or of a rival."""
    warnings.filterwarnings("ignore", module="sklearn|lightgbm|imml")
    if run.method in RIVALS:
        return execute_rival(run, [lambda c=candidate: c(run.seed) for candidate in RIVALS[run.method]])
    return execute(run)


def results_frame(results: list[dict], folder: Path) -> pd.DataFrame:
    """A row per run; ``*_removed``: mean over the modalities that are removed at test time, one at a time."""
    titles = {(Path(source).stem, by_group): title for title, source, by_group, _ in data_sets(folder)}
    rows = []
    for r in results:
        run = r["run"]
        removed = {f"{k}_removed": float(np.mean([v[k] for v in r["removed"].values()])) for k in ("accuracy", "nll")}
        rows.append(
            {
                "data": titles[run["data"], run["by_group"]],
                "missing": run["missing"],
                "rate": run["rate"],
                "seed": run["seed"],
                "method": run["method"] if run["fusion"] in ("addition", "-") else f"{run['method']}, {run['fusion']}",
                **{k: r["metrics"][k] for k in METRICS},
                **removed,
                "seconds": r["seconds"],
            }
        )
    return pd.DataFrame(rows)


CELL = ["data", "missing", "rate"]
BLOCK = ["data", "seed"]
"""Cells of one data set and seed share their split: differences between lines are independent between these at best."""


def fair(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """title -> samples on which every line of the table was run: an unfinished league has two such tables.

    All lines on the (cell, seed) pairs that all have finished; and, if that is not all, the lines that have finished
    every pair.
    """
    pairs = frame.groupby([*CELL, "seed"])
    everyone = frame[pairs["method"].transform("nunique") == frame["method"].nunique()]
    finished = frame.groupby("method").size()
    done = frame[frame["method"].isin(finished[finished == pairs.ngroups].index)]
    titles = {"All lines, on the samples that all have finished": everyone, "Lines that have finished": done}
    return (
        {title: part for title, part in titles.items() if len(part)} if len(everyone) < len(frame) else {"All": frame}
    )


RANKED = ("nll", "accuracy", "nll_removed")


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Ranks within each (cell, seed), 1 is best, in columns ``rank *``; without the upper bound, which is no method."""
    methods = frame[frame["method"] != UPPER_BOUND]
    cell = methods.groupby([*CELL, "seed"])
    return methods.assign(**{f"rank {m}": cell[m].rank(ascending=m != "accuracy") for m in RANKED})


def by_data(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ranks on each data set: NLL / accuracy / NLL with a modality taken away."""
    means = ranked(frame).groupby(["method", "data"], sort=False)[[f"rank {m}" for m in RANKED]].mean()
    text = means.map("{:.1f}".format).agg(" / ".join, axis=1).unstack("data")
    order = means["rank nll"].groupby("method").mean().sort_values().index
    return text.loc[order, frame["data"].unique()].reset_index()


def overall(frame: pd.DataFrame) -> pd.DataFrame:
    """Per method: mean ranks over (cell, seed) and means."""
    methods = ranked(frame)
    columns = ["rank nll", "rank accuracy", "rank nll_removed", "accuracy", "nll", "ece", "accuracy_removed",
               "nll_removed", "seconds"]  # fmt: skip
    table = methods.groupby("method")[columns].mean()
    best = table["rank nll"].idxmin()
    for metric in ("accuracy", "nll"):
        wide = methods.pivot_table(index=BLOCK, columns="method", values=metric)
        differences = wide.sub(wide[best], axis=0)
        half = differences.sem() * student.ppf(0.975, len(wide) - 1)
        table[f"{metric} - {best}"] = [
            "" if m == best else _with_error(differences[m].mean(), half[m], "+") for m in table.index
        ]
    return table.sort_values("rank nll")


def markdown(frame: pd.DataFrame) -> str:
    """The overall table, and two per data set: test data complete, and with a modality missing."""
    parts = []
    for title, part in fair(frame).items():
        pairs, cells = part.groupby([*CELL, "seed"]).ngroups, part.groupby(CELL).ngroups
        parts += [f"### {title}: {cells} cells, {pairs} (cell, seed) pairs, {len(part)} fits", ""]
        parts += [_table(overall(part).reset_index()), ""]
        parts += [
            "Mean ranks by data set: NLL / accuracy / NLL with a modality taken away",
            "",
            _table(by_data(part)),
            "",
        ]
    order = frame[frame["method"] != UPPER_BOUND].groupby("method")["nll"].mean().sort_values().index
    lines = [*order, *([UPPER_BOUND] if (frame["method"] == UPPER_BOUND).any() else [])]
    for data, part in frame.groupby("data", sort=False):
        for title, metrics in (
            ("test data complete: accuracy / NLL / ECE", ["accuracy", "nll", "ece"]),
            ("test data lacking one modality, mean over which: accuracy / NLL", ["accuracy_removed", "nll_removed"]),
        ):
            parts += ["", f"### {data}, {title}", "", _table(_cells(part, lines, metrics))]
    return "\n".join(parts) + "\n"


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
                " / ".join(_with_error(mean.loc[key, m], error.loc[key, m]) for m in metrics)
                if key in mean.index
                else ""
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _with_error(value: float, error: float, sign: str = "-") -> str:
    """An error takes two samples."""
    return f"{value:{sign}.3f}" + (f" ± {error:.3f}" if np.isfinite(error) else "")


def _table(frame: pd.DataFrame) -> str:
    def text(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(text, row)) + " |" for row in rows)


def critical_difference(frame: pd.DataFrame, path: Path) -> None:
    """Mean ranks over (data set, seed) blocks, and the Nemenyi test's critical difference at 5 % (Demsar 2006)."""
    from matplotlib import pyplot as plt

    methods = frame[frame["method"] != UPPER_BOUND]
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.34 * methods["method"].nunique() + 1.4), layout="constrained")
    for axis, (metric, title) in zip(axes, (("nll", "NLL"), ("accuracy", "accuracy")), strict=True):
        means = methods.pivot_table(index=BLOCK, columns="method", values=metric)
        ranks = means.rank(axis=1, ascending=metric == "nll").mean().sort_values()
        k, n = len(ranks), len(means)
        difference = studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n))
        colours = ["#0b6e99" if m in METHODS else "#9aa5b1" for m in ranks.index]
        axis.barh(range(k), ranks, color=colours, height=0.6)
        axis.axvspan(ranks.iloc[0], ranks.iloc[0] + difference, color="#0b6e99", alpha=0.12, zorder=0)
        axis.set_yticks(range(k), ranks.index)
        axis.invert_yaxis()
        axis.set_xlabel(f"mean rank by {title} (shaded: not told from the first, 5 %)")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Run what is left, then write league.csv, league.md and league.png."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="methods")
    parser.add_argument("--report", action="store_true", help="run nothing: report what there is")
    options = parser.parse_args()
    for rival, why in not_installed().items():
        print(f"skipped: {rival}: {why}")
    runs = plan(options.folder, options.seeds, options.only)
    if options.report:
        paths = [options.out / "runs" / run.key / "result.json" for run in runs]
        results, failures = [json.loads(p.read_text()) for p in paths if p.is_file()], []
        failures = [json.loads(f.read_text()) for f in (options.out / "runs").glob("*/failure.json")]
    else:
        with watching(len(runs)) as watch:
            results, failures = run_grid(runs, options.out, options.workers, watch, work)
    frame = results_frame(results, options.folder)
    write_atomically(options.out / "league.csv", frame.to_csv(index=False))
    write_atomically(options.out / "league.md", markdown(frame))
    critical_difference(list(fair(frame).values())[-1], options.out / "league.png")
    print(markdown(frame))
    for failure in failures:
        print("failed:", failure["run"], failure["error"])


if __name__ == "__main__":
    main()
