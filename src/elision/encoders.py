"""Encoders f_m: from the rows of one modality to k features.

An encoder is a pair of modules: a `Frozen` part that looks at the training rows once and is then applied a single time
to all of them, and a trained part behind it. Splitting them is what makes kernels cheap to train on.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

LANDMARKS = 1000
"""At most so many observed training rows span the kernel encoder's features."""


class Frozen(nn.Module, ABC):
    """A map of rows that gradient descent leaves alone."""

    @abstractmethod
    def fit(self, rows: Tensor, seed: int) -> None:
        """Learn what there is to learn from the observed training rows, shape (n_m, ...)."""


@dataclass(frozen=True)
class Encoder:
    """f(x) = trained(frozen(x)): (n_m, ...) to (n_m, k).

    Args:
        frozen: the part that is not trained.
        trained: the part that is.
        shape: of a row between the two.
    """

    frozen: Frozen
    trained: nn.Module
    shape: tuple[int, ...]


class Unchanged(Frozen):
    """The identity."""

    def fit(self, rows: Tensor, seed: int) -> None:
        """There is nothing to learn."""

    def forward(self, x: Tensor) -> Tensor:
        """The rows as they are."""
        return x


class NystroemFeatures(Frozen):
    """phi(x) = W k(x, landmarks), so that phi(x) . phi(x') approximates the kernel exp(-gamma |x - x'|^2).

    gamma is 1 / (columns x variance). Landmarks and W are those of scikit-learn's `Nystroem`; the kernel is computed in
    float64, since W may be ill-conditioned.

    Args:
        n_columns: d, of the flattened row.
        n_landmarks: L.
    """

    def __init__(self, n_columns: int, n_landmarks: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_columns, dtype=torch.float64))
        self.register_buffer("normalization", torch.eye(n_landmarks, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))

    def fit(self, rows: Tensor, seed: int) -> None:
        """Draw the landmarks among the rows, and whiten their kernel."""
        from sklearn.kernel_approximation import Nystroem

        flat = rows.flatten(1).double().cpu().numpy()
        gamma = 1.0 / (flat.shape[1] * (float(flat.var()) or 1.0))
        fitted = Nystroem(gamma=gamma, n_components=len(self.landmarks), random_state=seed).fit(flat)
        self.landmarks.copy_(torch.from_numpy(fitted.components_))
        self.normalization.copy_(torch.from_numpy(fitted.normalization_))
        self.gamma.fill_(gamma)

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) to (n, L), in the precision of x."""
        distances = torch.cdist(x.flatten(1).double(), self.landmarks.double())
        kernel = torch.exp(-self.gamma.double() * distances.square())
        return (kernel @ self.normalization.double().T).to(x.dtype)


def kernel(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """Nystroem features of an RBF kernel with up to 1000 of the rows as landmarks, then one linear layer."""
    n_landmarks = min(LANDMARKS, n_rows)
    trained = nn.Linear(n_landmarks, n_features)
    return Encoder(NystroemFeatures(prod(shape), n_landmarks), trained, (n_landmarks,))


def linear(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """One linear layer on the flattened row."""
    return Encoder(Unchanged(), nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), n_features)), tuple(shape))


def mlp(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """Two hidden layers of 128 rectified units with dropout 0.3, on the flattened row."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (prod(shape), 128):
        layers += [nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.3)]
    return Encoder(Unchanged(), nn.Sequential(*layers, nn.Linear(128, n_features)), tuple(shape))


AUTO = ("kernel", "mlp")
"""What `encoders="auto"` fits and averages by validation likelihood: neither wins everywhere."""
