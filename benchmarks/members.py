"""Which models the default average should hold, and how they should be tempered and weighed: a table of variants.

    OMP_NUM_THREADS=1 python -m benchmarks.members ../shared/data --out results/members --seeds 4
    OMP_NUM_THREADS=1 python -m benchmarks.members ../shared/data --out results/members --seeds 3 --first 200 --aside

Every candidate model is trained once for each cell and seed, by the training part and stopped by the validation part,
and its posteriors of validation and test samples under every pattern are kept; variants of the average are then cheap.
The cells are for choosing, those of ``--aside`` for one look at what was chosen. Numbers are differences to the average
without temperatures: of complete test samples, and the mean over patterns that hide something.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.datasets import load_breast_cancer, load_wine

from benchmarks.fit_speed import arrays_of
from benchmarks.manifests import mfeat, ravdess
from benchmarks.wide import words
from elision import choices
from elision.data import load
from elision.data.missing import remove
from elision.data.splits import split
from elision.ensemble import fit_members, log_posteriors
from elision.inputs import Samples, Standardizer
from elision.likelihood import conditional_objective, joint_objective
from elision.methods.mle import MaximumLikelihood
from elision.stacking import fit_temperature, stacking_weights, tempered
from elision.training import Schedule

CELLS = [
    ("RAVDESS", "any", 0.5), ("RAVDESS", "audio", 0.8), ("RAVDESS by actor", "any", 0.8), ("digits", "any", 0.8),
    ("mfeat, 3 views", "any", 0.5), ("words, digits", "any", 0.5), ("words, letters", "any", 0.5),
]  # fmt: skip
ASIDE = [
    ("mfeat, 6 views", "any", 0.5), ("mfeat, 6 views", "any", 0.8), ("wine", "any", 0.5), ("breast cancer", "any", 0.8),
    ("words, digits", "any", 0.8), ("words, letters", "any", 0.8),
]  # fmt: skip
KINDS = {
    "joint": ("mle", "joint"), "conditional": ("mle", "conditional"), "composite joint": ("composite", "joint"),
    "composite": ("composite", "conditional"), "modality dropout": ("modality-dropout", "conditional"),
    "late fusion": ("late-fusion", "conditional"),
}  # fmt: skip
ENCODERS = ("kernel", "mlp")


class Composite(MaximumLikelihood):
    """Adds the conditional objective of a random part of what each sample shows; each modality is hidden with .3."""

    def stages(self, train):
        """Yield the one stage of its parent, with another loss."""
        model, across = self.model, self.model.across
        for stage in super().stages(train):
            estimate = stage.bank
            assert estimate is not None

            def loss(batch, estimate=estimate):
                features, bank, rows = estimate(model.encode, batch.inputs, batch.source)
                marginals = across.marginals(model.fusion, train.weigh(bank, rows))
                shown = batch.observed & (torch.rand(batch.observed.shape) >= 0.3)
                shown = torch.where(shown.any(1, keepdim=True), shown, batch.observed)
                masks = {m: shown[own, i].nonzero().squeeze(1) for i, (m, own) in enumerate(batch.rows.items())}
                part = {m: features[m][k] for m, k in masks.items()}, {m: batch.rows[m][k] for m, k in masks.items()}
                whole = model.fusion.scores(features, batch.rows, len(batch), marginals)
                less = model.fusion.scores(*part, len(batch), marginals)
                less = conditional_objective(less, model.log_prior, batch.labels)
                if self.joint:
                    empty = model.fusion.empty_scores(marginals)
                    return less + joint_objective(whole, empty, model.log_prior, batch.labels)
                return (less + conditional_objective(whole, model.log_prior, batch.labels)) / 2

            yield replace(stage, loss=loss)


def read(name: str, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Return arrays by modality, labels, and groups to split by."""
    if name.startswith("RAVDESS"):
        frame = ravdess(folder / "ravdess")
        return *arrays_of(frame), frame["group"].to_numpy() if name.endswith("actor") else None
    if name.startswith("mfeat"):
        views = ("fou", "zer", "mor") if "3" in name else ("fac", "fou", "kar", "mor", "pix", "zer")
        return *arrays_of(mfeat(folder / "mfeat", views)), None
    if name.startswith("words"):
        return *words(folder / "words" / f"words_{name.split()[1].rstrip('s')}.npz"), None
    if name == "digits":
        data = load("digits")
        flat = {m: np.asarray(a, float).reshape(len(a), -1) for m, a in data.arrays.items()}
        return flat, np.asarray(data.labels), None
    bunch = (load_wine if name == "wine" else load_breast_cancer)(as_frame=False)
    columns = np.array_split(np.arange(bunch["data"].shape[1]), 2 if name == "wine" else 3)
    return {f"part {i}": bunch["data"][:, c] for i, c in enumerate(columns)}, bunch["target"], None


def posteriors(folder: Path, cell: tuple[str, str, float], seed: int) -> dict[str, np.ndarray]:
    """Train every candidate; its log-posteriors are under "kind, encoder, part, pattern"."""
    name, missing, rate = cell
    arrays, labels, groups = read(name, folder)
    classes, codes = np.unique(labels, return_inverse=True)
    which = split(codes, groups, seed, classes)
    train, held, test = (Samples(arrays, codes).take(np.flatnonzero(which == p)) for p in ("train", "val", "test"))
    kept = remove({m: np.ones(len(train.codes), bool) for m in arrays}, missing, rate, seed)
    arrays = {m: np.where(kept[m][:, None], a, np.nan) for m, a in train.arrays.items()}
    standardizer = Standardizer.fit(arrays, None)
    batches = [standardizer.batch(s.arrays, s.codes, np.float32) for s in (Samples(arrays, train.codes), held, test)]
    found = {"val": held.codes, "test": test.codes, "classes": np.bincount(train.codes)}
    base = {"fusion": "addition", "encoders": "auto", "n_features": 32, "rank": None, "bank": "auto"}
    for kind, (method, objective) in KINDS.items():
        chosen = base | {"method": method if method != "composite" else Composite, "objective": objective}
        specifications = choices.specifications(chosen | {"method_options": None}, tuple(arrays))
        how = Schedule(), seed, lambda *_: None
        members, _ = fit_members(specifications, (batches[0], batches[1]), len(classes), *how)
        for member, encoder in zip(members, ENCODERS, strict=True):
            member.to("cpu", torch.float64)
            for part, batch in zip(("val", "test"), batches[1:], strict=True):
                for j in range(1, 2 ** len(arrays)):
                    shown = torch.tensor([bool(j >> i & 1) for i in range(len(arrays))]).expand(len(batch), -1)
                    logs = log_posteriors([member], batch.to("cpu", torch.float64).showing(shown))[0]
                    found[f"{kind}, {encoder}, {part}, {j}"] = logs.numpy()
    return found


Average = Callable[[np.ndarray], np.ndarray]


def stack(values: np.ndarray, labels: np.ndarray, log_prior: np.ndarray, prior: float, strength: float) -> Average:
    """Fit the average as `elision.ensemble.fit_weights` does; ``strength`` of the temperatures' prior, inf is T = 1."""
    codes, base = torch.from_numpy(labels), torch.from_numpy(log_prior)

    def warm(logs: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
        each = torch.from_numpy(temperatures)[:, None].expand(logs.shape[:2])
        return tempered(torch.from_numpy(logs), base, each).numpy()

    given = [1.0 if np.isinf(strength) else fit_temperature(torch.from_numpy(v), codes, base, strength) for v in values]
    temperatures = np.array(given)
    own = warm(values, temperatures)[:, np.arange(len(labels)), labels]
    weights = np.log(stacking_weights(torch.from_numpy(own), prior).numpy())
    return lambda logs: logsumexp(warm(logs, temperatures) + weights[:, None, None], axis=0)


def pool(values: np.ndarray, labels: np.ndarray, log_prior: np.ndarray, strength: float) -> Average:
    """Fit a logarithmic pool, the product of the members' posteriors to positive powers."""
    rows = np.arange(len(labels))

    def loss(powers: np.ndarray) -> tuple[float, np.ndarray]:
        scale, away = np.exp(powers), powers + np.log(len(values))
        logs = log_softmax(np.tensordot(scale, values, 1), axis=1)
        slope = (values[:, rows, labels] - np.einsum("nk,ink->in", np.exp(logs), values)).sum(1)
        return -logs[rows, labels].sum() + strength * (away**2).sum(), -slope * scale + 2 * strength * away

    best = minimize(loss, np.full(len(values), -np.log(len(values))), jac=True, method="L-BFGS-B").x
    return lambda logs: log_softmax(np.tensordot(np.exp(best), logs, 1), axis=1)


RULES: dict[str, Callable[..., Average]] = {
    "no temperature": partial(stack, prior=1.0, strength=np.inf),
    "no temperature, prior 3": partial(stack, prior=3.0, strength=np.inf),
    "no temperature, prior 10": partial(stack, prior=10.0, strength=np.inf),
    "temperatures": partial(stack, prior=1.0, strength=20.0),
    "temperatures, weak prior": partial(stack, prior=1.0, strength=5.0),
    "temperatures, weights' prior 3": partial(stack, prior=3.0, strength=20.0),
    "logarithmic pool": partial(pool, strength=1.0),
    "logarithmic pool, strong prior": partial(pool, strength=20.0),
}
NOW = ("joint", "conditional")
SETS = [
    NOW, ("joint",), ("conditional",), ("composite joint", "composite"), (*NOW, "modality dropout"),
    (*NOW, "late fusion"), tuple(KINDS), ("modality dropout",), ("late fusion",),
]  # fmt: skip


def assess(found: dict[str, np.ndarray], kinds: tuple[str, ...], rule: Callable[..., Average]) -> np.ndarray:
    """Return NLL and accuracy of complete test samples, and their means over the patterns that hide something."""
    names = [f"{kind}, {encoder}" for kind in kinds for encoder in ENCODERS]
    patterns = sum(key.startswith(f"{names[0]}, val, ") for key in found)
    log_prior = np.log(found["classes"] / found["classes"].sum())
    rows = []
    for j in range(1, patterns + 1):
        held, test = (np.stack([found[f"{name}, {part}, {j}"] for name in names]) for part in ("val", "test"))
        logs = log_softmax(rule(held, found["val"], log_prior)(test), axis=1)
        nll = -logs[np.arange(len(logs)), found["test"]].mean()
        rows.append((nll, (logs.argmax(1) == found["test"]).mean()))
    return np.array([*rows[-1], *np.mean(rows[:-1], axis=0)])


def main() -> None:
    """Train what is left, then print a row per set of members and rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--aside", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[tuple[tuple[str, ...], str], dict[str, list[np.ndarray]]] = {}
    for seed in range(options.first, options.first + options.seeds):
        for cell in ASIDE if options.aside else CELLS:
            path = options.out / "{} {} {} {}.npz".format(*cell, seed)
            if not path.exists():
                np.savez(path, **posteriors(options.folder, cell, seed))
                print(f"trained {path.stem}", flush=True)
            found = dict(np.load(path))
            base = assess(found, NOW, RULES["no temperature"])
            for kinds in SETS:
                for rule, fit in RULES.items():
                    if kinds == NOW or rule in ("no temperature", "temperatures"):
                        rows = results.setdefault((kinds, rule), {}).setdefault(" ".join(map(str, cell)), [])
                        rows.append(assess(found, kinds, fit) - base)
    columns = ("NLL", "accuracy", "NLL, hidden", "accuracy, hidden")
    lines = []
    for (kinds, rule), cells in results.items():
        means = np.array([np.mean(rows, axis=0) for rows in cells.values()])
        errors = [statistics.stdev(column) / len(means) ** 0.5 for column in means.T]
        values = (f"{m:+.4f} ± {e:.4f}" for m, e in zip(means.mean(0), errors, strict=True))
        lines.append((" + ".join(kinds), rule, *values))
    print(pd.DataFrame(lines, columns=("members", "rule", *columns)).to_string(index=False))


if __name__ == "__main__":
    main()
