"""Measure what the decisions are worth on real data: order of acquisition, coverage of sets, other populations.

    python -m benchmarks.decisions ../shared/data --out results/decisions --seeds 5

Each modality of a training sample is missing with probability .5, of a calibration and a test sample too where sets are
measured. A default fit on 50 % of the samples, 25 % calibrate, 25 % test. Finished (data, seed) pairs are kept.
"""

import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from benchmarks.fit_speed import arrays_of
from benchmarks.kept import by_seed
from benchmarks.manifests import ravdess
from benchmarks.wide import words
from elision import MultimodalClassifier
from elision.decisions.sets import ENOUGH

COVERAGE = 0.9


def digits() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Quarters of handwritten digits."""
    images, target = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)
    halves = {"upper": slice(4), "lower": slice(4, 8)}, {"left": slice(4), "right": slice(4, 8)}
    quarters = {
        f"{u} {s}": images[:, v, w].reshape(len(images), -1) for u, v in halves[0].items() for s, w in halves[1].items()
    }
    return quarters, target


def load(name: str, source: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if name == "digits":
        return digits()
    if name == "mfeat":
        arrays = np.load(source / "mfeat" / "mfeat.npz")
        return {m: arrays[m].astype(float) for m in ("fac", "fou", "kar", "mor", "pix", "zer")}, arrays["label"]
    if name == "words":
        return words(source / "words" / "words_digit.npz")
    return arrays_of(ravdess(source / "ravdess"))


def halve(index: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two halves of the samples, with classes alike or whole groups in each."""
    if groups is None:
        first, second = train_test_split(index, test_size=0.5, random_state=seed, stratify=y[index])
        return first, second
    parts = GroupShuffleSplit(1, test_size=0.5, random_state=seed).split(index, groups=groups[index])
    first, second = next(parts)
    return index[first], index[second]


def hide(X: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Each modality missing with probability .5, none of a sample's last."""
    n = len(next(iter(X.values())))
    shown = rng.random((n, len(X))) < 0.5
    empty = ~shown.any(1)
    shown[empty, rng.integers(len(X), size=empty.sum())] = True
    return {m: np.where(shown[:, i, None], values, np.nan) for i, (m, values) in enumerate(X.items())}


def rows(X: dict[str, np.ndarray], index: np.ndarray) -> dict[str, np.ndarray]:
    return {m: values[index] for m, values in X.items()}


def acquire(model, X, y, order) -> list[float]:
    """Accuracy of samples that show nothing at first, after each modality that ``order`` measures."""
    n, names = len(y), list(X)
    shown = np.zeros((n, len(names)), dtype=bool)
    curve = []
    for step in range(len(names) + 1):
        seen = {m: np.where(shown[:, i, None], X[m], np.nan) for i, m in enumerate(names)}
        curve.append(float((model.predict(seen) == y).mean()))
        if step < len(names):
            shown[np.arange(n), order(model, seen, shown, step)] = True
    return curve


def by_value(model, seen, shown, step):
    best = model.value_of(seen).groupby("sample").first()["modality"]
    return [list(seen).index(m) for m in best]


def one(name: str, source: Path, seed: int) -> dict:
    X, y = load(name, source)
    groups = ravdess(source / "ravdess")["group"].to_numpy() if name.endswith("by actor") else None
    train, rest = halve(np.arange(len(y)), y, groups, seed)
    calibration, test = halve(rest, y, groups, seed)
    rng = np.random.default_rng([seed, 9])
    started = time.perf_counter()
    model = MultimodalClassifier(random_state=seed).fit(
        hide(rows(X, train), rng), y[train], groups=None if groups is None else groups[train]
    )
    seconds = time.perf_counter() - started
    whole, names = rows(X, test), list(X)
    fixed = (
        model.importance(hide(rows(X, calibration), rng), y[calibration])["alone_nll"]
        .sort_values(ascending=False)
        .index
    )
    draws = np.stack([rng.permutation(len(names)) for _ in test])
    curves = {
        "value": acquire(model, whole, y[test], by_value),
        "fixed": acquire(model, whole, y[test], lambda m, s, shown, step: [names.index(fixed[step])] * len(test)),
        "random": acquire(model, whole, y[test], lambda m, s, shown, step: draws[:, step]),
    }
    model.calibrate_sets(hide(rows(X, calibration), rng), y[calibration])
    judged = hide(whole, rng)
    sets = model.predict_set(judged, COVERAGE)
    hits = np.array([label in held for label, held in zip(y[test], sets["classes"], strict=True)])
    shown = sum(~np.isnan(values).all(1) for values in judged.values())
    own = ~sets["pooled"].to_numpy()
    sizes = {
        str(k): (float(hits[shown == k].mean()), float(sets["size"][shown == k].mean()), int((shown == k).sum()))
        for k in np.unique(shown)
    }
    shifted = shift(model, judged, y[test], rng)
    return {
        "curves": curves,
        "coverage": float(hits.mean()),
        "by_number": sizes,
        "own": int(own.sum()),
        "shift": shifted,
        "seconds": seconds,
    }


def crossed(name: str, source: Path, seed: int) -> dict:
    """Coverage where no sample is held out: sets calibrated by cross-fitting on the samples of the fit themselves."""
    X, y = load(name, source)
    groups = ravdess(source / "ravdess")["group"].to_numpy() if name.endswith("by actor") else None
    fitted, test = halve(np.arange(len(y)), y, groups, seed)
    own, rng = None if groups is None else groups[fitted], np.random.default_rng([seed, 13])
    seen, judged = hide(rows(X, fitted), rng), hide(rows(X, test), rng)
    model = MultimodalClassifier(random_state=seed).fit(seen, y[fitted], groups=own)
    model.calibrate_sets(seen, y[fitted], folds=5, groups=own)
    sets = model.predict_set(judged, COVERAGE)
    hits = [label in held for label, held in zip(y[test], sets["classes"], strict=True)]
    return {"coverage": float(np.mean(hits)), "size": float(sets["size"].mean()), "n": len(test)}


def show_crossed(found: dict[str, list[dict]]) -> None:
    """Print a row per data set."""
    print(f"\n| data | seeds | coverage ({COVERAGE} asked), cross-fitted | set size | test samples |\n{'| --- ' * 5}|")
    for name, runs in found.items():
        each = np.array([r["coverage"] for r in runs])
        error = f" ± {each.std(ddof=1) / len(each) ** 0.5:.3f}" if len(each) > 1 else ""
        size, n = (np.mean([r[k] for r in runs]) for k in ("size", "n"))
        print(f"| {name} | {len(runs)} | {each.mean():.3f}{error} | {size:.2f} | {n:.0f} |")


def shift(model, X, y, rng) -> dict[str, float]:
    """NLL where classes are drawn with weights 1, 1/2, 1/4, ...: training prior, true prior, estimated prior."""
    codes = np.searchsorted(model.classes_, y)
    weights = 0.5 ** np.arange(len(model.classes_))
    drawn = rng.choice(len(y), size=len(y), p=weights[codes] / weights[codes].sum())
    sample, codes = rows(X, drawn), codes[drawn]
    prior = np.bincount(codes, minlength=len(weights)) / len(codes)
    estimated = model.estimate_prior(sample)["prior"].to_numpy()
    same = model.estimate_prior(X)
    found = {"training": None, "known": np.maximum(prior, 1e-9) / np.maximum(prior, 1e-9).sum(), "estimated": estimated}
    nll = {k: float(-model.predict_log_proba(sample, p)[np.arange(len(codes)), codes].mean()) for k, p in found.items()}
    return nll | {"acts_without_shift": float((same["p_value"] < 0.01).all())}


def needed(curve: list[float]) -> float:
    """How many modalities reach 95 % of the gain from nothing to everything, by linear interpolation."""
    goal = curve[0] + 0.95 * (curve[-1] - curve[0])
    step = next(i for i, value in enumerate(curve) if value >= goal)
    before = curve[step - 1]
    return step - 1 + (goal - before) / (curve[step] - before)


def show(found: dict[str, list[dict]]) -> None:
    def cell(values) -> str:
        values = np.array(values, dtype=float)
        error = f" ± {values.std(ddof=1) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
        return f"{values.mean():.3f}{error}"

    print("| data | seeds | modalities for 95 % of the gain: value | fixed | random | value / random | coverage |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, runs in found.items():
        reach = {k: np.array([needed(r["curves"][k]) for r in runs]) for k in ("value", "fixed", "random")}
        cells = [cell(v) for v in reach.values()] + [
            cell(reach["value"] / reach["random"]),
            cell([r["coverage"] for r in runs]),
        ]
        print(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
    print(
        f"\n| data | modalities shown | coverage ({COVERAGE} asked) | set size | samples a seed |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for name, runs in found.items():
        for k in sorted({k for r in runs for k in r["by_number"]}, key=int):
            parts = np.array([r["by_number"][k] for r in runs if k in r["by_number"]])
            print(f"| {name} | {k} | {cell(parts[:, 0])} | {parts[:, 1].mean():.2f} | {parts[:, 2].mean():.0f} |")
    print(
        "\n| data | NLL, training prior | known prior | estimated prior | share of seeds that act without a shift |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for name, runs in found.items():
        cells = [cell([r["shift"][k] for r in runs]) for k in ("training", "known", "estimated", "acts_without_shift")]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nPatterns with fewer than {ENOUGH} calibration samples borrow those of their neighbours.")


def main() -> None:
    data = ["digits", "mfeat", "ravdess", "ravdess by actor", "words"]
    by_seed(one, show, __doc__, data)
    by_seed(crossed, show_crossed, __doc__, data, "crossed-")


if __name__ == "__main__":
    main()
