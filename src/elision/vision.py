"""Networks f_m that learn from frames, spectrograms and numbers themselves: rows to k features, end to end.

A `Network` is a preparation (pixels or decibels to what the backbone expects), a backbone, and a projection to k
features. The backbones are torchvision's, or small ones of our own for modest data and CPUs. A spectrogram has one
channel, which is repeated three times for a torchvision backbone, so that its pretrained first convolution is used as
it is.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torch.nn import functional

from elision.errors import InputError, check_choice
from elision.kinds import KINDS
from elision.registries import NETWORKS

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GRID = 4
"""Cells a side into which `SmallConvolutions` pools: it keeps roughly where things are."""


class Frames(nn.Module):
    """Frames, uint8 (n, 3, H, W), or float in [0, 1], to ImageNet's mean and deviation.

    Args:
        augment: in training mode, shift each frame by up to an eighth of its size and mirror half of them; drawn from
            torch's generator.
    """

    def __init__(self, augment: bool = False) -> None:
        super().__init__()
        self.augment = augment
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1))

    def fit(self, rows: Tensor) -> None:
        """Do nothing: there is nothing to learn."""

    def forward(self, rows: Tensor) -> Tensor:
        """Return normalised frames of the same shape, floating-point."""
        scale = 1.0 if rows.is_floating_point() else 255.0
        x = (rows.to(self.mean.dtype) / scale - self.mean) / self.deviation
        return _shift_and_mirror(x) if self.augment and self.training else x


class Standardized(nn.Module):
    """(x - mean) / deviation, learnt from training rows: of each column of numbers, or one for all of a spectrogram.

    Args:
        shape: of a row.
        channels: what a spectrogram's one channel is repeated to.
    """

    def __init__(self, shape: Sequence[int], channels: int = 1) -> None:
        super().__init__()
        self.by_column, self.channels = len(shape) == 1, channels
        size = tuple(shape) if self.by_column else ()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def fit(self, rows: Tensor) -> None:
        """Learn mean and deviation from some training rows, NaN aside; a column that does not vary keeps its scale."""
        rows = rows.double()
        axes = (0,) if self.by_column else tuple(range(rows.dim()))
        mean = rows.nanmean(axes)
        deviation = (rows - mean).square().nanmean(axes).sqrt()
        self.mean.copy_(mean.nan_to_num(0.0))
        self.deviation.copy_(torch.where(deviation > 1e-12, deviation, 1.0))

    def forward(self, rows: Tensor) -> Tensor:
        """Return standardised rows, or (n, channels, bands, frames) of them; NaN, a blank cell, becomes the mean."""
        x = ((rows.to(self.mean.dtype) - self.mean) / self.deviation).nan_to_num(0.0)
        return x if self.channels == 1 else x.expand(-1, self.channels, -1, -1)


class SmallConvolutions(nn.Module):
    """Four convolutions of stride 2 with group normalisation, pooled to 4 x 4 cells; for modest data and CPUs.

    Normalises each row by itself: features do not depend on what else is in the batch.
    """

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        sizes = (channels, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_GRID), nn.Flatten(), nn.Dropout(0.3))
        self.n_outputs = sizes[-1] * _GRID**2

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, H, W) to (n, n_outputs)."""
        return self.layers(x)


class Perceptron(nn.Module):
    """Two hidden layers of 128 rectified units with dropout 0.3, on the flattened row."""

    n_outputs = 128

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for width in (prod(shape), 128):
            layers += [nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ...) to (n, 128)."""
        return self.layers(x)


class Network(nn.Module):
    """f(x) = projection(backbone(preparation(x))): (n, ...) to (n, k).

    Args:
        preparation: with a method ``fit`` for some training rows.
        backbone: with ``n_outputs``, (n, ...) to (n, n_outputs).
        n_features: k.
        frozen: leave the backbone as it is, the statistics of its batch normalisation too.
    """

    autocast: torch.dtype | None = None
    """Half precision for backbone and projection; features come in that of the parameters all the same."""
    channels_last = False

    def __init__(self, preparation: nn.Module, backbone: nn.Module, n_features: int, frozen: bool = False) -> None:
        super().__init__()
        self.preparation, self.backbone, self.frozen = preparation, backbone, frozen
        self.projection = nn.Linear(backbone.n_outputs, n_features)
        if frozen:
            backbone.requires_grad_(False)
            backbone.eval()

    def train(self, mode: bool = True) -> "Network":
        """Set training mode, except for a frozen backbone."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def fit(self, rows: Tensor) -> None:
        """Learn from some observed training rows what the preparation needs."""
        self.preparation.fit(rows)

    def set_channels_last(self) -> None:
        """Keep images with their channels innermost, which half precision on a GPU likes."""
        self.channels_last = True
        self.backbone.to(memory_format=torch.channels_last)

    def forward(self, rows: Tensor) -> Tensor:
        """Return k features for each row: (n, ...) to (n, k)."""
        x = self.preparation(rows)
        if self.channels_last and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                x = self.backbone(x)
            return self.projection(x).to(self.projection.weight.dtype)


class Own(nn.Module):
    """A module of the user's own: rows as they are stored (uint8 frames too) to k features."""

    autocast: torch.dtype | None = None

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def fit(self, rows: Tensor) -> None:
        """Do nothing: there is nothing to learn."""

    def set_channels_last(self) -> None:
        """Keep the module's weights with their channels innermost."""
        self.module.to(memory_format=torch.channels_last)

    def forward(self, rows: Tensor) -> Tensor:
        """Return what the module does; floating-point rows are given to it in the precision of its parameters."""
        precision = next((p.dtype for p in self.module.parameters()), torch.get_default_dtype())
        x = rows.to(precision) if rows.is_floating_point() else rows
        with torch.autocast(x.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            return self.module(x).to(precision)


def network(
    name: str,
    kind: str,
    shape: Sequence[int],
    n_features: int,
    weights: str | None = None,
    frozen: bool = False,
    augment: bool = False,
) -> Network:
    """Build a network by name.

    Args:
        name: in `NETWORKS`.
        kind: of the modality, in `KINDS`.
        shape: of a row: (3, H, W), (bands, frames) or (d,).
        n_features: k.
        weights: pretrained ones by torchvision's name, such as "IMAGENET1K_V2"; None starts from nothing.
        frozen: leave the backbone alone.
        augment: see `Frames`.

    Raises:
        InputError: the network does not take such rows, or there are no such weights, or they are neither in torch's
            cache nor to be downloaded.
    """
    check_choice("encoder", name, NETWORKS)
    if weights is not None and name not in TORCHVISION:
        raise InputError(f"encoder {name!r} has no pretrained weights ({weights!r}): use {', '.join(TORCHVISION)}")
    if frozen and weights is None:
        raise InputError(f"encoder {name!r} is to be frozen without pretrained weights: it would stay random; set both")
    check_choice("kind of modality", kind, KINDS)
    form = KINDS[kind]
    if not form.planar and name != "mlp":
        raise InputError(f"encoder {name!r} takes frames or spectrograms, and the modality holds numbers: use mlp")
    backbone = NETWORKS[name](name, shape, form.channels, weights)
    repeated = 3 if name in TORCHVISION else 1
    preparation = Frames(augment) if form.picture else Standardized(shape, repeated)
    return Network(preparation, backbone, n_features, frozen)


class _Backbone(nn.Module):
    """A torchvision classifier without its last layer."""

    def __init__(self, layers: nn.Module, n_outputs: int) -> None:
        super().__init__()
        self.layers, self.n_outputs = layers, n_outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


def residual(name: str, shape: Sequence[int], channels: int, weights: str | None) -> _Backbone:
    """Return a residual network up to its average over the picture."""
    model = _torchvision(name, weights)
    n_outputs = model.fc.in_features
    model.fc = nn.Identity()
    return _Backbone(model, n_outputs)


def vgg(name: str, shape: Sequence[int], channels: int, weights: str | None) -> _Backbone:
    """Return the convolutions, averaged over the picture to 512 numbers, without the three dense layers behind them."""
    if min(shape[-2:]) < 32:
        raise InputError(f"encoder {name!r} halves its picture five times, and {tuple(shape)} is smaller than 32")
    return _Backbone(nn.Sequential(_torchvision(name, weights).features, nn.AdaptiveAvgPool2d(1)), 512)


def small(name: str, shape: Sequence[int], channels: int, weights: str | None) -> SmallConvolutions:
    """Return the small network, which takes rows of any size and has no pretrained weights."""
    return SmallConvolutions(channels)


def perceptron(name: str, shape: Sequence[int], channels: int, weights: str | None) -> Perceptron:
    """Return the network of numbers, which has no pretrained weights."""
    return Perceptron(shape)


TORCHVISION = ("resnet18", "resnet34", "resnet50", "vgg16")


def _torchvision(name: str, weights: str | None) -> nn.Module:
    from torchvision.models import get_model, get_model_weights

    model = get_model(name, weights=None)
    if weights is not None:
        known = {w.name: w for w in get_model_weights(name)} | {"DEFAULT": get_model_weights(name).DEFAULT}
        check_choice(f"weights of {name}", weights, known)
        state = torch.load(_weight_file(known[weights].url, name, weights), map_location="cpu", weights_only=True)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(f"the file of weights {weights} does not fit {name}: {error}") from error
    return model


def _weight_file(url: str, name: str, weights: str) -> Path:
    """Return the file in torch's cache, downloaded if it is not there yet."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = file.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"weights {weights} of {name} are not here and cannot be downloaded ({error}): fetch {url} elsewhere "
                f"and put it into {file.parent} as {file.name} (TORCH_HOME moves that folder)"
            ) from error
    return file


def _shift_and_mirror(x: Tensor) -> Tensor:
    n, _, height, width = x.shape
    reach = max(min(height, width) // 8, 1)
    padded = functional.pad(x, (reach,) * 4, mode="reflect")
    top, left = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    mirrored = torch.rand(n, 1, device=x.device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    batch = torch.arange(n, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
