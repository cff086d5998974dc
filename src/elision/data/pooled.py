"""Simple numbers per sample from a store: enough to compare methods without a network for pictures."""

from typing import TYPE_CHECKING

import numpy as np

from elision.data.dataset import Dataset

if TYPE_CHECKING:
    from elision.data.store import Store


def pooled(store: "Store") -> Dataset:
    """Return a data set with a row of numbers per sample and modality, NaN where the store does not show it.

    * spectrogram (bands x frames, some windows): mean and standard deviation over windows and time of each band.
    * frames: mean and standard deviation over the windows of a grey picture of 12 x 12 pixels, in [0, 1].
    * image: the grey picture.
    * features: as they are.

    A modality that no sample shows is left out. One sample is in memory at a time.

    Args:
        store: all of it is read and decoded, about a thousand windows a second.

    """
    arrays = {}
    for m, modality in store.info.modalities.items():
        shown = np.flatnonzero(store.observed[m])
        if len(shown):
            windows = range(modality.windows)
            rows = [modality.form.pooled([store.window(s, m, w) for w in windows]) for s in shown.tolist()]
            arrays[m] = np.full((len(store), len(rows[0])), np.nan)
            arrays[m][shown] = rows
    return Dataset(store.name, arrays, store.labels, store.groups, store.parts)
