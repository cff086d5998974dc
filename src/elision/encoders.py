"""Encoders f_m: from the rows of one modality to k features.

An encoder is a pair of modules: a `Frozen` part that looks at the training rows once and is then applied a single time
to all of them, and a trained part behind it. Splitting them is what makes kernels cheap to train on.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

LANDMARKS = 1000
"""At most so many observed training rows span the kernel encoder's features."""
_LEAST_EIGENVALUE = 1e-12


class Frozen(nn.Module, ABC):
    """Maps rows, and is left alone by gradient descent."""

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
    """Leaves rows as they are."""

    def fit(self, rows: Tensor, seed: int) -> None:
        """Do nothing: there is nothing to learn from the rows."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows."""
        return x


class NystroemFeatures(Frozen):
    """Maps x to phi(x) = W k(x, landmarks), so that phi(x) . phi(x') approximates the kernel exp(-gamma |x - x'|^2).

    gamma is 1 / (columns x variance), and W = V D^(-1/2) V^T for the landmarks' kernel V D V^T, so that W W^T is its
    inverse (eigenvalues below 1e-12 count as 1e-12). Landmarks and W are those of scikit-learn's `Nystroem`, whose
    singular value decomposition takes longer and finds the same. The kernel is computed in float64, since W may be
    ill-conditioned.

    Args:
        n_columns: d, of the flattened row.
        n_landmarks: L.
    """

    landmarks: Tensor
    normalization: Tensor
    gamma: Tensor

    def __init__(self, n_columns: int, n_landmarks: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_columns, dtype=torch.float64))
        self.register_buffer("normalization", torch.eye(n_landmarks, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))

    def fit(self, rows: Tensor, seed: int) -> None:
        """Draw the landmarks among the rows, and whiten their kernel."""
        flat = rows.flatten(1).double()
        self.gamma.fill_(1.0 / (flat.shape[1] * (float(flat.var(correction=0)) or 1.0)))
        chosen = np.random.RandomState(seed).permutation(len(flat))[: len(self.landmarks)]
        self.landmarks.copy_(flat[torch.from_numpy(chosen).to(flat.device)])
        values, vectors = torch.linalg.eigh(self._kernel(self.landmarks))
        self.normalization.copy_((vectors / values.clamp(min=_LEAST_EIGENVALUE).sqrt()) @ vectors.T)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ...) to (n, L), in the precision of x."""
        return (self._kernel(x.flatten(1).double()) @ self.normalization.double().T).to(x.dtype)

    def _kernel(self, x: Tensor) -> Tensor:
        landmarks = self.landmarks.double()
        if torch.compiler.is_compiling():  # an exported graph: cdist's own depends on how many rows there are
            squares = x.square().sum(1, keepdim=True) + landmarks.square().sum(1) - 2 * x @ landmarks.T
        else:
            squares = torch.cdist(x, landmarks).square()
        return torch.exp(-self.gamma.double() * squares)


class ByteDropout(nn.Module):
    """Drops numbers by one random byte each: cheap to draw, and equal in expectation to `torch.nn.Dropout`.

    A number is dropped where its byte is below round(256 p) and divided by the share that is kept elsewhere, so that
    its mean is exact, and its rate within 1/512 of p: .3 is 77/256 = .3008. The bytes are those of 64-bit draws of
    torch's generator: where a byte is all that is needed, `torch.nn.Dropout` spends five times as long.

    Args:
        p: of being dropped, in [0, 1); at most 255/256 are.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p is {p}: expected a probability of at least 0 and below 1")
        self.below = min(round(256 * p), 255)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with numbers dropped, or x itself in evaluation mode."""
        if not self.training or not self.below:
            return x
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.below
        return x * kept.to(x.dtype).mul_(256 / (256 - self.below))


class UnitRowLinear(nn.Linear):
    """A linear layer for rows of length 1, such as Nystroem features: k(x, x) = 1."""

    @property
    def fan_in(self) -> float:
        """Return how much the numbers of a row add up to at most, for `elision.rates`: the square root of d."""
        return math.sqrt(self.in_features)


def kernel(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """Return Nystroem features of an RBF kernel with up to 1000 of the rows as landmarks, then one linear layer."""
    n_landmarks = min(LANDMARKS, n_rows)
    trained = UnitRowLinear(n_landmarks, n_features)
    return Encoder(NystroemFeatures(math.prod(shape), n_landmarks), trained, (n_landmarks,))


def linear(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """Return one linear layer on the flattened row."""
    return Encoder(Unchanged(), nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), n_features)), tuple(shape))


def mlp(shape: Sequence[int], n_rows: int, n_features: int) -> Encoder:
    """Return two hidden layers of 128 rectified units with dropout 0.3, on the flattened row."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in (math.prod(shape), 128):
        layers += [nn.Linear(width, 128), nn.ReLU(), ByteDropout(0.3)]
    return Encoder(Unchanged(), nn.Sequential(*layers, nn.Linear(128, n_features)), tuple(shape))


AUTO = ("kernel", "mlp")
"""What `encoders="auto"` fits and averages by validation likelihood: neither wins everywhere."""
