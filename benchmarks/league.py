"""The league table: every method of Elision and every rival, on real data, on the same samples.

    pip install -e '.[rivals]'
    python -m benchmarks.manifests ../shared/data data
    python -m benchmarks.league data --out results/league

Data: RAVDESS six classes (random split, and by actor), digits, mfeat (views fou, zer, mor, and all six). Missing in
training: one modality at 50, 80, 95 % (each of the two, where there are two; fou of mfeat) and any at 50 and 80 %. Five
seeds, seed by seed, so that an interrupted league is a smaller one. Test data complete, and with each modality removed.
Elision's lines are the estimator's defaults (encoders and objective averaged) under addition. Every line may use the
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
from benchmarks.rivals.lines import RIVALS
from elision.data import load
from elision.experiments.run import UPPER_BOUND, Run, execute
from elision.experiments.runner import run_grid
from elision.experiments.tables import METRICS
from elision.experiments.watch import watching
from elision.files import write_atomically
from elision.methods import METHODS

RATES = (0.5, 0.8, 0.95)
ANY_RATES = (0.5, 0.8)
OURS = "mle"


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
    """Seed by seed, cell by cell, line by line."""
    lines = [(m, "addition", "auto", "auto") for m in (*METHODS, UPPER_BOUND)] + [(r, "-", "-", "-") for r in RIVALS]
    lines = [line for line in lines if not only or line[0] in only]
    runs = []
    for seed in range(seeds):
        for _, source, by_group, removable in data_sets(folder):
            data = load(source)
            mark = data.fingerprint()
            cells = [(m, rate) for m in removable for rate in RATES] + [("any", rate) for rate in ANY_RATES]
            runs += [
                Run(source, data.name, mark, by_group, *line, missing, rate, seed)
                for missing, rate in cells
                for line in lines
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
                "method": run["method"],
                **{k: r["metrics"][k] for k in METRICS},
                **removed,
                "seconds": r["seconds"],
            }
        )
    return pd.DataFrame(rows)


CELL = ["data", "missing", "rate"]


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


def overall(frame: pd.DataFrame) -> pd.DataFrame:
    """Per method: mean ranks over (cell, seed) and means; the upper bound, no method, is left out of the ranks."""
    methods = frame[frame["method"] != UPPER_BOUND]
    cell = methods.groupby([*CELL, "seed"])
    ranked = methods.assign(
        **{f"rank {m}": cell[m].rank(ascending=m != "accuracy") for m in ("nll", "accuracy", "nll_removed")}
    )
    columns = ["rank nll", "rank accuracy", "rank nll_removed", "accuracy", "nll", "ece", "accuracy_removed",
               "nll_removed", "seconds"]  # fmt: skip
    table = ranked.groupby("method")[columns].mean()
    best = table["rank nll"].idxmin()
    for metric in ("accuracy", "nll"):
        # one difference per cell (seeds averaged), and Student's interval over cells: seeds of a cell share test data
        wide = methods.pivot_table(index=CELL, columns="method", values=metric)
        differences = wide.sub(wide[best], axis=0)
        half = differences.sem() * student.ppf(0.975, len(wide) - 1)
        table[f"{metric} - {best}"] = [
            "" if m == best else f"{differences[m].mean():+.3f} ± {half[m]:.3f}" for m in table.index
        ]
    return table.sort_values("rank nll")


def markdown(frame: pd.DataFrame) -> str:
    """The overall table, and one table per data set: accuracy / NLL / ECE, mean ± standard error over seeds."""
    parts = []
    for title, part in fair(frame).items():
        pairs, cells = part.groupby([*CELL, "seed"]).ngroups, part.groupby(CELL).ngroups
        parts += [f"### {title}: {cells} cells, {pairs} (cell, seed) pairs, {len(part)} fits", ""]
        parts += [_table(overall(part).reset_index()), ""]
    order = frame[frame["method"] != UPPER_BOUND].groupby("method")["nll"].mean().sort_values().index
    for data, part in frame.groupby("data", sort=False):
        groups = part.groupby(["method", "missing", "rate"], sort=False)[["accuracy", "nll", "ece"]]
        mean, error = groups.mean(), groups.sem()
        columns = list(dict.fromkeys(zip(part["missing"], part["rate"], strict=True)))
        rows = []
        for method in [*order, UPPER_BOUND]:
            counted = part[part["method"] == method].groupby(["missing", "rate"]).size()
            cells = {
                "method": method,
                "n": "-".join(map(str, sorted({counted.min(), counted.max()}))) if len(counted) else "0",
            }
            for column in columns:
                key = (method, *column)
                text = "" if key not in mean.index else (
                    f"{mean.loc[key, 'accuracy']:.3f} ± {error.loc[key, 'accuracy']:.3f} / "
                    f"{mean.loc[key, 'nll']:.3f} ± {error.loc[key, 'nll']:.3f} / {mean.loc[key, 'ece']:.3f}"
                )  # fmt: skip
                cells[f"{column[0]} {column[1]:.0%}"] = text
            rows.append(cells)
        parts += ["", f"### {data}: accuracy / NLL / ECE over n seeds", "", _table(pd.DataFrame(rows))]
    return "\n".join(parts) + "\n"


def _table(frame: pd.DataFrame) -> str:
    def text(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(text, row)) + " |" for row in rows)


def critical_difference(frame: pd.DataFrame, path: Path) -> None:
    """Mean ranks over cells, and the Nemenyi test's critical difference at 5 % (Demsar 2006)."""
    from matplotlib import pyplot as plt

    methods = frame[frame["method"] != UPPER_BOUND]
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.34 * methods["method"].nunique() + 1.4), layout="constrained")
    for axis, (metric, title) in zip(axes, (("nll", "NLL"), ("accuracy", "accuracy")), strict=True):
        means = methods.pivot_table(index=CELL, columns="method", values=metric)
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
