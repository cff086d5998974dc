"""The store: shards of prepared samples, and a manifest.json that describes them."""

import bisect
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from elision.data import addresses
from elision.data.schema import MANIFEST, Modality, Row, Shard, StoreInfo, read_manifest, shard_name, write_manifest
from elision.data.shards import Columns, describe_shard, write_shard
from elision.errors import InputError
from elision.files import write_atomically


class Store:
    """A store, open for reading; a shard is mapped into memory when something in it is first needed.

    Pickles as its address: a worker process maps the shards itself.

    Args:
        address: a folder, or an fsspec address such as ``s3://bucket/store``.
        cache: folder for copies of the shards of an fsspec address, by their SHA-256; None is ``elision/shards`` in
            the user's cache folder.

    Raises:
        InputError: it is no store, or its manifest is damaged. Damaged shards raise it when they are read.
    """

    def __init__(self, address: Path | str, cache: Path | None = None) -> None:
        self.address = addresses.local(address) or str(address)
        self.info = read_manifest(self.address)
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elision" / "shards"
        self._first = np.cumsum([0, *(shard.samples for shard in self.info.shards)]).tolist()
        self._columns: dict[int, Columns] = {}

    @classmethod
    def open(cls, address: Path | str, cache: Path | None = None) -> "Store":
        """The same as calling the class."""
        return cls(address, cache)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.address, self._cache, self.fingerprint())

    def __len__(self) -> int:
        return self._first[-1]

    @property
    def name(self) -> str:
        """The last part of the address."""
        return Path(str(self.address)).name

    @property
    def classes(self) -> np.ndarray:
        """The distinct labels, sorted; shape (K,)."""
        return np.array(self.info.classes, dtype=str)

    @cached_property
    def ids(self) -> np.ndarray:
        """Shape (n,), str."""
        return self._text("id")

    @cached_property
    def labels(self) -> np.ndarray:
        """Class names, "" where there is none; shape (n,), str."""
        return self._text("label")

    @cached_property
    def codes(self) -> np.ndarray:
        """Index of each label in ``classes``, -1 where there is none; shape (n,)."""
        return np.where(self.labels == "", -1, np.searchsorted(self.classes, self.labels))

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Shape (n,), str; None where not given."""
        return self._given("group")

    @cached_property
    def parts(self) -> np.ndarray | None:
        """ "train", "val" or "test", shape (n,); None where not given."""
        return self._given("split")

    @cached_property
    def durations(self) -> np.ndarray:
        """Seconds, NaN where nothing was recorded over time; shape (n,)."""
        return np.concatenate([np.empty(0), *(columns.durations for columns in self._shards())])

    @cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """modality -> which samples show it, shape (n,), bool."""
        shards = list(self._shards())
        return {m: np.concatenate([np.empty(0, bool), *(s.observed(m) for s in shards)]) for m in self.info.modalities}

    def jpeg(self, sample: int, modality: str, window: int = 0) -> memoryview:
        """The encoded frame or image, not copied; a modality of one window gives it for any."""
        columns, row = self._locate(sample)
        return columns.jpeg(row, modality, window if self.info.modalities[modality].windows > 1 else 0)

    def numbers(self, sample: int, modality: str) -> np.ndarray:
        """A spectrogram, float16 (windows, bands, frames), or features, float32 (d,); not copied."""
        columns, row = self._locate(sample)
        return columns.numbers(row, modality)

    def row(self, sample: int, modality: str, window: int = 0) -> Tensor:
        """One window of a modality that the sample shows, decoded.

        Returns:
            Frames and images uint8 (3, height, width), spectrograms float32 (bands, frames), features float32 (d,).
            A modality of one window gives it for any.

        Raises:
            InputError: the shard is damaged.
        """
        kind = self.info.modalities[modality].kind
        if kind in ("frames", "image"):
            return torch.from_numpy(self.pixels(sample, modality, window).transpose(2, 0, 1).copy())
        return torch.from_numpy(self.window(sample, modality, window).astype(np.float32))

    def pixels(self, sample: int, modality: str, window: int = 0) -> np.ndarray:
        """A frame or image, decoded: uint8 (height, width, 3), read-only; errors as `row`'s."""
        _, height, width = self.info.modalities[modality].shape
        try:
            with Image.open(io.BytesIO(self.jpeg(sample, modality, window)), formats=["JPEG"]) as image:
                size = image.size
                if size == (width, height):  # looked at before anything is decoded
                    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except (OSError, Image.DecompressionBombError) as error:  # PIL's own are OSErrors
            raise InputError(self._damage(sample, modality, window, "is no whole JPEG")) from error
        what = f"has {size[0]} x {size[1]} pixels, not {width} x {height}"
        raise InputError(self._damage(sample, modality, window, what))

    def window(self, sample: int, modality: str, window: int = 0) -> np.ndarray:
        """A spectrogram's window, float16 (bands, frames), or features, float32 (d,); not copied."""
        kind, numbers = self.info.modalities[modality], self.numbers(sample, modality)
        return numbers[window if kind.windows > 1 else 0] if kind.kind == "spectrogram" else numbers

    def read(self, sample: int) -> Row:
        """A sample as `write_shard` was given it."""
        columns, row = self._locate(sample)
        return columns.read(row)

    def features(self) -> dict[str, np.ndarray]:
        """Return the pooled numbers of each sample by modality, NaN where it is missing; see `elision.data.pooled`."""
        from elision.data.pooled import pooled

        return dict(pooled(self).arrays)

    def fingerprint(self) -> str:
        """A hash of all content, 16 hexadecimal digits."""
        content = [(shard.file, shard.sha256) for shard in self.info.shards]
        modalities = {m: asdict(modality) for m, modality in self.info.modalities.items()}
        return hashlib.sha256(json.dumps([modalities, content]).encode()).hexdigest()[:16]

    def verify(self) -> list[str]:
        """The shards that are gone, cut short or changed, by name; [] where all is as it was written. Reads all."""
        return [shard.file for shard in self.info.shards if not self._is_whole(shard)]

    def _is_whole(self, shard: Shard) -> bool:
        try:
            return addresses.sha256(addresses.join(self.address, shard.file)) == shard.sha256
        except OSError:
            return False

    def _damage(self, sample: int, modality: str, window: int, what: str) -> str:
        where = f"{self.address}: sample {str(self.ids[sample])!r}, modality {modality!r}, window {window}"
        return f"{where} {what}: prepare the store again (`elision inspect` finds damaged shards)"

    def _text(self, name: str) -> np.ndarray:
        return np.array([value for columns in self._shards() for value in columns.text(name)], dtype=str)

    def _given(self, name: str) -> np.ndarray | None:
        values = self._text(name)
        return values if (values != "").any() else None

    def _shards(self) -> Iterator[Columns]:
        return (self._shard(number) for number in range(len(self.info.shards)))

    def _locate(self, sample: int) -> tuple[Columns, int]:
        if not 0 <= sample < len(self):
            raise IndexError(f"sample {sample} of a store of {len(self)}")
        number = bisect.bisect_right(self._first, sample) - 1
        return self._shard(number), sample - self._first[number]

    def _shard(self, number: int) -> Columns:
        if number not in self._columns:
            shard = self.info.shards[number]
            path = self._fetched(shard) if addresses.local(self.address) is None else self.address / shard.file
            self._columns[number] = Columns(_mapped(path, shard), self.info.modalities, str(path))
        return self._columns[number]

    def _fetched(self, shard: Shard) -> Path:
        """A copy on this machine, shared by all processes; its name is its hash, so that it is never out of date."""
        path = self._cache / f"{shard.sha256}.arrow"
        if not (path.is_file() and path.stat().st_size == shard.bytes):
            where = addresses.join(self.address, shard.file)
            try:
                content = addresses.read(where)
            except FileNotFoundError as error:
                raise InputError(f"{where} is gone: prepare the store again") from error
            if hashlib.sha256(content).hexdigest() != shard.sha256:
                raise InputError(f"{where} is damaged, its SHA-256 is another: prepare the store again")
            self._cache.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        return path


def _mapped(path: Path, shard: Shard) -> pa.Buffer:
    try:
        size = path.stat().st_size
        if size == shard.bytes:
            with pa.memory_map(str(path)) as file:
                return file.read_buffer()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): prepare the store again") from error
    raise InputError(f"{path} has {size} bytes, and its store's manifest says {shard.bytes}: prepare the store again")


def _reopen(address: Path | str, cache: Path, fingerprint: str) -> Store:
    store = Store(address, cache)
    if store.fingerprint() != fingerprint:
        raise InputError(f"{address} was prepared anew while it was in use: start again")
    return store


__all__ = [
    "MANIFEST", "Modality", "Row", "Shard", "Store", "StoreInfo", "describe_shard", "read_manifest",
    "shard_name", "write_manifest", "write_shard",
]  # fmt: skip
