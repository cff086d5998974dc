"""RAVDESS again, as a user has it: training and validation samples are all there is to learn from.

    python -m benchmarks.pooled data/ravdess.csv --out results/pooled

`benchmarks.accuracy` keeps the validation part for early stopping and choices, and trains nothing on it. Here every
line may learn from it as well: `MultimodalClassifier()` with its defaults, which holds a part out by itself and trains
once more on everything; late fusion of SVCs with C chosen on the validation part, then fitted to both parts; and with
scikit-learn's default C. The validation samples are complete, so fewer than 80 or 95 % lack a modality.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.accuracy import RATES, RIVALS, markdown
from benchmarks.rivals.late_svc import LateSVC
from elision import MultimodalClassifier
from elision.data import load
from elision.evaluation import evaluate
from elision.experiments.run import Partition, Run, assess, partition
from elision.experiments.runner import run_grid
from elision.experiments.tables import results_table
from elision.experiments.watch import watching
from elision.inputs import Samples


def work(run: Run) -> dict:
    """Fit to both parts, assess on the test part."""
    parts = partition(run)
    arrays = {m: np.concatenate([a, parts.validation.arrays[m]]) for m, a in parts.train.arrays.items()}
    both = Samples(arrays, np.concatenate([parts.train.codes, parts.validation.codes]))
    started = time.perf_counter()
    if run.method in RIVALS:
        candidates = {}
        for c in RIVALS[run.method]:
            candidates[c] = LateSVC(c, run.seed)
            candidates[c].fit(parts)
        validation = parts.validation
        losses = {
            c: evaluate(m.predict_log_proba(validation.arrays), validation.codes).nll for c, m in candidates.items()
        }
        model = LateSVC(min(losses, key=losses.get), run.seed)
        model.fit(Partition(both, validation, parts.test, parts.classes))
    else:
        model = MultimodalClassifier(fusion=run.fusion, random_state=run.seed).fit(both.arrays, both.codes)
    return assess(run, parts, model.predict_log_proba, time.perf_counter() - started)


def main() -> None:
    """Run what is left, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    data = load(options.data)
    lines = [("mle", "addition", "auto", "auto"), *((name, "late", "-", "-") for name in RIVALS)]
    runs = [
        Run(options.data, data.name, data.fingerprint(), False, *line, missing, rate, seed)
        for seed in range(options.seeds)
        for missing in data.arrays
        for rate in RATES
        for line in lines
    ]
    with watching(len(runs)) as watch:
        results, failures = run_grid(runs, options.out, options.workers, watch, work)
    for failure in failures:
        print("failed:", failure["run"], failure["error"])
    print(markdown(results_table(results).assign(encoders=[r["run"]["encoders"] for r in results])))


if __name__ == "__main__":
    main()
