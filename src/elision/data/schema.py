"""What a store holds: modalities, rows, shards, and the manifest.json that lists them."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elision.data import addresses
from elision.errors import InputError, check_choice

Value = list[bytes] | bytes | np.ndarray
"""Frames: a JPEG per window; an image: one JPEG; a spectrogram or features: numbers in the modality's shape."""

KINDS = ("frames", "image", "spectrogram", "features")
MANIFEST = "manifest.json"
FORMAT = 1
_MAKE = "`elision prepare SOURCE DEST` makes one, and continues where it was interrupted"


@dataclass(frozen=True)
class Modality:
    """What every sample that shows a modality has of it.

    Args:
        kind: "frames" (a JPEG per window), "image" (one JPEG), "spectrogram" (float16) or "features" (float32).
        shape: of one window, decoded: (3, height, width), (bands, frames) or (d,).
        windows: how many; 1 for an image and features, which every window of a sample shares.
    """

    kind: str
    shape: tuple[int, ...]
    windows: int = 1

    def __post_init__(self) -> None:
        check_choice("kind of modality", self.kind, KINDS)
        if self.windows < 1 or (self.windows > 1 and self.kind in ("image", "features")):
            raise InputError(f"a modality of kind {self.kind!r} with {self.windows} windows: expected 1")

    @property
    def stored(self) -> tuple[int, ...]:
        """Shape of a sample's numbers: (windows, bands, frames) or (d,)."""
        return (self.windows, *self.shape) if self.kind == "spectrogram" else self.shape


@dataclass(frozen=True)
class Row:
    """A sample as it is stored.

    Args:
        id: unique in its store.
        label: "" where there is none; so with group and split.
        group: samples of one group can be kept together in a split.
        split: "train", "val", "test", or "".
        duration: seconds, or None where nothing was recorded over time.
        values: modality -> what it shows; a missing modality is no key.
    """

    id: str
    label: str = ""
    group: str = ""
    split: str = ""
    duration: float | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Shard:
    """A finished shard, as the store's manifest lists it.

    Args:
        file: its name in the store's folder.
        samples: how many rows.
        bytes: its size.
        sha256: of its content, 64 hexadecimal digits.
        labels: label -> how many rows have it, "" among them.
        observed: modality -> how many rows show it.
    """

    file: str
    samples: int
    bytes: int
    sha256: str
    labels: Mapping[str, int]
    observed: Mapping[str, int]


@dataclass(frozen=True)
class StoreInfo:
    """What manifest.json says.

    Args:
        modalities: name -> kind, shape and windows.
        shards: in the store's order.
        parameters: what it was prepared with; JSON.
        versions: of the libraries that prepared it.
    """

    modalities: Mapping[str, Modality]
    shards: tuple[Shard, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(label for label in self.counts["labels"])

    @property
    def counts(self) -> dict[str, Any]:
        """{"samples": n, "unlabelled": n, "labels": label -> n, "observed": modality -> n}."""
        labels, observed = Counter(), Counter(dict.fromkeys(self.modalities, 0))
        for shard in self.shards:
            labels.update(shard.labels)
            observed.update(shard.observed)
        unlabelled = labels.pop("", 0)
        samples = sum(shard.samples for shard in self.shards)
        named = {"labels": dict(sorted(labels.items())), "observed": dict(observed)}
        return {"samples": samples, "unlabelled": unlabelled, **named}


def shard_name(number: int) -> str:
    """shard-00000.arrow and so on."""
    return f"shard-{number:05d}.arrow"


def write_manifest(folder: Path | str, info: StoreInfo) -> None:
    """Write manifest.json: the last step, which makes a folder of shards a store."""
    content = {"format": FORMAT, **asdict(info), "classes": info.classes, "counts": info.counts}
    content = json.loads(json.dumps(content))
    content["sha256"] = _digest(content)
    addresses.write(addresses.join(folder, MANIFEST), (json.dumps(content, indent=1) + "\n").encode())


def read_manifest(folder: Path | str) -> StoreInfo:
    """What `write_manifest` wrote.

    Raises:
        InputError: there is none, it was edited or damaged, or a later Elision wrote it.
    """
    where = addresses.join(folder, MANIFEST)
    try:
        content = json.loads(addresses.read(where))
        version, digest = content["format"], content.pop("sha256")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} has no {MANIFEST}: expected a store; {_MAKE}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where} is not the manifest of a store: expected one that Elision wrote; {_MAKE}") from error
    if version != FORMAT:
        raise InputError(
            f"{where} has format {version!r}, and this Elision reads {FORMAT}: install the other's version"
        )
    if digest != _digest(content):
        raise InputError(
            f"{where} was edited or damaged: its content does not give its sha256; prepare the store again"
        )
    modalities = {m: Modality(**{**v, "shape": tuple(v["shape"])}) for m, v in content["modalities"].items()}
    shards = tuple(Shard(**entry) for entry in content["shards"])
    for shard in shards:
        if not re.fullmatch(r"[\w-]+\.arrow", shard.file) or not re.fullmatch("[0-9a-f]{64}", shard.sha256):
            raise InputError(f"{where} lists {shard.file!r}: expected names of files in its own folder")
    return StoreInfo(modalities, shards, content["parameters"], content["versions"])


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
