"""Real handwritten digits, cut in two: the data set that Elision carries with scikit-learn."""

import numpy as np

from elision.data.dataset import Dataset


def digits() -> Dataset:
    """Return 1797 digits of 8 x 8 pixels, ten classes; the modalities are their left and right halves, 4 x 8 each.

    Source: scikit-learn's copy of the UCI test set "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    halves = {"left": bunch.images[:, :, :4], "right": bunch.images[:, :, 4:]}
    arrays = {m: half.reshape(len(half), -1).astype(np.float64) for m, half in halves.items()}
    return Dataset("digits", arrays, bunch.target.astype(str))
