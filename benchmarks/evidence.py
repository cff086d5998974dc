"""Measure how well evidence tells samples whose modalities do not belong together, beside simpler signs.

    python -m benchmarks.evidence ../shared/data --out results/evidence --seeds 5

Default fits on half of the samples, each modality of one missing with probability .5; the other half, complete, is
judged: as it is against three damages of one random modality of each sample. *Another class*: the modality of a sample
of another class. *Same class*: that of another sample of its class. *Shuffled*: every column drawn from another sample.
AUROC of the least agreement of a modality with the others, evidence, greatest posterior, entropy, and disagreement
(mean Jensen-Shannon divergence of the posteriors of single modalities, in nats); last, how often the modality of least
agreement is the damaged one. Finished (data, seed) pairs are kept.
"""

from pathlib import Path

import numpy as np
from scipy.special import entr
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.decisions import hide, load, rows
from benchmarks.kept import by_seed
from elision import MultimodalClassifier

SIGNS = ("least agreement", "evidence", "greatest posterior", "entropy", "disagreement")


def damaged(X, y, kind: str, rng) -> dict[str, np.ndarray]:
    """One random modality of each sample replaced."""
    out, chosen = {m: values.copy() for m, values in X.items()}, rng.integers(len(X), size=len(y))
    for i, values in enumerate(out.values()):
        for row in np.flatnonzero(chosen == i):
            original = list(X.values())[i]
            if kind == "shuffled":
                values[row] = original[rng.integers(len(y), size=original.shape[1]), np.arange(original.shape[1])]
                continue
            same = (y == y[row]) & (np.arange(len(y)) != row)
            values[row] = original[rng.choice(np.flatnonzero(same if kind == "same class" else y != y[row]))]
    return out


def signs(model, X) -> dict[str, np.ndarray]:
    """Each high where something is wrong."""
    p = model.predict_proba(X)
    alone = np.stack([model.predict_proba({m: values}) for m, values in X.items()])
    spread = entr(alone.mean(0)).sum(1) - entr(alone).sum(2).mean(0)
    least = model.agreement(X)["nats"].to_numpy().reshape(len(p), -1).min(1)
    return dict(zip(SIGNS, (-least, -model.evidence(X), -p.max(1), entr(p).sum(1), spread), strict=True))


def one(name: str, source: Path, seed: int) -> dict:
    X, y = load(name, source)
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=seed, stratify=y)
    rng = np.random.default_rng([seed, 10])
    model = MultimodalClassifier(random_state=seed).fit(hide(rows(X, train), rng), y[train])
    whole, codes = rows(X, test), y[test]
    clean, found = signs(model, whole), {}
    for kind in ("another class", "same class", "shuffled"):
        changed = damaged(whole, codes, kind, rng)
        wrong, least = signs(model, changed), model.agreement(changed)["nats"].to_numpy().reshape(len(codes), -1)
        truth = np.repeat([0, 1], len(codes))
        found[kind] = {sign: roc_auc_score(truth, np.r_[clean[sign], wrong[sign]]) for sign in SIGNS}
        is_it = np.stack([(changed[m] != whole[m]).any(1) for m in whole], axis=1)
        found[kind]["named"] = float(is_it[np.arange(len(codes)), least.argmin(1)][is_it.any(1)].mean())
    return found


def show(found: dict[str, list[dict]]) -> None:
    print(f"| data | one modality | {' | '.join(SIGNS)} | names it |\n{'| --- ' * (len(SIGNS) + 3)}|")
    for name, runs in found.items():
        for kind in runs[0]:
            values = [np.array([r[kind][sign] for r in runs]) for sign in (*SIGNS, "named")]
            cells = [f"{v.mean():.3f} ± {v.std(ddof=1) / len(v) ** 0.5:.3f}" for v in values]
            print(f"| {name} | {kind} | " + " | ".join(cells) + " |")


def main() -> None:
    by_seed(one, show, __doc__, ["digits", "mfeat", "ravdess"])


if __name__ == "__main__":
    main()
