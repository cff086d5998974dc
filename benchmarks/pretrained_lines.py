"""Lines of the benchmarks with pretrained networks, what they are asked, and their table; no recordings are read."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t
from torch import Tensor, nn

from elision import MultimodalClassifier
from elision.data.dataset import Dataset
from elision.data.partition import Partition, Removal
from elision.inputs import Samples, observed_rows
from elision.vision import SmallConvolutions

METHODS = {
    "mle, joint": ("mle", "joint"), "mle, conditional": ("mle", "conditional"),
    "zero padding": ("zero-padding", "conditional"), "lower bound": ("lower-bound", "conditional"),
    "late fusion": ("late-fusion", "conditional"), "hgr": ("hgr", "conditional"), "ae1": ("ae1", "conditional"),
    "ae2": ("ae2", "conditional"),
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Samples to learn from, some without a modality, to stop by, and to be judged on, complete both."""

    train: Samples
    validation: Samples
    test: Samples


class Sound(nn.Module):
    """(n, 1, bands, moments), standardised as one, to k: four small convolutions that start from nothing."""

    def __init__(self, k: int = 32) -> None:
        super().__init__()
        layers = SmallConvolutions(1)
        self.layers = nn.Sequential(layers, nn.Linear(layers.n_outputs, k))

    def forward(self, x: Tensor) -> Tensor:
        """Return features (n, k)."""
        return self.layers(x)


def coarser(spectrogram: np.ndarray) -> np.ndarray:
    """Return one of half as many bands and moments: (1, bands / 2, moments / 2), float32."""
    bands, moments = (size // 2 * 2 for size in spectrogram.shape)
    whole = spectrogram[:bands, :moments].astype(np.float32)
    return whole.reshape(bands // 2, 2, moments // 2, 2).mean((1, 3))[None]


def cell_of(data: Dataset, by_group: bool, missing: str, rate: float, seed: int) -> Cell:
    """Split as `elision compare` does, and take a modality away from some of the training samples."""
    divided = Partition.of(data, seed, by_group, Removal(missing, rate))
    whole = Samples(dict(data.arrays), divided.codes)
    train, validation, test = (whole.take(rows) for rows in (divided.train, divided.validation, divided.test))
    values, shown = train.arrays[missing], divided.observed[missing][divided.train]
    hidden = np.where(shown.reshape(-1, *[1] * (values.ndim - 1)), values, np.float32(np.nan))
    return Cell(Samples({**train.arrays, missing: hidden}, train.codes), validation, test)


def only(cell: Cell, m: str) -> Cell:
    """Return the samples that show a modality, and that alone."""

    def of(samples: Samples) -> Samples:
        rows = observed_rows(samples.arrays[m])
        return Samples({m: samples.arrays[m][rows]}, samples.codes[rows])

    return Cell(of(cell.train), of(cell.validation), of(cell.test))


def fitted(cell: Cell, seed: int, method: str, objective: str) -> MultimodalClassifier:
    encoders = {m: Sound() if a.ndim > 2 else "mlp" for m, a in cell.train.arrays.items()}
    torch.manual_seed(seed)
    model = MultimodalClassifier(method, "addition", objective, encoders, n_features=32, random_state=seed)
    return model.fit(cell.train.arrays, cell.train.codes, validation=(cell.validation.arrays, cell.validation.codes))


def ask(model: MultimodalClassifier, cell: Cell) -> dict[str, list]:
    arrays, codes = cell.test.arrays, cell.test.codes
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
    for name in [name for name in METHODS if name in found[0]][1:]:
        other = pooled(found, name, "")
        lines.append(f"mle, joint minus {name}: {lead(joint, other)} points, {nats(joint, other)} nats")
    return "\n".join(lines)


def pooled(found: list[dict], name: str, asked: str) -> tuple[np.ndarray, np.ndarray]:
    """Return hits and NLL of the test samples of all seeds, one after the other."""
    both = [seed[name][asked] for seed in found]
    return np.concatenate([b[0] for b in both]), np.concatenate([b[1] for b in both])


def lead(ours: tuple, theirs: tuple) -> str:
    return _paired(100 * (ours[0] - theirs[0]), 1)


def nats(ours: tuple, theirs: tuple) -> str:
    return _paired(ours[1] - theirs[1], 3)


def _paired(differences: np.ndarray, digits: int) -> str:
    """Return the mean with its interval of 95 %: over the test samples of all seeds, as if none were in two."""
    half = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.{digits}f} ± {half:.{digits}f}"
