"""Whether members are weighed better out of fold: all training samples weigh them, not the validation part alone.

    OMP_NUM_THREADS=1 python -m benchmarks.folds ../shared/data --out results/folds --seeds 3

On the development cells of `benchmarks.members`, training and validation part together: the default fit; its members
with temperatures and weights from five further fits, each of which says what it makes of the fifth that it lacks; with
late fusion's two models beside them; and the average over the five fits themselves. Every fit is stopped by what it is
weighed on, as the default's is. Numbers are differences to the default fit: of complete test samples, and the mean over
patterns that hide something.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax, logsumexp

from benchmarks.members import CELLS, read, stack
from elision import MultimodalClassifier
from elision.data.missing import remove
from elision.data.splits import folds, split
from elision.ensemble import log_posteriors
from elision.inputs import Samples

FOLDS = 5
METHODS = {"default": {}, "late fusion": {"method": "late-fusion"}}
RULE = partial(stack, prior=1.0, strength=20.0)
"""As `elision.ensemble.fit_weights` does it."""


def every_pattern(model: MultimodalClassifier, arrays: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each pattern which samples show all of it, and the members' log-posteriors of these by it alone."""
    batch, found = model._batch(arrays), []
    for j in range(1, 2 ** len(arrays)):
        pattern = torch.tensor([bool(j >> i & 1) for i in range(len(arrays))])
        samples = batch.observed[:, pattern].all(1).nonzero().squeeze(1)
        reduced = batch.select(samples).showing(pattern.expand(len(samples), -1))
        found.append((samples.numpy(), log_posteriors(model._members, reduced).numpy()))
    return found


def trained(folder: Path, cell: tuple[str, str, float], seed: int) -> dict[str, np.ndarray]:
    """Fit what is compared; log-posteriors by "what, method, pattern"."""
    name, missing, rate = cell
    arrays, labels, groups = read(name, folder)
    classes, codes = np.unique(labels, return_inverse=True)
    which = split(codes, groups, seed, classes)
    own, test = (Samples(arrays, codes).take(np.flatnonzero(p)) for p in (which != "test", which == "test"))
    groups = None if groups is None else groups[which != "test"]
    kept = remove({m: np.ones(len(own.codes), bool) for m in arrays}, missing, rate, seed)
    shown = {m: np.where(kept[m].reshape(-1, *[1] * (a.ndim - 1)), a, np.nan) for m, a in own.arrays.items()}
    fold = folds(own.codes, groups, FOLDS, seed)
    found = {"own": own.codes, "test": test.codes, "classes": np.bincount(own.codes)}
    for method, parameters in METHODS.items():
        start = time.perf_counter()
        whole = MultimodalClassifier(**parameters, random_state=seed).fit(shown, own.codes, groups=groups)
        found[f"seconds, {method}"] = np.array(time.perf_counter() - start)
        tests = [list(zip(*every_pattern(whole, test.arrays), strict=True))[1]]
        for j, (logs, shows) in enumerate(zip(tests[0], patterns(arrays), strict=True)):
            found[f"whole, {method}, {j}"] = logs
            given = {m: a for m, a in test.arrays.items() if m in shows}
            found[f"as it is, {method}, {j}"] = whole.predict_log_proba(given)
        pooled: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in tests[0]]
        for i in range(FOLDS):
            rest, held = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
            parts = [({m: a[rows] for m, a in shown.items()}, own.codes[rows]) for rows in (rest, held)]
            model = MultimodalClassifier(**parameters, random_state=seed + i).fit(*parts[0], validation=parts[1])
            for j, (samples, logs) in enumerate(every_pattern(model, parts[1][0])):
                pooled[j].append((held[samples], logs))
            tests.append(list(zip(*every_pattern(model, test.arrays), strict=True))[1])
        for j, pieces in enumerate(pooled):
            samples, logs = (
                np.concatenate(part, axis=a) for part, a in zip(zip(*pieces, strict=True), (0, 1), strict=True)
            )
            found[f"samples, {j}"], found[f"out of fold, {method}, {j}"] = samples, logs
            found[f"five, {method}, {j}"] = logsumexp([t[j] for t in tests[1:]], axis=0) - np.log(FOLDS)
    return found


def patterns(modalities: dict[str, np.ndarray]) -> list[list[str]]:
    """Return the modalities of every pattern, in the order of `every_pattern`."""
    return [[m for i, m in enumerate(modalities) if j >> i & 1] for j in range(1, 2 ** len(modalities))]


def variants(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return NLL and accuracy of complete test samples, and their means over the patterns that hide something."""
    n = sum(key.startswith("samples, ") for key in found)
    log_prior = np.log(found["classes"] / found["classes"].sum())
    results: dict[str, list[tuple[float, float]]] = {}
    for j in range(n):

        def of(what: str, methods: tuple[str, ...], j: int = j) -> np.ndarray:
            return np.concatenate([found[f"{what}, {method}, {j}"] for method in methods])

        own, both = found["own"][found[f"samples, {j}"]], tuple(METHODS)
        rules = {methods: RULE(of("out of fold", methods), own, log_prior) for methods in (("default",), both)}
        answers = {
            "default": found[f"as it is, default, {j}"],
            "its members, weighed out of fold": rules["default",](of("whole", ("default",))),
            "its members, equal weights": logsumexp(of("whole", ("default",)), axis=0),
            "and late fusion, weighed out of fold": rules[both](of("whole", both)),
            "the five fits, weighed out of fold": rules["default",](of("five", ("default",))),
            "late fusion alone": found[f"as it is, late fusion, {j}"],
        }
        for name, logs in answers.items():
            logs = log_softmax(logs, axis=1)
            nll = -logs[np.arange(len(logs)), found["test"]].mean()
            results.setdefault(name, []).append((nll, (logs.argmax(1) == found["test"]).mean()))
    return {name: np.array([*rows[-1], *np.mean(rows[:-1], axis=0)]) for name, rows in results.items()}


def main() -> None:
    """Train what is left, then print a row per variant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--report", action="store_true", help="train nothing: report what there is")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[np.ndarray]]] = {}
    for seed in range(options.first, options.first + options.seeds):
        for cell in CELLS:
            path = options.out / "{} {} {} {}.npz".format(*cell, seed)
            if not path.exists():
                if options.report:
                    continue
                np.savez(path, **trained(options.folder, cell, seed))
                print(f"trained {path.stem}", flush=True)
            rows = variants(dict(np.load(path)))
            for name, row in rows.items():
                cells = results.setdefault(name, {})
                cells.setdefault(" ".join(map(str, cell)), []).append(row - rows["default"])
    lines = []
    for name, cells in results.items():
        means = np.array([np.mean(rows, axis=0) for rows in cells.values()])
        errors = means.std(0, ddof=1) / len(means) ** 0.5 if len(means) > 1 else np.full(4, np.nan)
        lines.append((name, *(f"{m:+.4f} ± {e:.4f}" for m, e in zip(means.mean(0), errors, strict=True))))
    print(
        pd.DataFrame(lines, columns=("variant", "NLL", "accuracy", "NLL, hidden", "accuracy, hidden")).to_string(
            index=False
        )
    )
    runs = {name: [len(rows) for rows in cells.values()] for name, cells in results.items()}["default"]
    print(f"{len(runs)} cells, {min(runs)} to {max(runs)} seeds")


if __name__ == "__main__":
    main()
