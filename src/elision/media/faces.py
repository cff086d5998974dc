"""The largest face of a picture, by MTCNN (Zhang et al., IEEE Signal Processing Letters 2016), on the CPU.

Its three small networks are those of the package facenet-pytorch, whose files of weights alone are used:
``pip install --no-deps facenet-pytorch``. A first network is swept over smaller and smaller copies of the picture, a
second and a third look at what it proposes.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from elision.extractors import packaged_weights
from elision.media.image import Box

_FILES = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
_SMALLEST = 1 / 8
"""Side of the smallest face that is looked for, of the picture's short side."""
_SHRINK, _CELL = 0.709, 12
_SURE = (0.6, 0.7, 0.9)
"""What each network must give a box to keep it."""
_MARGIN = 0.2
"""Of the face's longer side, added to it for hair and chin."""


def face(picture: np.ndarray) -> Box | None:
    """Return a square box around the largest face of a picture, (height, width, 3) uint8 RGB; None where there is none.

    Raises:
        InputError: the weights are not here.
    """
    boxes = _faces(torch.from_numpy(picture.copy()))
    if not len(boxes):
        return None
    sides = boxes[:, 2:] - boxes[:, :2]
    largest = int(sides.prod(1).argmax())
    half = float(sides[largest].max()) * (1 + _MARGIN) / 2
    x, y = ((boxes[largest, :2] + boxes[largest, 2:]) / 2).tolist()
    return x - half, y - half, x + half, y + half


@torch.no_grad()
def _faces(picture: Tensor) -> Tensor:
    """Return the boxes of all faces, (n, 4)."""
    pnet, rnet, onet = _networks()
    x = (picture.permute(2, 0, 1)[None].float() - 127.5) / 128
    boxes = _proposed(x, pnet)
    for side, net, pools, dense, sure in ((24, rnet, (3, 3, 0), 4, _SURE[1]), (48, onet, (3, 3, 2, 0), 5, _SURE[2])):
        if not len(boxes):
            break
        boxes = _squared(boxes)
        scores, shifts = _looked_at(_cut(x, boxes, side), net, pools, dense)
        kept = scores > sure
        boxes = _shifted(boxes[kept], shifts[kept])
        boxes = boxes[nms(boxes, scores[kept], 0.7)]
    return boxes


def _proposed(x: Tensor, net: dict[str, Tensor]) -> Tensor:
    """Return boxes where the first network sees a face, at any scale."""
    height, width = x.shape[-2:]
    scale = _CELL / max(_SMALLEST * min(height, width), _CELL)
    found, scores = [], []
    while min(height, width) * scale >= _CELL:
        small = functional.interpolate(x, (int(height * scale + 1), int(width * scale + 1)), mode="area")
        seen = _convolved(small, net, (2, 0, 0))
        score = functional.conv2d(seen, net["conv4_1.weight"], net["conv4_1.bias"]).softmax(1)[0, 1]
        shifts = functional.conv2d(seen, net["conv4_2.weight"], net["conv4_2.bias"])[0]
        rows, columns = (score > _SURE[0]).nonzero(as_tuple=True)
        corner = 2 * torch.stack([columns, rows], 1).float()
        boxes = torch.cat([corner, corner + _CELL], 1) / scale
        kept = nms(boxes, score[rows, columns], 0.5)
        found.append(_shifted(boxes, shifts[:, rows, columns].T)[kept])
        scores.append(score[rows, columns][kept])
        scale *= _SHRINK
    boxes = torch.cat([torch.zeros(0, 4), *found])
    return boxes[nms(boxes, torch.cat([torch.zeros(0), *scores]), 0.7)]


def _convolved(x: Tensor, net: dict[str, Tensor], pools: tuple[int, ...]) -> Tensor:
    for number, pool in enumerate(pools, 1):
        x = functional.conv2d(x, net[f"conv{number}.weight"], net[f"conv{number}.bias"])
        x = functional.prelu(x, net[f"prelu{number}.weight"])
        x = functional.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
    return x


def _looked_at(x: Tensor, net: dict[str, Tensor], pools: tuple[int, ...], dense: int) -> tuple[Tensor, Tensor]:
    """Return how sure a network is of each picture, (n,), and by how much its box is off, in its sides, (n, 4)."""

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, net[f"{name}.weight"], net[f"{name}.bias"])

    x = _convolved(x, net, pools).permute(0, 3, 2, 1).flatten(1)  # as the weights were laid out, width first
    x = functional.prelu(linear(x, f"dense{dense}"), net[f"prelu{dense}.weight"])
    return linear(x, f"dense{dense + 1}_1").softmax(1)[:, 1], linear(x, f"dense{dense + 1}_2")


def _shifted(boxes: Tensor, shifts: Tensor) -> Tensor:
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + shifts * sides.repeat(1, 2)


def _squared(boxes: Tensor) -> Tensor:
    """Return squares of the longer side about the same middle."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([middle - half, middle + half], 1)


def _cut(x: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return what is in the boxes, as far as they are in the picture, at one size: (n, 3, side, side)."""
    height, width = x.shape[-2:]
    pieces = []
    for left, top, right, bottom in boxes.tolist():
        columns = slice(min(max(int(left), 0), width - 1), max(min(int(right), width), 1))
        rows = slice(min(max(int(top), 0), height - 1), max(min(int(bottom), height), 1))
        piece = x[:, :, rows, columns]
        piece = piece if piece.numel() else x.new_zeros(1, 3, side, side)
        pieces.append(functional.interpolate(piece, (side, side), mode="area"))
    return torch.cat(pieces)


@lru_cache
def _networks() -> tuple[dict[str, Tensor], ...]:
    return tuple(packaged_weights("facenet-pytorch", f"facenet_pytorch/data/{n}.pt", d) for n, d in _FILES.items())
