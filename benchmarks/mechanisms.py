"""Measure what it costs that gaps are not at random: NLL on complete test samples, by which samples lose a modality.

    python -m benchmarks.mechanisms ../shared/data --out results/mechanisms --seeds 3

Half of the samples train, 80 % of them without one modality (RAVDESS face, mfeat fou of three,
digits right); the other half tests, complete. Kernel encoders. Beside the NLL its difference to gaps at random,
with its standard error. Finished (data, mechanism, seed) triples are kept.
"""

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.decisions import load, rows
from benchmarks.kept import options, results
from elision import MultimodalClassifier
from elision.data.missing import remove
from elision.registries import MECHANISMS

RATE = 0.8
LOST = {"ravdess": "face", "mfeat": "fou", "digits": "right"}
MODELS = {
    "joint": {"objective": "joint"},
    "conditional": {"objective": "conditional"},
    "zero-padding": {"method": "zero-padding"},
}


def one(name: str, mechanism: str, source: Path, seed: int) -> dict[str, float]:
    X, y = load(name, source)
    if name == "mfeat":
        X = {m: X[m] for m in ("fou", "zer", "mor")}
    lost = LOST[name] if LOST[name] in X else next(iter(X))
    codes = np.unique(y, return_inverse=True)[1]
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=seed, stratify=y)
    seen = rows(X, train)
    drive = MECHANISMS[mechanism](seen, codes[train], lost, seed)
    shown = remove({m: ~np.isnan(a).all(1) for m, a in seen.items()}, lost, RATE, seed, drive)
    seen = {m: np.where(shown[m][:, None], a, np.nan) for m, a in seen.items()}
    found = {}
    for title, parameters in MODELS.items():
        model = MultimodalClassifier(encoders="kernel", random_state=seed, **parameters).fit(seen, codes[train])
        logs = model.predict_log_proba(rows(X, test))
        found[title] = float(-logs[np.arange(len(test)), codes[test]].mean())
    return found


def main() -> None:
    given = options(__doc__, 3, ["ravdess", "mfeat", "digits"])
    cells = list(product(given.seeds, given.data, MECHANISMS))
    pieces = {
        given.out / f"{n}-{kind}-{seed}.json": partial(one, n, kind, given.source, seed) for seed, n, kind in cells
    }
    found: dict[tuple[str, str], list[dict]] = {}
    for (_, name, kind), result in zip(cells, results(pieces, given.workers), strict=True):
        found.setdefault((name, kind), []).append(result)
    print(f"| data | mechanism | {' | '.join(MODELS)} |\n| --- | --- |{' --- |' * len(MODELS)}")
    for name in given.data:
        for kind in MECHANISMS:
            cells = []
            for model in MODELS:
                own, random = (np.array([r[model] for r in found[name, k]]) for k in (kind, "mcar"))
                gap = own - random
                error = gap.std(ddof=1) / len(gap) ** 0.5 if len(gap) > 1 else np.nan
                cells.append(f"{own.mean():.3f}" + ("" if kind == "mcar" else f" ({gap.mean():+.3f} ± {error:.3f})"))
            print(f"| {name} | {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
