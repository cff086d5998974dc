"""How long the default fit takes beside late fusion of SVCs that is tuned over three settings, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.fit_speed ../shared/data --seeds 3

RAVDESS (six classes) and mfeat's three views, as the league has them, each modality of a training sample missing with
probability .5. Ours and theirs are fitted in turn on the same samples; the figure is the ratio, whose mean over the
seeds is printed with the seconds and both results on the test samples. Seeds are 100 and up: development only. With
``--refit`` ours is the fit without a validation set of one's own: it sets one aside, and is trained twice. To compare
two versions of the library, run each in turn for one seed (``--first``) with ``--again``, which fits ours once before
it is timed and tells those seconds too; `PYTHONPATH` chooses the version.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.manifests import mfeat, ravdess
from benchmarks.timing import machine
from benchmarks.wide import fit_ours, fit_svc, parts
from elision.estimator import MultimodalClassifier
from elision.evaluation import evaluate


def arrays_of(frame: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return modality -> its columns, and the labels."""
    names = [column.split(".")[0] for column in frame.columns if "." in column]
    arrays = {m: frame.filter(regex=rf"^{m}\.").to_numpy(float) for m in dict.fromkeys(names)}
    return arrays, frame["label"].to_numpy()


def main() -> None:
    """Print a line per data set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="sklearn")
    print(machine())
    sets = {
        "RAVDESS": ravdess(options.folder / "ravdess"),
        "mfeat, 3 views": mfeat(options.folder / "mfeat", ("fou", "zer", "mor")),
    }
    for name, frame in sets.items():
        rows = []
        for seed in range(options.first, options.first + options.seeds):
            cell = parts(*arrays_of(frame), seed, 0.5)
            if options.again:
                started = time.perf_counter()
                fit_ours("mle", cell, seed)
                print(f"{name}, seed {seed}: {time.perf_counter() - started:.2f} s the first time", flush=True)
            started = time.perf_counter()
            if options.refit:
                ours = MultimodalClassifier(random_state=seed).fit(cell.train.arrays, cell.train.codes)
            else:
                ours = fit_ours("mle", cell, seed)
            between = time.perf_counter()
            theirs = fit_svc(cell, seed)
            seconds = (between - started, time.perf_counter() - between)
            metrics = [evaluate(m.predict_log_proba(cell.test.arrays), cell.test.codes) for m in (ours, theirs)]
            rows.append((seconds[0] / seconds[1], *seconds, *(v for m in metrics for v in (m.accuracy, m.nll))))
        ratio, own, rival, *results = (statistics.mean(column) for column in zip(*rows, strict=True))
        print(
            f"{name}: ratio {ratio:.2f} (median {statistics.median(r[0] for r in rows):.2f}), {own:.2f} s against "
            f"{rival:.2f} s; ours {results[0]:.3f} / {results[1]:.3f}, theirs {results[2]:.3f} / {results[3]:.3f}; "
            f"{options.seeds} seeds",
            flush=True,
        )


if __name__ == "__main__":
    main()
