"""How the default fit and prediction grow with rows, columns, modalities and classes: CPU seconds, memory, exponents.

    OMP_NUM_THREADS=1 python -m benchmarks.scaling --out results/scaling [--only rows columns] [--most 100000]

One axis grows, the others stay: 2,000 rows, 20 columns in all, 2 modalities, 4 classes; each modality but one that is
drawn for the sample is missing with probability .5. Every size runs in a process of its own, and its memory is the peak
resident size less that before the fit. Finished sizes are kept, so that a stopped run goes on. The exponent is the
slope of log seconds over log size in the upper half of the sizes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import machine
from elision.files import write_atomically

BASE = {"rows": 2000, "columns": 20, "modalities": 2, "classes": 4}
AXES = {
    "rows": (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
    "columns": (10, 100, 1000, 5000, 20_000),
    "modalities": (2, 5, 10, 20, 30),
    "classes": (2, 10, 100, 1000),
}
MEASURES = {
    "fit": "fit, CPU s",
    "predict": "predict, CPU s",
    "row": "predict one row, CPU s",
    "megabytes": "memory beyond the data, MB",
}


def data(rows: int, columns: int, modalities: int, classes: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return noise around a mean for each class, modality -> (rows, columns / modalities), float32, and the labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    width = max(columns // modalities, 1)
    arrays, kept = {}, rng.integers(0, modalities, rows)
    for i in range(modalities):
        means = rng.normal(size=(classes, width)).astype(np.float32)
        values = rng.standard_normal((rows, width), dtype=np.float32) * 2 + means[labels]
        values[(rng.random(rows) < 0.5) & (kept != i)] = np.nan
        arrays[f"m{i}"] = values
    return arrays, labels


def one(size: dict[str, int]) -> dict[str, float]:
    """Fit and predict once, in this process."""
    from elision.estimator import MultimodalClassifier

    arrays, labels = data(**size)
    before = _megabytes()
    times = [time.process_time()]
    model = MultimodalClassifier(random_state=0).fit(arrays, labels)
    times.append(time.process_time())
    model.predict_proba(arrays)
    times.append(time.process_time())
    model.predict_proba({m: values[:1] for m, values in arrays.items()})
    times.append(time.process_time())
    return {
        **dict(zip(MEASURES, np.diff(times).tolist(), strict=False)),
        "megabytes": _megabytes() - before,
        "data": sum(a.nbytes for a in arrays.values()) / 2**20,
    }


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return the slope of log value over log size, in the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(np.maximum(values[half:], 1e-3)), 1)[0])


def report(folder: Path) -> str:
    """Return a table for each axis, and draw the figure."""
    import matplotlib.pyplot as plt

    shape = {"figsize": (12, 9), "squeeze": False, "sharex": "col", "sharey": "row", "layout": "constrained"}
    lines, (figure, axes) = [], plt.subplots(len(MEASURES), len(AXES), **shape)
    for column, axis in enumerate(AXES):
        found = {int(p.stem.split("-")[1]): json.loads(p.read_text()) for p in folder.glob(f"{axis}-*.json")}
        sizes = sorted(size for size, values in found.items() if "fit" in values)
        if not sizes:
            continue
        lines += [f"| {axis} | " + " | ".join(MEASURES.values()) + " |", "| ---: " * (len(MEASURES) + 1) + "|"]
        lines += [f"| {s:,} | " + " | ".join(f"{found[s][k]:,.1f}" for k in MEASURES) + " |" for s in sizes]
        if len(sizes) > 2:
            slopes = [exponent(sizes, [found[s][k] for s in sizes]) for k in MEASURES]
            lines += ["| exponent | " + " | ".join(f"{slope:.2f}" for slope in slopes) + " |"]
        lines += [f"\n{axis} {s:,}: {v['failed']}" for s, v in sorted(found.items()) if "failed" in v] + [""]
        for row, (key, name) in enumerate(MEASURES.items()):
            plot = axes[row][column]
            plot.loglog(sizes, [max(found[s][key], 1e-3) for s in sizes], "o-")
            plot.minorticks_off()
            plot.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
            if row == len(MEASURES) - 1:
                plot.set_xlabel(axis)
            if column == 0:
                plot.set_ylabel(name)
            plot.grid(alpha=0.3)
    figure.savefig(folder / "scaling.png", dpi=100)
    return "\n".join(lines)


def main() -> None:
    """Run what is left, then print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=AXES, default=list(AXES))
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=30.0, help="after which one size counts as failed")
    parser.add_argument("--one", type=json.loads)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    limit = 60 * options.minutes
    for axis in options.only:
        for size in (s for s in AXES[axis] if s <= options.most):
            path = options.out / f"{axis}-{size}.json"
            if path.exists():
                continue
            extent = BASE | {axis: size}
            extent["columns"] = max(extent["columns"], extent["modalities"])
            extent["rows"] = max(extent["rows"], 5 * extent["classes"])
            command = [sys.executable, "-m", "benchmarks.scaling", "--one", json.dumps(extent)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
                failed = {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1]}
                result = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else failed
            except subprocess.TimeoutExpired:
                result = {"failed": f"not done after {options.minutes:g} minutes"}
            write_atomically(path, json.dumps(result))
            print(axis, size, result, flush=True)
    print(machine())
    print(report(options.out))


if __name__ == "__main__":
    main()
