"""Small stores and trainings for the tests of deep training, and what runs in processes of its own."""

import io
import os
import signal
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from elision.config import EncoderConfig, TrainConfig
from elision.data.schema import Row
from elision.data.store import Store
from elision.deep.train import train
from elision.kinds import Modality
from stores import written

WINDOWS = 2
MODALITIES = {
    "visual": Modality("frames", (3, 24, 24), WINDOWS),
    "audio": Modality("spectrogram", (16, 20), WINDOWS),
    "face": Modality("features", (4,)),
}
CONFIG = TrainConfig(
    by_group=False,
    epochs=3,
    batch_size=12,
    missing="visual",
    rate=0.5,
    n_features=8,
    log_steps=1,
    checkpoint_steps=2,
    encoders={"visual": EncoderConfig(augment=True)},
)
"""Dropout, augmentation, a remembered bank: everything that chance and memory have a hand in."""


def sample(i: int, shown=tuple(MODALITIES)) -> Row:
    """Three classes that every modality tells apart, noisily; sample 4 of every ten has no label."""
    rng = np.random.default_rng(i)
    z = i % 3
    values = {
        "visual": [_jpeg(rng, z) for _ in range(WINDOWS)],
        "audio": (rng.normal(size=(WINDOWS, 16, 20)) + z).astype(np.float16),
        "face": rng.normal(z, 1, 4).astype(np.float32),
    }
    label = "" if i % 10 == 4 else "uvw"[z]
    return Row(f"s{i:03d}", label, f"g{i % 7}", "", 1.0, {m: values[m] for m in shown})


def _jpeg(rng: np.random.Generator, z: int) -> bytes:
    pixels = np.clip(rng.normal(60 + 50 * z, 30, (24, 24, 3)), 0, 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    return content.getvalue()


def store(folder: Path, n: int = 40) -> Store:
    return Store(written(folder, [sample(i) for i in range(n)], per_shard=15, modalities=MODALITIES))


class Steep(nn.Module):
    """An own module without dropout or batch statistics, smooth so that float64 comparisons are sharp."""

    def __init__(self, n_numbers: int, n_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n_numbers, 6), nn.Tanh(), nn.Linear(6, n_features))

    def forward(self, x):
        weight = self.layers[1].weight
        return self.layers(x.to(weight) / (255 if not x.is_floating_point() else 1))


def own_modules() -> dict[str, nn.Module]:
    import torch

    torch.manual_seed(5)
    return {m: Steep(int(np.prod(v.shape)), CONFIG.n_features) for m, v in MODALITIES.items()}


def killed_at(step: int, by: int = signal.SIGKILL):
    """A report that ends the process for good, or asks it to end."""

    def report(told):
        if told.step == step and "loss" in told.values:
            os.kill(os.getpid(), by)

    return report


if __name__ == "__main__":
    data, out, step = sys.argv[1:]
    train(data, out, CONFIG, report=killed_at(int(step)))
