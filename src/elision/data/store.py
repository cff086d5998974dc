"""The store: shards of prepared samples, and a manifest.json that describes them."""

import bisect
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from elision.data.schema import Row, Shard, read_manifest
from elision.data.shards import Columns
from elision.errors import InputError
from elision.files import (
    Address,
    cache_folder,
    is_whole,
    join,
    local,
    read_file,
    sha256_of,
    sha256_of_json,
    write_atomically,
)
from elision.kinds import StoredWindow


class Store:
    """A store, open for reading; a shard is mapped into memory when something in it is first needed.

    Before anything in a shard is used, its SHA-256 is compared with the manifest's, once in each process. Worker
    processes that are forked, such as a DataLoader's on Linux, inherit the shards that their parent has checked, and
    `Segments` lets the parent check all of them. A store pickles as its address, so a process that is started anew
    checks for itself. The check takes 0.6 s per GB on one core (1.7 GB/s; 1.2 GB/s if the disk is read, too).

    Args:
        address: a folder, or an fsspec address such as ``s3://bucket/store``.
        cache: folder for copies of the shards of an fsspec address, by their SHA-256; None is ``elision/shards`` in
            the user's cache folder.

    Raises:
        InputError: it is no store, or its manifest is damaged. Damaged shards raise it when they are read.
    """

    def __init__(self, address: Address, cache: Path | None = None) -> None:
        self.address = local(address) or str(address)
        self.info = read_manifest(self.address)
        self._cache = cache or cache_folder() / "shards"
        self._first = np.cumsum([0, *(shard.samples for shard in self.info.shards)]).tolist()
        self._columns: dict[int, Columns] = {}

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

    def stored(self, sample: int, modality: str, window: int = 0) -> StoredWindow:
        """Return one window of a modality that the sample shows as it is stored, not copied: a JPEG, or numbers.

        A modality of one window gives it for any.
        """
        columns, row = self._locate(sample)
        return columns.window(row, modality, window if self.info.modalities[modality].windows > 1 else 0)

    def window(self, sample: int, modality: str, window: int = 0) -> np.ndarray:
        """Return one window of a modality that the sample shows, decoded; read-only.

        Returns:
            Frames and images uint8 (height, width, 3), spectrograms float16 (bands, frames), features float32 (d,).
            A modality of one window gives it for any.

        Raises:
            InputError: the shard is damaged.
        """
        described = self.info.modalities[modality]
        stored = self.stored(sample, modality, window)
        try:
            return described.form.decode(stored, described)
        except InputError as error:
            where = f"{self.address}: sample {str(self.ids[sample])!r}, modality {modality!r}, window {window}"
            raise InputError(f"{where} {error}: prepare the store again") from error

    def row(self, sample: int, modality: str, window: int = 0) -> Tensor:
        """Return one window as an encoder takes it; errors as `window`'s.

        Returns:
            Frames and images uint8 (3, height, width), spectrograms float32 (1, bands, frames), features float32 (d,).
        """
        described = self.info.modalities[modality]
        return described.form.rows(1, [self.window(sample, modality, window)], described)[0]

    def shard_batch(self, number: int) -> pa.RecordBatch:
        """Return all rows of one of the shards, checked against the manifest, as views of its bytes."""
        return self._shard(number).batch

    def read(self, sample: int) -> Row:
        """Return a sample as `write_shard` was given it."""
        columns, row = self._locate(sample)
        return columns.read(row)

    def features(self) -> dict[str, np.ndarray]:
        """Return the pooled numbers of each sample by modality, NaN where it is missing; see `elision.data.pooled`."""
        from elision.data.pooled import pooled

        return dict(pooled(self).arrays)

    def fingerprint(self) -> str:
        """Return a hash of all content: 16 hexadecimal digits."""
        content = [(shard.file, shard.sha256) for shard in self.info.shards]
        modalities = {m: asdict(modality) for m, modality in self.info.modalities.items()}
        return sha256_of_json([modalities, content])[:16]

    def verify(self) -> list[str]:
        """Return the names of the shards that are gone, cut short or changed; reads all of the store anew."""
        return [shard.file for shard in self.info.shards if not is_whole(join(self.address, shard.file), shard.sha256)]

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
        """Return a shard's columns, checked against the manifest when this process first asks for it."""
        if number not in self._columns:
            shard, folder = self.info.shards[number], local(self.address)
            path = folder / shard.file if folder else self._fetched(shard)
            content = _mapped(path, shard)
            if folder and sha256_of(content) != shard.sha256:
                raise InputError(f"{path} {_CHANGED}")
            self._columns[number] = Columns(content, self.info.modalities, str(path))
        return self._columns[number]

    def _fetched(self, shard: Shard) -> Path:
        """Return a copy on this machine, shared by all processes, whose name is its hash; a damaged one is replaced."""
        path = self._cache / f"{shard.sha256}.arrow"
        if not is_whole(path, shard.sha256):
            where = join(self.address, shard.file)
            try:
                content = read_file(where)
            except FileNotFoundError as error:
                raise InputError(f"{where} is gone: prepare the store again") from error
            if sha256_of(content) != shard.sha256:
                raise InputError(f"{where} {_CHANGED}")
            self._cache.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        return path


_CHANGED = "is damaged: its SHA-256 is not the one in manifest.json; prepare the store again"


def _mapped(path: Path, shard: Shard) -> pa.Buffer:
    try:
        size = path.stat().st_size
        if size == shard.bytes:
            with pa.memory_map(str(path)) as file:
                return file.read_buffer()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): prepare the store again") from error
    raise InputError(f"{path} has {size} bytes, and its store's manifest says {shard.bytes}: prepare the store again")


def _reopen(address: Address, cache: Path, fingerprint: str) -> Store:
    store = Store(address, cache)
    if store.fingerprint() != fingerprint:
        raise InputError(f"{address} was prepared anew while it was in use: start again")
    return store
