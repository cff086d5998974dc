"""End to end from the mouth: EfficientNet-Lite0 fine-tuned within the likelihood, most training samples without one.

    python -m benchmarks.pretrained_training pack ../shared/data results/pretrained/mouths.npz
    python -m benchmarks.pretrained_training run results/pretrained/mouths.npz --out results/tuned --workers 6

`pack` makes one file of 13 MB from the clips, and needs the package of weights (`benchmarks.pretrained_networks`);
`run` needs nothing but that file, torch and torchvision, and is for a GPU. Four pictures of 80 pixels around the colour
word go through the first twelve blocks of the network, of which the last eight learn (statistics of normalisation stay
as they are), shifted, mirrored and lightened at random; what changes from picture to picture is projected to k. The
sound is a spectrogram, for four small convolutions that start from nothing. The mouth is missing in 80 % of the
training samples. The rate is chosen by validation NLL, for each line and seed. Finished runs are kept; `show` prints
what is there.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.kept import once
from benchmarks.pretrained_lines import METHODS, Sound, ask, cell_of, coarser, only, table
from benchmarks.pretrained_networks import MIDDLE, layers
from elision import MultimodalClassifier
from elision.data.dataset import Dataset

if TYPE_CHECKING:
    from elision.data import Store

RATES = (1e-3, 3e-3, 3e-4)
LINES = [*list(METHODS)[:4], "visual alone", "audio alone"]
SIDE, WINDOWS, STEPS = 80, 4, 300
FROZEN = 4
"""Blocks that stay as they are: edges and colours, at the highest resolution."""


class Mouth(nn.Module):
    """(n, windows, 3, h, w), standardised as one, to k: how the cells of the middle layer change over the windows."""

    def __init__(self, state: dict[str, Tensor], k: int = 32) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*layers()[: MIDDLE + 1])
        self.blocks.load_state_dict(state)
        self.project = nn.Sequential(nn.Dropout(0.5), nn.Linear((WINDOWS - 1) * 112 * 9, k))

    def train(self, mode: bool = True) -> "Mouth":
        """Set training mode, except for the pretrained statistics."""
        super().train(mode)
        self.blocks.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return features (n, k)."""
        x = varied(x) if self.training else x
        x = functional.interpolate(x.flatten(0, 1) * 0.5, 112, mode="bilinear")
        with torch.no_grad():
            x = self.blocks[:FROZEN](x)
        cells = functional.adaptive_avg_pool2d(self.blocks[FROZEN:](x), 3).flatten(1)
        change = cells.view(-1, WINDOWS, cells.shape[1]).diff(dim=1).flatten(1)
        return self.project(functional.layer_norm(change, change.shape[1:]))


def varied(x: Tensor) -> Tensor:
    """Shift all pictures of a sample alike by up to 6 pixels, mirror half of the samples, change light and contrast."""
    n, _, _, height, width = x.shape
    padded = functional.pad(x.flatten(0, 1), (6,) * 4, mode="replicate").view(*x.shape[:3], height + 12, width + 12)
    top, left = torch.randint(0, 13, (2, n)).tolist()
    moved = torch.stack([p[..., t : t + height, s : s + width] for p, t, s in zip(padded, top, left, strict=True)])
    mirrored = torch.rand(n, 1, 1, 1, 1, device=x.device) < 0.5
    light, contrast = (0.2 * torch.randn(2, n, 1, 1, 1, 1, device=x.device)).unbind(0)
    return torch.where(mirrored, moved.flip(-1), moved) * (1 + contrast) + light


def pack(source: Path, file: Path) -> None:
    """Prepare the clips, and write pictures, spectrograms and the network's first blocks into one file."""
    from benchmarks.grid_mouth import mouth
    from benchmarks.grid_training import prepare_store
    from elision.data import Store
    from elision.media.extract import MediaSettings

    folder = file.parent / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    settings = MediaSettings(windows=WINDOWS, seconds=0.4, size=SIDE, noise_db=-10.0, crop=mouth)
    prepare_store(source / "grid", folder / "store", settings, reach=0.36)
    write(Store(folder / "store"), file)


def write(store: "Store", file: Path) -> None:
    """Write the pictures of a sample as one strip, and its spectrograms, of half as many bands and moments, too."""
    from PIL import Image

    from benchmarks.pretrained_networks import efficientnet

    strips, sound = [], []
    for i in range(len(store)):
        buffer = io.BytesIO()
        strip = np.concatenate([store.window(i, "visual", w) for w in range(WINDOWS)], axis=1)
        Image.fromarray(strip).save(buffer, "JPEG", quality=90)
        strips.append(np.frombuffer(buffer.getvalue(), np.uint8))
        sound.append(coarser(np.concatenate([store.window(i, "audio", w)[:, :-1] for w in range(WINDOWS)], axis=1)))
    state = efficientnet()[: MIDDLE + 1].state_dict()
    np.savez_compressed(
        file, strips=np.concatenate(strips), sizes=[len(s) for s in strips], sound=np.stack(sound).astype(np.float16),
        labels=store.labels, **{f"net.{name}": value.half().numpy() for name, value in state.items()},
    )  # fmt: skip


def unpack(file: Path) -> tuple[Dataset, dict[str, Tensor]]:
    from torchvision.io import decode_jpeg

    found = np.load(file)
    ends = np.cumsum(found["sizes"])
    strips = [decode_jpeg(torch.from_numpy(s.copy())) for s in np.split(found["strips"], ends[:-1])]
    pictures = torch.stack(strips).view(-1, 3, SIDE, WINDOWS, SIDE).permute(0, 3, 1, 2, 4)
    arrays = {"visual": pictures.numpy().astype(np.float32) / 255, "audio": found["sound"].astype(np.float32)}
    state = {n.removeprefix("net."): torch.from_numpy(found[n]) for n in found.files if n.startswith("net.")}
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    return Dataset("grid", arrays, found["labels"]), state


def one(file: Path, line: str, seed: int, rate: float) -> dict:
    data, state = unpack(file)
    cell = cell_of(data, False, "visual", 0.8, seed)
    method, objective = METHODS.get(line, ("mle", "conditional"))
    if line not in METHODS:
        cell = only(cell, line.split()[0])
    torch.manual_seed(seed)
    known = {"visual": Mouth(state), "audio": Sound() if data.arrays["audio"].ndim > 2 else "mlp"}
    encoders = {m: known[m] for m in cell.train.arrays}
    model = MultimodalClassifier(
        method, "addition", objective, encoders, n_features=32, max_steps=STEPS, learning_rate=rate, patience=30,
        random_state=seed,
    )  # fmt: skip
    started = time.perf_counter()
    held = cell.validation.arrays, cell.validation.codes
    model.fit(cell.train.arrays, cell.train.codes, validation=held)
    logs = model.predict_log_proba(held[0])
    nll = float(-logs[np.arange(len(held[1])), held[1]].mean())
    asked = ask(model, cell)
    asked = asked if line in METHODS else {line.split()[0]: asked[""]}
    return {"validation": nll, "seconds": time.perf_counter() - started, "asked": asked}


def name_of(line: str, seed: int, rate: float) -> str:
    return f"{line.replace(', ', '-').replace(' ', '-')}-{seed}-{rate:g}"


def run(file: Path, out: Path, seeds: int, workers: int) -> None:
    """Start a process for each run that is left, some at a time, the first seed first."""
    every = [(line, seed, rate) for seed, rate, line in product(range(seeds), RATES, LINES)]
    left = [one for one in every if not (out / f"{name_of(*one)}.json").is_file()]
    out.mkdir(parents=True, exist_ok=True)
    running: list[subprocess.Popen] = []
    while left or running:
        running = [process for process in running if process.poll() is None]
        while left and len(running) < workers:
            line, seed, rate = left.pop(0)
            words = ["one", str(file), "--out", str(out), "--line", line, "--seed", str(seed), "--rate", str(rate)]
            running.append(subprocess.Popen([sys.executable, "-m", "benchmarks.pretrained_training", *words]))
        time.sleep(0.2)
    show(out, seeds)


def show(out: Path, seeds: int) -> None:
    """Print the table of the seeds that are whole, the rate of each line chosen by validation NLL."""
    found = []
    for seed in range(seeds):
        chosen = {}
        for line in LINES:
            files = [out / f"{name_of(line, seed, rate)}.json" for rate in RATES]
            kept = [json.loads(f.read_text()) for f in files if f.is_file()]
            if kept:
                chosen[line] = min(kept, key=lambda k: k["validation"])["asked"]
        if set(chosen) == set(LINES):
            found.append(chosen)
    print(f"{len(found)} seeds\n" + (table(found, ["visual", "audio"]) if found else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pack", "run", "one", "show"])
    parser.add_argument("source", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--line")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    if given.what == "pack":
        pack(given.source, given.file)
    elif given.what == "run":
        run(given.source, given.out, given.seeds, given.workers)
    elif given.what == "one":
        kept = given.out / f"{name_of(given.line, given.seed, given.rate)}.json"
        once(kept, lambda: one(given.source, given.line, given.seed, given.rate))
    else:
        show(given.out, given.seeds)


if __name__ == "__main__":
    main()
