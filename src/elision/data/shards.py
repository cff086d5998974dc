"""Shards: Arrow IPC files of one row per sample, whose bytes are a pure function of the rows."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from elision.data import addresses
from elision.data.schema import Modality, Row, Shard, Value
from elision.errors import InputError

TEXT = ("id", "label", "group", "split")
_PREFIX = "modality."  # a modality may be called "id"
_TYPES = {
    "frames": pa.list_(pa.binary()),
    "image": pa.binary(),
    "spectrogram": pa.list_(pa.float16()),
    "features": pa.list_(pa.float32()),
}
_NUMBERS = {"spectrogram": np.dtype("<f2"), "features": np.dtype("<f4")}
_MOST_BYTES = 1 << 30  # of one modality in one shard: Arrow's offsets have 31 bits
_ONE_THREAD = pa.ipc.IpcReadOptions(use_threads=False)  # worker processes are forked from this one


def write_shard(path: Path | str, rows: Sequence[Row], modalities: Mapping[str, Modality]) -> Shard:
    """Write rows as one Arrow IPC file, whole or not at all; the same rows give the same bytes.

    The shard is in memory three times while it is written: some tens of MB are a good size.

    Args:
        path: a file, or an fsspec address such as ``s3://bucket/store/shard-00000.arrow``.
        rows: at least one.
        modalities: name -> what its values must look like.

    Raises:
        InputError: a value does not have its modality's form, or there is no such modality.
    """
    if not rows:
        raise InputError(f"{path}: a shard of no rows: expected at least one")
    for row in rows:
        _check(row, modalities)
    content = _encode(rows, modalities)
    addresses.write(path, content)
    return _entry(path, content, rows, modalities)


def describe_shard(path: Path | str, modalities: Mapping[str, Modality]) -> Shard:
    """The entry of a shard that is there already, as `write_shard` returned it; all of it is read.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is cut short, or no shard of these modalities.
    """
    content = addresses.read(path)
    return _entry(path, content, list(Columns(pa.py_buffer(content), modalities, str(path)).rows()), modalities)


class Columns:
    """A shard's columns, as views of its bytes.

    Args:
        content: all of a shard, usually memory-mapped.
        modalities: what it must hold.
        where: its name, for errors.

    Raises:
        InputError: cut short, damaged so that it cannot be read, or a shard of something else.
    """

    def __init__(self, content: pa.Buffer, modalities: Mapping[str, Modality], where: str) -> None:
        try:
            with pa.ipc.open_file(content, options=_ONE_THREAD) as reader:
                batch = reader.get_batch(0)
            batch.validate(full=True)  # offsets, not the bytes that they point at
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{where} is no readable shard ({str(error).splitlines()[0]}): prepare it again"
            ) from error
        if not batch.schema.equals(_schema(modalities), check_metadata=True):
            raise InputError(f"{where} does not hold what its store's manifest.json says: prepare the store again")
        self.batch, self._modalities = batch, modalities
        self._packed = {m: _Packed(batch.column(_PREFIX + m), modality) for m, modality in modalities.items()}
        for m, packed in self._packed.items():
            if not packed.fits(self.observed(m)):
                raise InputError(
                    f"{where}: a row of {m!r} has another size than the manifest's: prepare the store again"
                )

    def __len__(self) -> int:
        return self.batch.num_rows

    def text(self, name: str) -> list[str]:
        """The column "id", "label", "group" or "split"."""
        return self.batch.column(name).to_pylist()

    @property
    def durations(self) -> np.ndarray:
        """Seconds, NaN where there is none; shape (n,)."""
        return self.batch.column("duration").to_numpy(zero_copy_only=False)

    def observed(self, modality: str) -> np.ndarray:
        """Which rows show it, shape (n,), bool."""
        return self.batch.column(_PREFIX + modality).is_valid().to_numpy(zero_copy_only=False)

    def jpeg(self, row: int, modality: str, window: int) -> memoryview:
        """An encoded frame or image; empty where the row does not show it."""
        return self._packed[modality].blob(row, window)

    def numbers(self, row: int, modality: str) -> np.ndarray:
        """A spectrogram, (windows, bands, frames), or features, (d,), read-only."""
        return self._packed[modality].numbers(row).reshape(self._modalities[modality].stored)

    def rows(self) -> Iterator[Row]:
        """Each row, as it was written; its values are copies."""
        return map(self.read, range(len(self)))

    def read(self, row: int) -> Row:
        """One of them."""
        names = (self.batch.column(name)[row].as_py() for name in TEXT)
        shown = [m for m in self._modalities if self.batch.column(_PREFIX + m)[row].is_valid]
        return Row(*names, self.batch.column("duration")[row].as_py(), {m: self._value(row, m) for m in shown})

    def _value(self, row: int, m: str) -> Value:
        modality = self._modalities[m]
        if modality.kind in _NUMBERS:
            return self.numbers(row, m).copy()
        frames = [bytes(self.jpeg(row, m, window)) for window in range(modality.windows)]
        return frames if modality.kind == "frames" else frames[0]


class _Packed:
    """One modality's column: where each row's values start, and the values."""

    def __init__(self, column: pa.Array, modality: Modality) -> None:
        self._modality = modality
        self._nested = modality.kind == "frames"
        self._starts = _view(column.buffers()[1], np.int32)
        if modality.kind in _NUMBERS:
            self._numbers = _view(column.buffers()[-1], _NUMBERS[modality.kind])
        else:
            offsets, data = (column.values if self._nested else column).buffers()[1:]
            self._ends, self._data = _view(offsets, np.int32), memoryview(data or b"")

    def fits(self, shown: np.ndarray) -> bool:
        """Whether each row that is there has all its windows or numbers, and the others nothing."""
        if self._modality.kind == "image":
            return True
        size = self._modality.windows if self._nested else math.prod(self._modality.stored)
        return np.array_equal(np.diff(self._starts), np.where(shown, size, 0))

    def blob(self, row: int, window: int) -> memoryview:
        position = self._starts[row] + window if self._nested else row
        return self._data[self._ends[position] : self._ends[position + 1]]

    def numbers(self, row: int) -> np.ndarray:
        return self._numbers[self._starts[row] : self._starts[row + 1]]


def _view(buffer: pa.Buffer | None, dtype: type | np.dtype) -> np.ndarray:
    return np.frombuffer(buffer or b"", dtype)


def _schema(modalities: Mapping[str, Modality]) -> pa.Schema:
    fields = [pa.field(name, pa.string(), nullable=False) for name in TEXT]
    fields.append(pa.field("duration", pa.float64()))
    fields += [pa.field(_PREFIX + m, _TYPES[modality.kind]) for m, modality in modalities.items()]
    return pa.schema(fields, {"modalities": json.dumps({m: asdict(modality) for m, modality in modalities.items()})})


def _encode(rows: Sequence[Row], modalities: Mapping[str, Modality]) -> bytes:
    columns = [pa.array([getattr(row, name) for row in rows], pa.string()) for name in TEXT]
    columns.append(pa.array([row.duration for row in rows], pa.float64()))
    columns += [_column([row.values.get(m) for row in rows], m, modality.kind) for m, modality in modalities.items()]
    schema, sink = _schema(modalities), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue()


def _column(values: Sequence[Value | None], name: str, kind: str) -> pa.Array:
    size = sum(_size(value) for value in values if value is not None)
    if size > _MOST_BYTES:
        raise InputError(f"modality {name!r} has {size} bytes in one shard: expected {_MOST_BYTES} at most; use more")
    if kind not in _NUMBERS:
        return pa.array(values, _TYPES[kind])
    dtype = _NUMBERS[kind]
    flat = [np.empty(0, dtype), *(np.ravel(value).astype(dtype) for value in values if value is not None)]
    starts = np.cumsum([0, *(0 if value is None else value.size for value in values)], dtype=np.int32)
    absent = pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(np.concatenate(flat)), mask=absent)


def _size(value: Value) -> int:
    if hasattr(value, "nbytes"):
        return value.nbytes
    return len(value) if hasattr(value, "decode") else sum(map(len, value))


def _check(row: Row, modalities: Mapping[str, Modality]) -> None:
    for m, value in row.values.items():
        where = f"sample {row.id!r}, modality {m!r}"
        if m not in modalities:
            raise InputError(f"{where}: expected modalities among {', '.join(modalities)}")
        if _form(value) != (expected := _expected(modalities[m])):
            raise InputError(f"{where} is {_form(value)}: expected {expected}")
        if dtype := _NUMBERS.get(modalities[m].kind):
            largest = np.abs(value[~np.isnan(value)]).max(initial=-1.0)
            if not 0 <= largest <= np.finfo(dtype).max:
                raise InputError(
                    f"{where} holds {largest} beyond {dtype.name}, or NaN alone: leave out what is missing"
                )


def _expected(modality: Modality) -> str:
    """What `_form` says of a value of this modality."""
    if modality.kind in _NUMBERS:
        return f"numbers of shape {modality.stored}"
    return "one JPEG" if modality.kind == "image" else f"{modality.windows} JPEGs"


def _form(value: Value) -> str:
    if hasattr(value, "shape"):
        return f"numbers of shape {tuple(value.shape)}"
    return "one JPEG" if hasattr(value, "decode") else f"{len(value)} JPEGs"


def _entry(path: Path | str, content: bytes, rows: Sequence[Row], modalities: Mapping[str, Modality]) -> Shard:
    labels = dict(sorted(Counter(row.label for row in rows).items()))
    observed = {m: sum(m in row.values for row in rows) for m in modalities}
    digest = hashlib.sha256(content).hexdigest()
    return Shard(Path(str(path)).name, len(rows), len(content), digest, labels, observed)
