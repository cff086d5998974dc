"""Rows and shards of a store, and the manifest.json that lists them."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from elision.errors import InputError
from elision.files import Address, join, read_file, sha256_of_json, write_atomically
from elision.kinds import Modality, Value
from elision.plain import revived

MANIFEST = "manifest.json"
STORE_FORMAT = 1
_MAKE = "`elision prepare SOURCE DEST` makes one, and continues where it was interrupted"


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
    """The content of a store's manifest.json.

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
    """Return the name of a shard's file: shard-00000.arrow for number 0."""
    return f"shard-{number:05d}.arrow"


def write_manifest(folder: Address, info: StoreInfo) -> None:
    """Write manifest.json: the last step, which makes a folder of shards a store."""
    content = {"format": STORE_FORMAT, **asdict(info), "classes": info.classes, "counts": info.counts}
    content = json.loads(json.dumps(content))
    content["sha256"] = sha256_of_json(content)
    write_atomically(join(folder, MANIFEST), json.dumps(content, indent=1) + "\n")


def read_manifest(folder: Address) -> StoreInfo:
    """Read and check what `write_manifest` wrote.

    Raises:
        InputError: there is none, it was edited or damaged, or a later Elision wrote it.
    """
    where = join(folder, MANIFEST)
    try:
        content = json.loads(read_file(where))
        version, digest = content["format"], content.pop("sha256")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} has no {MANIFEST}: expected a store; {_MAKE}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where} is not the manifest of a store: expected one that Elision wrote; {_MAKE}") from error
    if version != STORE_FORMAT:
        raise InputError(
            f"{where} has format {version!r}, and this Elision reads {STORE_FORMAT}: install the Elision that wrote it"
        )
    if digest != sha256_of_json(content):
        raise InputError(
            f"{where} was edited or damaged: its content does not match its SHA-256; prepare the store again"
        )
    info = revived(StoreInfo, {f.name: content[f.name] for f in fields(StoreInfo)})
    for shard in info.shards:
        if not re.fullmatch(r"[\w-]+\.arrow", shard.file) or not re.fullmatch("[0-9a-f]{64}", shard.sha256):
            raise InputError(f"{where} lists {shard.file!r}: expected names of files in its own folder")
    return info
