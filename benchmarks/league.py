"""The league table: every method of Elision and every rival, on real data, on the same samples.

    pip install -e '.[rivals]'
    python -m benchmarks.manifests ../shared/data data
    python -m benchmarks.league data --out results/league

Data: RAVDESS six classes (random split, and by actor), digits, mfeat (views fou, zer, mor, and all six), spoken words
(digits, and letters). Missing in training: any modality at 50 and 80 %, and one at 50, 80, 95 % (each of the two, where
there are two; fou of mfeat; 80 % only of words). Five seeds, the strongest lines first and slow ones last, cells with
any pattern first, seed by seed, so that an interrupted league is a smaller one. Test data complete, and with each
modality removed. Elision's lines are the estimator's defaults (encoders averaged, and for mle modality dropout beside
the joint likelihood) under addition; mle also by its likelihood alone, late fusion also under concatenation, where its
classifiers share nothing. Every line may use the validation part to stop, weigh or choose among at most three settings;
none is trained on it.
"""

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.league_report import critical_difference, fair, markdown
from benchmarks.rivals import execute_rival
from benchmarks.rivals.lines import RIVALS, not_installed
from elision.data import load
from elision.files import write_atomically
from elision.registries import METHODS
from elision.study.execution import execute
from elision.study.results import METRICS, Result
from elision.study.run import UPPER_BOUND, Run, Training
from elision.study.runner import read_outcomes, run_grid
from elision.study.watch import watching

RATES = (0.5, 0.8, 0.95)
ANY_RATES = (0.5, 0.8)
FIRST = ("mle", "modality-dropout", "late-fusion", "zero-padding", "mean-imputation", "late fusion of SVCs")
PLAIN = ("addition", "auto", "all", "-")
"""What a line's name does not say of its fusion and objective."""
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
        ("words, digits", str(folder / "words_digit.csv"), False, ("mouth", "sound")),
        ("words, letters", str(folder / "words_letter.csv"), False, ("mouth", "sound")),
    ]


def plan(folder: Path, seeds: int, only: list[str] | None, titles: list[str] | None = None) -> list[Run]:
    """The strongest lines, the other quick ones, the slow ones; seed by seed, cell by cell, line by line."""
    lines = [(m, "addition", "auto", Training()) for m in (*METHODS, UPPER_BOUND)]
    lines.insert(1, ("mle", "addition", "joint", Training()))
    lines += [(r, "-", "-", Training("-")) for r in RIVALS]
    lines.append(("late-fusion", "concatenation", "auto", Training()))
    lines = [line for line in lines if (not only or line[0] in only) and line[0] not in not_installed()]
    runs = []
    chosen = [one for one in data_sets(folder) if not titles or one[0] in titles]
    sets = [(*one, data.name, data.fingerprint()) for one in chosen for data in [load(one[1])]]
    for tier, of_any, seed in product(range(3), (True, False), range(seeds)):
        for title, source, by_group, removable, name, mark in sets:
            rates = (0.8,) if title.startswith("words") else RATES
            single = [(m, rate) for m in removable for rate in rates]
            runs += [
                Run(source, name, mark, by_group, *line, missing, rate, seed)
                for missing, rate in ([("any", rate) for rate in ANY_RATES] if of_any else single)
                for line in lines
                if (line[0] not in FIRST) + (line[0] in SLOW) == tier
                and (line[0] != UPPER_BOUND or (missing, rate) == single[0])
            ]
    return runs


def work(run: Run) -> Result:
    """A run of ours or of a rival."""
    warnings.filterwarnings("ignore", module="sklearn|lightgbm|imml")
    if run.method in RIVALS:
        return execute_rival(run, [lambda c=candidate: c(run.seed) for candidate in RIVALS[run.method]])
    return execute(run)


def league_frame(results: list[Result], folder: Path) -> pd.DataFrame:
    """A row per run; ``*_removed``: mean over the modalities that are removed at test time, one at a time.

    The upper bound, from whose training data nothing is removed, is fitted once a seed and stands in every cell.
    """
    titles = {(Path(source).stem, by_group): title for title, source, by_group, _ in data_sets(folder)}
    rows = []
    for r in results:
        run, without = r.run, r.test.removed.values()
        removed = {f"{k}_removed": float(np.mean([getattr(v, k) for v in without])) for k in ("accuracy", "nll")}
        rows.append(
            {
                "data": titles[run.data, run.by_group],
                "missing": run.missing,
                "rate": run.rate,
                "seed": run.seed,
                "method": ", ".join([run.method, *(x for x in (run.fusion, run.objective) if x not in PLAIN)]),
                **{k: getattr(r.test.metrics, k) for k in METRICS},
                **removed,
                "seconds": r.seconds,
            }
        )
    frame = pd.DataFrame(rows)
    bound = frame[frame["method"] == UPPER_BOUND].drop(columns=["missing", "rate"])
    pairs = frame.loc[frame["method"] != UPPER_BOUND, ["data", "missing", "rate", "seed"]].drop_duplicates()
    return pd.concat([frame[frame["method"] != UPPER_BOUND], pairs.merge(bound, on=["data", "seed"])])[frame.columns]


def main() -> None:
    """Run what is left, then write league.csv, league.md and league.png."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="methods")
    titles = [title for title, *_ in data_sets(Path())]
    parser.add_argument("--data", nargs="*", choices=titles, help="only these data sets; default: all")
    parser.add_argument("--report", action="store_true", help="run nothing: report what there is")
    options = parser.parse_args()
    left_out = [f"skipped: {rival}: {why}" for rival, why in not_installed().items()]
    for line in left_out:
        print(line)
    runs = plan(options.folder, options.seeds, options.only, options.data)
    if options.report:
        results, failures = read_outcomes(options.out, ((run.key, run.title) for run in runs), Result.read)
    else:
        with watching(len(runs)) as watch:
            results, failures = run_grid(runs, options.out, options.workers, watch, work, revive=Result.read)
    if not any(result.run.method != UPPER_BOUND for result in results):
        parser.error(f"no run of a line but the upper bound is finished in {options.out}: nothing to report yet")
    left_out += [f"failed: {failure.run}: {failure.error}" for failure in failures]
    frame = league_frame(results, options.folder)
    write_atomically(options.out / "league.csv", frame.to_csv(index=False))
    write_atomically(options.out / "league.md", markdown(frame, left_out))
    critical_difference(list(fair(frame).values())[-1], options.out / "league.png")
    print(markdown(frame, left_out))


if __name__ == "__main__":
    main()
