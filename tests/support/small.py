"""A small world of two modalities, and a classifier that is trained on it in a moment."""

import numpy as np

from elision import MultimodalClassifier


def small_world(n: int = 80, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = {"a": rng.normal(size=(n, 2)) + 3 * y[:, None], "b": rng.normal(size=(n, 3)) - 3 * y[:, None]}
    X["b"][: n // 2] = np.nan
    return X, y


def small_model(*args, **options) -> MultimodalClassifier:
    return MultimodalClassifier(*args, **({"encoders": "linear", "max_steps": 40, "random_state": 0} | options))
