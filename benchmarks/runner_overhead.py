"""What the runner of grids costs beside the runs: seconds a run, of runs that do nothing.

OMP_NUM_THREADS=1 python -m benchmarks.runner_overhead
"""

import tempfile
import time
from pathlib import Path

from benchmarks.timing import machine
from elision.study.run import Run, Training
from elision.study.runner import run_grid

N = 200


def idle(run: Run) -> dict:
    return {"run": run.seed}


def main() -> None:
    known = "-", "-", "0" * 16, False, "mle", "addition", "all", Training(), "none", 0.0
    runs = [Run(*known, seed) for seed in range(N)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        results, failures = run_grid(runs, Path(folder), 2, lambda *_: None, idle)
        seconds = time.perf_counter() - started
    assert (len(results), failures) == (N, [])
    print(f"{N} runs, two workers, their start included: {seconds / N:.3f} s a run (wanted below 1)")


if __name__ == "__main__":
    print(machine())
    main()
