"""Simple numbers per sample from a store: enough to compare methods without a network for pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from elision.data.dataset import Dataset

if TYPE_CHECKING:
    from elision.data.store import Store

SIDE = 12


def pooled(store: "Store", name: str | None = None) -> Dataset:
    """A data set with a row of numbers per sample and modality, NaN where the store does not show it.

    * spectrogram (bands x frames, some windows): mean and standard deviation over windows and time of each band.
    * frames: mean and standard deviation over the windows of a grey picture of 12 x 12 pixels, in [0, 1].
    * image: the grey picture.
    * features: as they are.

    A modality that no sample shows is left out. One sample is in memory at a time.

    Args:
        store: all of it is read and decoded, about a thousand windows a second.
        name: for tables; the store folder's name if None.
    """
    arrays = {}
    for m, modality in store.info.modalities.items():
        shown = np.flatnonzero(store.observed[m])
        if len(shown):
            rows = [_POOLS[modality.kind](store, sample, m) for sample in shown.tolist()]
            arrays[m] = np.full((len(store), len(rows[0])), np.nan)
            arrays[m][shown] = rows
    return Dataset(name or Path(str(store.address)).name, arrays, store.labels, store.groups, store.parts)


def _spectrogram(store: "Store", sample: int, m: str) -> np.ndarray:
    values = store.numbers(sample, m).astype(np.float64)
    return np.concatenate([values.mean((0, 2)), values.std((0, 2))])


def _frames(store: "Store", sample: int, m: str) -> np.ndarray:
    grey = np.stack([_grey(store, sample, m, window) for window in range(store.info.modalities[m].windows)])
    return np.concatenate([grey.mean(0), grey.std(0)])


def _grey(store: "Store", sample: int, m: str, window: int = 0) -> np.ndarray:
    """Shape (144,), in [0, 1]."""
    picture = Image.fromarray(store.pixels(sample, m, window)).convert("L")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel() / 255


def _features(store: "Store", sample: int, m: str) -> np.ndarray:
    return store.numbers(sample, m).astype(np.float64)


_POOLS = {"spectrogram": _spectrogram, "frames": _frames, "image": _grey, "features": _features}
