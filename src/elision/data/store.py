"""The store: shards of prepared samples and a manifest.json that describes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from elision.data.shards import Modality, Row, Shard, write_shard

MANIFEST = "manifest.json"


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
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        raise NotImplementedError

    @property
    def counts(self) -> dict[str, Any]:
        """{"samples": n, "unlabelled": n, "labels": label -> n, "observed": modality -> n}."""
        raise NotImplementedError


def shard_name(number: int) -> str:
    """shard-00000.arrow and so on."""
    return f"shard-{number:05d}.arrow"


def write_manifest(folder: Path | str, info: StoreInfo) -> None:
    """Write manifest.json: the last step, which makes a folder of shards a store."""
    raise NotImplementedError


def describe_shard(path: Path | str, modalities: Mapping[str, Modality]) -> Shard:
    """The entry of a shard that is there already: what `write_shard` returned. Reads all of it.

    Raises:
        InputError: it is damaged, or no shard of these modalities.
    """
    raise NotImplementedError


class Store:
    """A store, open for reading; nothing is read from a shard before it is needed.

    Pickles as its address: a worker process maps the shards itself.
    """

    info: StoreInfo

    @classmethod
    def open(cls, address: Path | str, cache: Path | None = None) -> "Store":
        """Open a folder, or an fsspec address such as ``s3://bucket/store``, whose shards are kept in ``cache``."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def classes(self) -> np.ndarray:
        """The distinct labels, sorted; shape (K,)."""
        raise NotImplementedError

    @cached_property
    def ids(self) -> np.ndarray:
        """Shape (n,), str."""
        raise NotImplementedError

    @cached_property
    def labels(self) -> np.ndarray:
        """Class names, "" where there is none; shape (n,), str."""
        raise NotImplementedError

    @property
    def codes(self) -> np.ndarray:
        """Index of each label in ``classes``, -1 where there is none; shape (n,)."""
        raise NotImplementedError

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Shape (n,), str; None where not given."""
        raise NotImplementedError

    @cached_property
    def parts(self) -> np.ndarray | None:
        """ "train", "val" or "test", shape (n,); None where not given."""
        raise NotImplementedError

    @cached_property
    def durations(self) -> np.ndarray:
        """Seconds, NaN where nothing was recorded over time; shape (n,)."""
        raise NotImplementedError

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """modality -> which samples show it, shape (n,), bool."""
        raise NotImplementedError

    def jpeg(self, sample: int, modality: str, window: int = 0) -> memoryview:
        """The encoded frame or image, not copied."""
        raise NotImplementedError

    def numbers(self, sample: int, modality: str) -> np.ndarray:
        """A spectrogram, float16 (windows, bands, frames), or features, float32 (d,); not copied."""
        raise NotImplementedError

    def row(self, sample: int, modality: str, window: int = 0) -> Tensor:
        """One window: frames and images uint8 (3, H, W), spectrograms float32 (bands, frames), features (d,)."""
        raise NotImplementedError

    def read(self, sample: int) -> Row:
        """A sample as `write_shard` was given it."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A hash of all content, 16 hexadecimal digits."""
        raise NotImplementedError

    def verify(self) -> list[str]:
        """The shards that are gone, cut short or changed, by name; [] where all is as it was written."""
        raise NotImplementedError


__all__ = ["MANIFEST", "Modality", "Row", "Shard", "Store", "StoreInfo", "describe_shard", "shard_name",
           "write_manifest", "write_shard"]
