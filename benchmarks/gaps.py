"""Measure what `informative_missingness` gains where gaps depend on the label, and loses where they do not.

    python -m benchmarks.gaps ../shared/data --out results/gaps --seeds 5

Default fits on half of the samples, the other half tests. *By label*: each class lacks each modality with probability
.2 or .8, drawn once, in training and in test. *At random*: with .5. No sample loses its last modality. NLL in nats of
the same members with P(S | z)^t and without. Finished (data, gaps, seed) triples are kept.
"""

from functools import partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.decisions import load, rows
from benchmarks.kept import options, results
from elision import MultimodalClassifier


def with_gaps(X, codes, kind: str, rng) -> dict[str, np.ndarray]:
    n_classes, names = codes.max() + 1, list(X)
    lost = (
        rng.choice([0.2, 0.8], size=(n_classes, len(names)))
        if kind == "by label"
        else np.full((n_classes, len(X)), 0.5)
    )
    shown = rng.random((len(codes), len(names))) >= lost[codes]
    empty = ~shown.any(1)
    shown[empty, rng.integers(len(names), size=empty.sum())] = True
    return {m: np.where(shown[:, i, None], values, np.nan) for i, (m, values) in enumerate(X.items())}


def one(name: str, kind: str, source: Path, seed: int) -> dict[str, float]:
    X, y = load(name, source)
    codes = np.unique(y, return_inverse=True)[1]
    X = with_gaps(X, codes, kind, np.random.default_rng([seed, 12]))
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=seed, stratify=y)
    model = MultimodalClassifier(informative_missingness=True, random_state=seed).fit(rows(X, train), codes[train])
    own = np.arange(len(test)), codes[test]
    listening = -model.predict_log_proba(rows(X, test))[own].mean()
    del model._gaps
    return {
        "power": model.missingness_power_,
        "with": float(listening),
        "without": float(-model.predict_log_proba(rows(X, test))[own].mean()),
    }


def main() -> None:
    given = options(__doc__, 5, ["mfeat", "ravdess"])
    lines, cells = [], [(name, kind) for name in given.data for kind in ("by label", "at random")]
    pieces = {
        given.out / f"{name}-{kind.replace(' ', '-')}-{seed}.json": partial(one, name, kind, given.source, seed)
        for name, kind in cells
        for seed in given.seeds
    }
    found = np.array_split(results(pieces, given.workers), len(cells))
    for (name, kind), own in zip(cells, found, strict=True):
        power, without, listening = (np.array([f[k] for f in own]) for k in ("power", "without", "with"))
        gain = without - listening
        error = gain.std(ddof=1) / len(gain) ** 0.5
        lines.append(f"| {name} | {kind} | {', '.join(f'{p:.2f}' for p in power)} | {without.mean():.3f} | "
              f"{listening.mean():.3f} | {gain.mean():.4f} ± {error:.4f} |")  # fmt: skip
    print("\n".join(["| data | gaps | t | NLL without | with | gain |", "| --- " * 6 + "|", *lines]))


if __name__ == "__main__":
    main()
