"""Extracted features: files of them, and the frozen networks that they come from."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from elision.data.dataset import Dataset
from elision.data.formats import DETECTED, TableFormat
from elision.data.sources import load_again
from elision.data.store import Store
from elision.errors import InputError
from elision.files import sha256_of_json, write_atomically

SUFFIX = ".safetensors"
WEIGHTS = "IMAGENET1K_V1"
_ROWS_AT_ONCE = 64
_STATISTICS_ROWS = 512


VISUAL_NAMES = ("visual", "face", "video", "image", "frames")
"""What data may call the paper's visual modality."""


@dataclass(frozen=True)
class Extractor:
    """A frozen network per modality.

    Args:
        build: (kind of the modality, shape of a row) to a module that turns rows, as the store gives them, into
            features (n, d), and learns from some rows in ``fit`` what needs no label.
        summary: for a report.
    """

    build: Callable[[str, tuple[int, ...]], nn.Module]
    summary: str


class Headless(nn.Module):
    """A torchvision network without its projection."""

    def __init__(self, name: str, kind: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        from elision import vision

        whole = vision.network(name, kind, shape, n_features=1, weights=WEIGHTS, frozen=True)
        self.preparation, self.backbone = whole.preparation, whole.backbone
        self.fit = self.preparation.fit

    def forward(self, rows: Tensor) -> Tensor:
        """Turn rows (n, ...) into features (n, d)."""
        return self.backbone(self.preparation(rows)).flatten(1)


class RandomFilters(nn.Module):
    """A layer of random filters, rectified and averaged over a grid: no training, no weights to fetch.

    Args:
        kind: of the modality.
        width: filters.
        seed: of the filters.
    """

    filters: Tensor
    deviation: Tensor

    def __init__(self, kind: str, width: int, seed: int) -> None:
        super().__init__()
        channels, size, grid = (3, 8, (8, 8)) if kind in ("frames", "image") else (1, 8, (8, 2))
        generator = torch.Generator().manual_seed(seed)
        filters = torch.randn(width, channels, size, size, generator=generator)
        self.register_buffer("filters", filters - filters.mean((2, 3), keepdim=True))
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.register_buffer("deviation", torch.ones(()))

    def fit(self, rows: Tensor) -> None:
        """Learn the scale of the rows."""
        self.deviation.copy_(rows.double().std().clamp(min=1e-6))

    def forward(self, rows: Tensor) -> Tensor:
        """Turn rows (n, ...) into features (n, d)."""
        responses = nn.functional.conv2d(rows.float() / self.deviation, self.filters, stride=2)
        return self.pool(responses.relu()).flatten(1)


def _pretrained(name: str, title: str) -> Extractor:
    summary = f"{title}, torchvision's weights {WEIGHTS}, frozen, without its last layer"
    return Extractor(lambda kind, shape: Headless(name, kind, shape), summary)


def _random(title: str, width: int, seed: int) -> Extractor:
    summary = f"in the place of {title}: {width} random filters, rectified and averaged over a grid; not {title}"
    return Extractor(lambda kind, shape: RandomFilters(kind, width, seed), summary)


EXTRACTORS: dict[str, Extractor] = {
    "vgg16": _pretrained("vgg16", "VGG-16"),
    "resnet34": _pretrained("resnet34", "ResNet-34"),
    "resnet50": _pretrained("resnet50", "ResNet-50"),
}
"""The paper's, by name."""
STAND_INS: dict[str, Extractor] = {
    "vgg16": _random("VGG-16", 6, 16),
    "resnet34": _random("ResNet-34", 9, 34),
    "resnet50": _random("ResNet-50", 12, 50),
}
"""What takes their places where nothing can be downloaded and nothing is to be concluded."""


def visual_name(names: Iterable[str], source: str) -> str:
    """Return the data's name of the paper's visual modality.

    Raises:
        InputError: the data has no sound, or no picture.
    """
    names = list(names)
    visual = next((name for name in VISUAL_NAMES if name in names), None)
    if "audio" not in names or visual is None:
        raise InputError(
            f"{source} has the modalities {', '.join(names)}: the paper's tables need 'audio', "
            f"and one called {', '.join(VISUAL_NAMES[:-1])} or {VISUAL_NAMES[-1]}"
        )
    return visual


def extract(store: Store, name: str, extractor: Extractor, folder: Path) -> Path:
    """Return the file of the features of every segment of a store, from ``folder`` if they were extracted before.

    Args:
        store: with the modalities of the tables.
        name: of the extractor.
        extractor: what to extract with.

        folder: where files of features are kept, named by a hash of store, extractor, weights and windows.

    Raises:
        InputError: the extractor's weights are not here; the message says which file goes where.
    """
    kinds = store.info.modalities
    modalities = visual_name(kinds, str(store.address)), "audio"
    networks = {m: extractor.build(kinds[m].kind, tuple(kinds[m].shape)).eval() for m in modalities}
    chosen = list(range(min((m.windows for m in kinds.values() if m.windows > 1), default=1)))
    identity = [store.fingerprint(), name, chosen, {m: _digest(network) for m, network in networks.items()}]
    key = sha256_of_json(identity)[:16]
    path = folder / f"{name}-{key}{SUFFIX}"
    if not path.is_file():
        arrays = {m: _extract_modality(store, m, network, chosen) for m, network in networks.items()}
        columns = {"labels": store.labels, "groups": store.groups, "parts": store.parts}
        facts = {k: None if v is None else v.tolist() for k, v in columns.items()}
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {"elision": json.dumps({"name": name, "key": key, **facts})}
        write_atomically(path, to_bytes(arrays, metadata))
    return path


def open_features(address: str, form: TableFormat = DETECTED) -> tuple[Dataset, str]:
    """Return the data set at an address and its fingerprint.

    What `extract` wrote has arrays (n, windows, d), and the key of its content; all else is what
    `elision.data.sources.load` finds, a table read as ``form`` says.
    """
    if not address.endswith(SUFFIX):
        data = load_again(address, form)
        return data, data.fingerprint()
    facts = _facts(address)
    with safe_open(address, "np") as file:
        arrays = {m: file.get_tensor(m) for m in file.keys()}  # noqa: SIM118
    groups, parts = (None if facts[k] is None else np.array(facts[k], dtype=str) for k in ("groups", "parts"))
    return Dataset(facts["name"], arrays, np.array(facts["labels"], dtype=str), groups, parts), facts["key"]


def _facts(address: str) -> dict[str, Any]:
    try:
        with safe_open(address, "np") as file:
            return json.loads(file.metadata()["elision"])
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"{address} is not a file of extracted features ({error}): remove it, and start again"
        ) from error


@torch.no_grad()
def _extract_modality(store: Store, modality: str, network: Any, windows: list[int]) -> Tensor:
    """(n, windows, d); NaN where a sample does not show the modality."""
    shown = np.flatnonzero(store.observed[modality])
    places = [(int(i), w) for i in shown for w in windows]
    spread = np.linspace(0, len(places) - 1, min(len(places), _STATISTICS_ROWS)).astype(int)
    network.fit(torch.stack([_row(store, modality, *places[i]) for i in spread]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    chunks = [
        network(torch.stack([_row(store, modality, *p) for p in places[i : i + _ROWS_AT_ONCE]]).to(device)).cpu()
        for i in range(0, len(places), _ROWS_AT_ONCE)
    ]
    rows = torch.cat(chunks).view(len(shown), len(windows), -1)
    features = rows.new_full((len(store), *rows.shape[1:]), torch.nan)
    features[torch.from_numpy(shown)] = rows
    return features


def _row(store: Store, modality: str, sample: int, window: int) -> Tensor:
    """Return a row as the networks take it: a spectrogram gets its one channel."""
    row = store.row(sample, modality, window)
    return row[None] if row.dim() == 2 else row


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    state: Mapping[str, Tensor] = network.state_dict()
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
