"""Talking faces, end to end: four colours from the mouth and the voice, most training samples without the mouth.

    python -m benchmarks.grid_training ../shared/data/grid results/grid

Prepares a store (three windows of 0.4 s around the word "blue", "green", "red" or "white"; white noise on the sound at
-10 dB, so that both modalities matter), removes the mouth from 80 % of the training samples, and trains small
convolutional networks by each method over three seeds. Prints accuracy and NLL on complete test samples and with either
modality taken away, mean and standard deviation. Finished runs are kept: started again, it does what is left.
"""

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.grid_mouth import mouth
from elision.config import TrainConfig
from elision.data.layouts.found import LayoutOptions
from elision.data.preparation import Preparation
from elision.data.prepare import prepare
from elision.deep.train import train
from elision.media.extract import MediaSettings

REACH = 0.35
SETTINGS = MediaSettings(windows=3, seconds=0.4, size=64, noise_db=-10.0, crop=mouth)
CONFIG = TrainConfig(
    missing="visual", rate=0.8, n_features=64, batch_size=64, epochs=30, patience=0, accelerator="cpu", log_steps=100
)
METHODS = {
    "mle, joint": replace(CONFIG, method="mle", objective="joint"),
    "mle, conditional": replace(CONFIG, method="mle", objective="conditional"),
    "zero padding": replace(CONFIG, method="zero-padding", objective="conditional"),
    "lower bound": replace(CONFIG, method="lower-bound", objective="conditional", epochs=150),
}
"""The lower bound sees a fifth of the samples: five times the epochs give it as many steps."""
SEEDS = 3


def main(source: Path, out: Path) -> None:
    store = out / "store"
    prepare_store(source, store)
    results = {}
    for seed in range(SEEDS):
        for name, config in METHODS.items():
            run = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
            finished = run / "result.json"
            if not finished.exists():
                train(store, run, replace(config, seed=seed), resume=(run / "config.json").exists())
            results[name, seed] = json.loads(finished.read_text())
            print(name, seed, f"accuracy {results[name, seed]['test']['metrics']['accuracy']:.3f}", flush=True)
    print(table(results))


def prepare_store(source: Path, store: Path, settings: MediaSettings = SETTINGS, reach: float = REACH) -> None:
    """Manifest and store, unless they are there; the clips are copied, since a manifest's files lie beside it."""
    if not (store.parent / "clips").exists():
        shutil.copytree(source / "clips", store.parent / "clips", copy_function=shutil.copyfile)
    manifest = store.parent / "colours.csv"
    with (source / "labels.csv").open() as file, manifest.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(("id", "label", "video", "start", "end"))
        for row in csv.DictReader(file):
            middle = (float(row["colour_start"]) + float(row["colour_end"])) / 2
            writer.writerow((row["clip"], row["colour"], row["file"], f"{middle - reach:.3f}", f"{middle + reach:.3f}"))
    prepare(manifest, store, Preparation("manifest", settings, LayoutOptions()), workers=1)


def table(results: dict) -> str:
    lines = ["| method | accuracy | NLL | without visual | without audio |", "|---|---|---|---|---|"]
    for name in METHODS:
        tests = [results[name, seed]["test"] for seed in range(SEEDS)]
        metrics = [t["metrics"] for t in tests]
        cells = [spread([m["accuracy"] for m in metrics], 100), spread([m["nll"] for m in metrics], 1)]
        cells += [spread([t["removed"][m]["accuracy"] for t in tests], 100) for m in ("visual", "audio")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float], scale: float) -> str:
    digits = 1 if scale == 100 else 3
    return f"{scale * np.mean(values):.{digits}f} ± {scale * np.std(values, ddof=1):.{digits}f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
