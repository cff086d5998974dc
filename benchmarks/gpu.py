"""What a GPU is worth: default fits, many wide rows, and a pair of ResNet-50 in bf16, against the same machine's CPU.

    python -m benchmarks.gpu ../shared/data                 # needs a CUDA device; minutes
    python -m benchmarks.gpu ../shared/data --smoke         # tiny, on the CPU alone: that it runs

Each part prints its lines as soon as it is done. A fit is timed after another has warmed the device up.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.fit_speed import arrays_of
from benchmarks.manifests import ravdess
from benchmarks.timing import machine
from benchmarks.wide import WORDS, Parts, parts, words
from elision.batch import Batch
from elision.estimator import MultimodalClassifier
from elision.evaluation import evaluate
from elision.methods.base import Ingredients
from elision.registries import FUSIONS, METHODS
from elision.vision import network

SIZE, K, CLASSES = 224, 128, 6


def seconds(function: Callable[[], object], device: str, repeats: int = 1) -> float:
    """Return the mean seconds of a call, the device's queue emptied before and after."""
    _wait(device)
    started = time.perf_counter()
    for _ in range(repeats):
        function()
    _wait(device)
    return (time.perf_counter() - started) / repeats


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def fits(folder: Path, devices: list[str], steps: int | None) -> None:
    """Print seconds and test results of default fits."""
    sets = {f"words, {name}": words(folder / "words" / file) for name, file in WORDS.items()}
    sets["RAVDESS"] = arrays_of(ravdess(folder / "ravdess"))
    for name, data in sets.items():
        cell = parts(*data, 100, 0.5)
        for device in devices:
            _fit(cell, device, 3)  # warms up
            model, spent = _fit(cell, device, steps)
            m = evaluate(model.predict_log_proba(cell.test.arrays), cell.test.codes)
            print(f"| {name} | {device} | {spent:.2f} s | {m.accuracy:.3f} / {m.nll:.3f} |", flush=True)


def _fit(cell: Parts, device: str, steps: int | None) -> tuple[MultimodalClassifier, float]:
    model = MultimodalClassifier(unlabelled=-1, random_state=100, device=device, max_steps=steps)
    held = (cell.validation.arrays, cell.validation.codes)
    return model, seconds(lambda: model.fit(cell.train.arrays, cell.train.codes, validation=held), device)


def many_rows(devices: list[str], n: int, columns: int, steps: int) -> None:
    """Print seconds of fits of many wide rows, two modalities of which one is missing in half of the rows."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, CLASSES, n)
    means = rng.normal(size=(2, CLASSES, columns)).astype(np.float32)
    arrays = {
        m: rng.standard_normal((n, columns), dtype=np.float32) * 20 + means[i][codes] for i, m in enumerate(("a", "b"))
    }
    arrays["b"][rng.random(n) < 0.5] = np.nan
    for encoder in ("mlp", "kernel"):
        for device in devices:
            model = MultimodalClassifier(
                encoders=encoder, objective="joint", unlabelled=-1, random_state=0, device=device, max_steps=steps
            )
            spent = seconds(lambda model=model: model.fit(arrays, codes), device)
            named = f"{n:,} rows x {columns:,} columns, {encoder}, joint, {steps} steps and a second fit"
            print(f"| {named} | {device} | {spent:.1f} s | - |", flush=True)


def pair(device: str, size: int, batch: int, name: str) -> None:
    """Print images per second of a training step, its share of the device's bf16 rate, and the likelihood's part."""
    kinds = {"visual": ("frames", (3, size, size)), "audio": ("spectrogram", (64, 51))}
    nets = {m: network(name, kind, shape, K).to(device) for m, (kind, shape) in kinds.items()}
    for net in nets.values():
        net.autocast = torch.bfloat16
        net.set_channels_last()
    rows = {
        "visual": torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device),
        "audio": torch.randn(batch, 1, 64, 51, device=device),
    }
    method, stage, everything = _stage(nets, rows, {m: shape for m, (_, shape) in kinds.items()}, device)
    adam = torch.optim.AdamW(method.parameters(), lr=1e-4, fused=device == "cuda")
    method.train()

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        stage.loss(everything).backward()
        adam.step()

    step()
    with FlopCounterMode(display=False) as counter:
        step()
    spent = seconds(step, device, 20 if device == "cuda" else 1)
    rate = counter.get_total_flops() / spent / 1e12
    side = 8192 if device == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 2 * side**3 / seconds(lambda: a @ b, device, 20) / 1e12
    for n_bank in (batch, 40_000):
        features = {m: torch.randn(n_bank, K, device=device) for m in kinds}
        _, own, bank = _stage({m: nn.Identity() for m in kinds}, features, dict.fromkeys(kinds, (K,)), device)
        few = bank.select(torch.arange(batch, device=device))
        few = Batch({m: x.requires_grad_() for m, x in few.inputs.items()}, few.rows, few.labels, few.source)
        likelihood = seconds(lambda few=few, own=own: own.loss(few).backward(), device, 10)
        print(
            f"| {name} pair, batch {batch}, {size} pixels, bank {n_bank:,} | {device} | "
            f"{batch / spent:.0f} samples/s, {1000 * spent:.1f} ms a step, {rate:.1f} of {best:.0f} TFLOP/s "
            f"({rate / best:.0%}) | likelihood {1000 * likelihood:.2f} ms, {likelihood / spent:.1%} |",
            flush=True,
        )


def _stage(nets, rows, shapes, device):
    n = len(next(iter(rows.values())))
    labels = torch.arange(n, device=device) % CLASSES
    fusion = FUSIONS["addition"](list(nets), CLASSES, K)
    prior = torch.full((CLASSES,), -float(np.log(CLASSES)))
    method = METHODS["mle"](Ingredients(nets, fusion, prior, "joint", "bank", shapes)).to(device)
    train = Batch.pack(rows, {m: torch.ones(n, dtype=torch.bool, device=device) for m in rows}, labels)
    stage = next(method.stages(train))
    with torch.no_grad():
        method.eval()
        stage.bank.refresh()
    return method, stage, train


def main() -> None:
    """Print all parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = "cpu" if options.smoke else "cuda"
    devices = ["cpu"] if options.smoke else ["cuda", "cpu"]
    print(machine(), "" if options.smoke else torch.cuda.get_device_name(), flush=True)
    print("| what | device | time | result |\n| --- | --- | --- | --- |", flush=True)
    if options.smoke:
        pair(device, 32, 4, "resnet18")
    else:
        pair(device, SIZE, 256, "resnet50")
    fits(options.folder, devices, 5 if options.smoke else None)
    many_rows(devices, *((300, 20, 5) if options.smoke else (100_000, 4096, 300)))


if __name__ == "__main__":
    main()
