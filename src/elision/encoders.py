"""Encoders f_m: from the rows of one modality to k features.

An encoder is a pair of modules: a `frozen` part that is fitted once, if at all, and then applied a single time to all
training rows, and a `trained` part behind it. Splitting them is what makes kernels, and pretrained networks that are
only read off, cheap to train on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

LANDMARKS = 1000
"""At most so many observed training rows span the kernel encoder's features."""


@dataclass(frozen=True)
class Encoder:
    """A frozen map and the module trained on what it returns: f(x) = trained(frozen(x))."""

    frozen: nn.Module
    trained: nn.Module


class NystroemFeatures(nn.Module):
    """phi(x) = W k(x, landmarks), so that phi(x) . phi(x') approximates the RBF kernel exp(-gamma |x - x'|^2).

    Landmarks and W are scikit-learn's `Nystroem`; the kernel is computed in float64, since W may be ill-conditioned.

    Args:
        landmarks: shape (L, d).
        normalization: W, shape (L, L).
        gamma: inverse squared width of the kernel, > 0.
    """

    def __init__(self, landmarks: Tensor, normalization: Tensor, gamma: float) -> None:
        super().__init__()
        self.register_buffer("landmarks", landmarks)
        self.register_buffer("normalization", normalization)
        self.register_buffer("gamma", torch.tensor(gamma, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to (n, L), in the precision of x."""
        landmarks, normalization = self.landmarks.double(), self.normalization.double()
        kernel = torch.exp(-self.gamma * torch.cdist(x.double(), landmarks).square())
        return (kernel @ normalization.T).to(x.dtype)


def linear(rows: Tensor, n_features: int, seed: int) -> Encoder:
    """One linear layer on the flattened row."""
    return Encoder(nn.Identity(), nn.Sequential(nn.Flatten(), nn.Linear(rows[0].numel(), n_features)))


def mlp(rows: Tensor, n_features: int, seed: int) -> Encoder:
    """Two hidden layers of 128 rectified units with dropout 0.3, on the flattened row."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = rows[0].numel()
    for hidden in (128, 128):
        layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.3)]
        width = hidden
    return Encoder(nn.Identity(), nn.Sequential(*layers, nn.Linear(width, n_features)))


def kernel(rows: Tensor, n_features: int, seed: int) -> Encoder:
    """Nystroem features of an RBF kernel of width 1 / (columns x variance), then one linear layer.

    The landmarks are up to `LANDMARKS` of the observed training rows.
    """
    from sklearn.kernel_approximation import Nystroem

    flat = rows.flatten(1).double().numpy()
    gamma = 1.0 / (flat.shape[1] * max(float(flat.var()), np.finfo(float).tiny))
    n_landmarks = min(LANDMARKS, len(flat))
    map_ = Nystroem(gamma=gamma, n_components=n_landmarks, random_state=seed).fit(flat)
    features = NystroemFeatures(torch.from_numpy(map_.components_), torch.from_numpy(map_.normalization_), gamma)
    return Encoder(nn.Sequential(nn.Flatten(), features), nn.Linear(n_landmarks, n_features))


ENCODERS: dict[str, Callable[[Tensor, int, int], Encoder]] = {"kernel": kernel, "mlp": mlp, "linear": linear}
"""name -> a function of (observed training rows (n_m, ...), k, seed)."""
