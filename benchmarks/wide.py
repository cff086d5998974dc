"""Wide modalities: spoken words as 6,144 and 960 columns, 700 training rows, test data complete.

    OMP_NUM_THREADS=1 python -m benchmarks.wide ../shared/data --out results/wide --label now

Each modality of a training sample goes missing with probability .5. Seeds are 100 and up: development only. Finished
runs are kept, under their label, and a label names the code that made them: to compare two versions of the library,
run each under a label of its own (`PYTHONPATH` chooses the version) and the last call prints both.
"""

import argparse
import json
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rivals.late_svc import LateSVC
from elision.data.missing import remove
from elision.data.splits import split
from elision.estimator import MultimodalClassifier
from elision.evaluation import evaluate
from elision.files import write_atomically
from elision.inputs import Samples

LINES = ("mle", "zero-padding", "late-fusion", "late fusion of SVCs")
WORDS = {"digits": "words_digit.npz", "letters": "words_letter.npz"}
SVC = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Parts:
    """What a method and a rival see."""

    train: Samples
    validation: Samples
    test: Samples
    classes: tuple[str, ...]


def parts(arrays: dict[str, np.ndarray], labels: np.ndarray, seed: int, rate: float) -> Parts:
    """Split 70 / 15 / 15, and remove each modality from ``rate`` of the training samples."""
    classes, codes = np.unique(labels, return_inverse=True)
    which = split(codes, None, seed, classes)
    train, validation, test = (
        Samples(arrays, codes).take(np.flatnonzero(which == p)) for p in ("train", "val", "test")
    )
    kept = remove({m: np.ones(len(train.codes), bool) for m in arrays}, "any", rate, seed)
    train = Samples({m: np.where(kept[m][:, None], a, np.nan) for m, a in train.arrays.items()}, train.codes)
    return Parts(train, validation, test, tuple(classes.tolist()))


def words(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read mouth and sound as rows of numbers, and the labels."""
    file = np.load(path)
    labels = file["label"].astype(int)
    return {m: file[m].reshape(len(labels), -1).astype(float) for m in ("mouth", "sound")}, labels


def fit_ours(method: str, data: Parts, seed: int) -> MultimodalClassifier:
    """Fit the default classifier, stopped and weighed by the validation part."""
    model = MultimodalClassifier(method, unlabelled=-1, random_state=seed)
    held = (data.validation.arrays, data.validation.codes)
    return model.fit(data.train.arrays, data.train.codes, validation=held)


def fit_svc(data: Parts, seed: int) -> LateSVC:
    """Fit late fusion of SVCs for each candidate, and return the one of the best validation NLL."""
    candidates = [LateSVC(c, seed) for c in SVC]
    losses = []
    for candidate in candidates:
        candidate.fit(data)
        logs = candidate.predict_log_proba(data.validation.arrays)
        losses.append(evaluate(logs, data.validation.codes).nll)
    return candidates[int(np.argmin(losses))]


def run(line: str, data: Parts, seed: int) -> dict:
    """Fit, and assess on the test samples."""
    started = time.perf_counter()
    model = fit_svc(data, seed) if line == LINES[-1] else fit_ours(line, data, seed)
    seconds = time.perf_counter() - started
    metrics = evaluate(model.predict_log_proba(data.test.arrays), data.test.codes)
    members = getattr(model, "members_", [])
    return {"accuracy": metrics.accuracy, "nll": metrics.nll, "seconds": seconds, "members": members}


def table(folder: Path) -> str:
    """Return accuracy / NLL / seconds of each line, mean over the seeds finished, a column for each label."""
    results: dict[tuple[str, str], dict[str, list[dict]]] = {}
    for path in sorted(folder.glob("*.json")):
        data, line, label, _ = path.stem.split("~")
        results.setdefault((data, line), {}).setdefault(label, []).append(json.loads(path.read_text()))
    labels = sorted({label for columns in results.values() for label in columns})
    lines = ["| data, line | " + " | ".join(labels) + " |", "| --- " * (len(labels) + 1) + "|"]

    def mean(found: list[dict], key: str) -> float:
        return statistics.mean(r[key] for r in found)

    for (data, line), columns in sorted(results.items()):
        cells = []
        for found in (columns.get(label, []) for label in labels):
            values = (mean(found, "accuracy"), mean(found, "nll"), mean(found, "seconds")) if found else ()
            cells.append("{:.3f} / {:.3f} / {:.0f} s (n {})".format(*values, len(found)) if found else "-")
        lines.append(f"| {data}, {line} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is left, then print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--label", default="now")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--only", nargs="*", default=LINES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", module="sklearn")
    for seed in range(100, 100 + options.seeds):
        for data, name in WORDS.items():
            for line in options.only:
                path = options.out / f"{data}~{line}~{options.label}~{seed}.json"
                if not path.exists():
                    cell = parts(*words(options.folder / "words" / name), seed, options.rate)
                    write_atomically(path, json.dumps(run(line, cell, seed)))
    print(table(options.out))


if __name__ == "__main__":
    main()
