"""Compare learning from few labels and many unlabelled samples with what scikit-learn offers for that.

    python -m benchmarks.few_labels ../shared/data --out results/few_labels --seeds 3

Half of the samples train, each modality of one missing with probability .5, and 20, 40 or 200 of them keep their label,
as many of each class; the others, complete, test. *Ours* with each weight of an unlabelled sample; *label-only* is the
default fit on the labelled samples alone. SelfTrainingClassifier has a logistic regression, LabelSpreading seven
neighbours; both see standardised columns in which what is missing takes the mean. A second table has ours with other
weights of the mean evidence beside the mean log-posterior. Finished (data, labels, seed) triples are kept.
"""

import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from benchmarks.decisions import hide, load, rows
from benchmarks.kept import options, results
from elision import MultimodalClassifier
from elision.likelihood import conditional_objective
from elision.methods import mle

LABELS = (20, 40, 200)
WEIGHTS = (1.0, 0.3, 0.1)
"""Of an unlabelled sample, in the mean of the evidence."""
EVIDENCE = (0.3, 3.0, np.inf)
"""How much the mean evidence counts beside the mean log-posterior, where ours has 1; inf stands for the plain sums."""
FLOOR = 1e-3  # of a rival's probability: an exact 0 would make its NLL infinite


def rivals() -> dict[str, object]:
    """Fit on a table with NaN and labels in which -1 means none."""
    return {
        "self-training": SelfTrainingClassifier(LogisticRegression(max_iter=1000)),
        "label spreading": LabelSpreading(kernel="knn", n_neighbors=7),
    }


def judge(probabilities: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Accuracy and NLL in nats."""
    p = np.nan_to_num(probabilities, nan=1 / probabilities.shape[1])
    p = np.maximum(p, FLOOR)
    p /= p.sum(1, keepdims=True)
    return float((p.argmax(1) == codes).mean()), float(-np.log(p[np.arange(len(codes)), codes]).mean())


def compare(X, codes, train, test, labelled, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy and NLL of all; ``labelled``: which of ``train`` keep their label."""
    shown = hide(rows(X, train), np.random.default_rng([seed, 11]))
    y = np.where(np.isin(train, labelled), codes[train], -1)
    whole, few = rows(X, test), np.flatnonzero(y != -1)
    found = {}
    ours = MultimodalClassifier(unlabelled=-1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the conditional members say that unlabelled samples are lost on them
        for weight in WEIGHTS:
            weights = np.where(y != -1, 1.0, weight)
            found[f"ours, {weight:g}"] = judge(
                ours.fit(shown, y, sample_weight=weights).predict_proba(whole), codes[test]
            )
        found["label-only"] = judge(ours.fit(rows(shown, few), y[few]).predict_proba(whole), codes[test])
        table = make_pipeline(StandardScaler(), SimpleImputer())
        inputs = table.fit_transform(np.hstack(list(shown.values())))
        for name, rival in rivals().items():
            rival.fit(inputs, y)
            found[name] = judge(rival.predict_proba(table.transform(np.hstack(list(whole.values())))), codes[test])
    return found


def sample(name: str, source: Path, n_labels: int, seed: int) -> tuple:
    """Return inputs, codes, which samples train and test, and which of those that train keep their label."""
    X, y = load("mfeat" if name.startswith("mfeat") else name, source)
    if name == "mfeat fou, zer, mor":
        X = {m: X[m] for m in ("fou", "zer", "mor")}
    codes = np.unique(y, return_inverse=True)[1]
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, random_state=seed, stratify=y)
    labelled, _ = train_test_split(train, train_size=n_labels, random_state=seed, stratify=codes[train])
    return X, codes, train, test, labelled


def one(name: str, source: Path, n_labels: int, seed: int) -> dict:
    """Return accuracy and NLL of ours and of the rivals."""
    return compare(*sample(name, source, n_labels, seed), seed)


def weighed(name: str, source: Path, n_labels: int, seed: int) -> dict:
    """Return accuracy and NLL of ours as it is, and with each of `EVIDENCE`, by another objective in its place."""
    X, codes, train, test, labelled = sample(name, source, n_labels, seed)
    shown = hide(rows(X, train), np.random.default_rng([seed, 11]))
    y = np.where(np.isin(train, labelled), codes[train], -1)
    found, objective = {}, mle.joint_objective
    for strength in (1.0, *EVIDENCE):
        count = len(y) / n_labels if np.isinf(strength) else strength

        def changed(scores, empty, log_prior, labels, mean, weights, count=count):
            part = conditional_objective(scores, log_prior, labels, mean, weights)
            return part + count * (objective(scores, empty, log_prior, labels, mean, weights) - part)

        mle.joint_objective = changed
        model = MultimodalClassifier(unlabelled=-1, random_state=seed).fit(shown, y)
        found[f"evidence {strength:g}"] = judge(model.predict_proba(rows(X, test)), codes[test])
    mle.joint_objective = objective
    return found


def show(found: dict[tuple[str, int], list[dict]]) -> None:
    """Print a table, a row per data set and number of labels."""
    methods = list(next(iter(found.values()))[0])
    print(f"\n| data | labels | {' | '.join(methods)} |\n| --- | --- |{' --- |' * len(methods)}")
    for (name, n), runs in sorted(found.items()):
        means = [np.mean([r[m] for r in runs], axis=0) for m in methods]
        print(f"| {name} | {n} | " + " | ".join(f"{a:.3f} / {v:.2f}" for a, v in means) + " |")


def main() -> None:
    """Compare with the rivals, then the weights of the evidence."""
    given = options(__doc__, 3, ["digits", "mfeat fou, zer, mor"])
    cells, out = list(product(given.seeds, given.data, LABELS)), given.out
    for prefix, work in (("", one), ("evidence-", weighed)):
        pieces = {
            out / f"{prefix}{d.split()[0]}-{n}-{seed}.json": partial(work, d, given.source, n, seed)
            for seed, d, n in cells
        }
        found: dict[tuple[str, int], list[dict]] = {}
        for (_, name, n), result in zip(cells, results(pieces, given.workers), strict=True):
            found.setdefault((name, n), []).append(result)
        show(found)


if __name__ == "__main__":
    main()
