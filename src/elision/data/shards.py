"""Shards: Arrow IPC files of one row per sample, whose bytes are a pure function of the rows."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from elision.data.schema import Row, Shard
from elision.errors import InputError
from elision.files import Address, sha256_of, write_atomically
from elision.kinds import Modality, StoredWindow

TEXT = ("id", "label", "group", "split")
_PREFIX = "modality."  # a modality may be called "id"
_MOST_BYTES = 1 << 30  # of one modality in one shard: Arrow's offsets have 31 bits
_ONE_THREAD = pa.ipc.IpcReadOptions(use_threads=False)  # worker processes are forked from this one


def write_shard(path: Address, rows: Sequence[Row], modalities: Mapping[str, Modality]) -> Shard:
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
    write_atomically(path, content)
    labels = dict(sorted(Counter(row.label for row in rows).items()))
    observed = {m: sum(m in row.values for row in rows) for m in modalities}
    return Shard(Path(str(path)).name, len(rows), len(content), sha256_of(content), labels, observed)


def with_text(batch: pa.RecordBatch, text: Mapping[str, Sequence[str]]) -> pa.Buffer:
    """Return the bytes of a shard with other columns "label", "group" or "split": those of `write_shard`.

    Args:
        batch: all of the shard.
        text: column -> a value for each row.
    """
    for name, values in text.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, batch.schema.field(place), pa.array(values, pa.string()))
    return _bytes_of(batch)


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
        self._cells = {m: v.form.cells(batch.column(_PREFIX + m), v) for m, v in modalities.items()}
        for m, cells in self._cells.items():
            if not cells.fits(self.observed(m)):
                raise InputError(
                    f"{where}: a row of {m!r} has another size than the manifest's: prepare the store again"
                )

    def __len__(self) -> int:
        return self.batch.num_rows

    def text(self, name: str) -> list[str]:
        """Return the column "id", "label", "group" or "split"."""
        return self.batch.column(name).to_pylist()

    @property
    def durations(self) -> np.ndarray:
        """Seconds, NaN where there is none; shape (n,)."""
        return self.batch.column("duration").to_numpy(zero_copy_only=False)

    def observed(self, modality: str) -> np.ndarray:
        """Return which rows show it, shape (n,), bool."""
        return self.batch.column(_PREFIX + modality).is_valid().to_numpy(zero_copy_only=False)

    def window(self, row: int, modality: str, window: int) -> StoredWindow:
        """Return one window of a row that shows the modality as it is stored, read-only: a JPEG, or numbers."""
        return self._cells[modality].window(row, window)

    def rows(self) -> Iterator[Row]:
        """Yield each row as it was written; its values are copies."""
        return map(self.read, range(len(self)))

    def read(self, row: int) -> Row:
        """Return a row as it was written; its values are copies."""
        names = (self.batch.column(name)[row].as_py() for name in TEXT)
        values = {
            m: modality.form.join([self.window(row, m, window) for window in range(modality.windows)])
            for m, modality in self._modalities.items()
            if self.batch.column(_PREFIX + m)[row].is_valid
        }
        return Row(*names, self.batch.column("duration")[row].as_py(), values)


def _schema(modalities: Mapping[str, Modality]) -> pa.Schema:
    fields = [pa.field(name, pa.string(), nullable=False) for name in TEXT]
    fields.append(pa.field("duration", pa.float64()))
    fields += [pa.field(_PREFIX + m, modality.form.arrow) for m, modality in modalities.items()]
    return pa.schema(fields, {"modalities": json.dumps({m: asdict(modality) for m, modality in modalities.items()})})


def _encode(rows: Sequence[Row], modalities: Mapping[str, Modality]) -> pa.Buffer:
    columns = [pa.array([getattr(row, name) for row in rows], pa.string()) for name in TEXT]
    columns.append(pa.array([row.duration for row in rows], pa.float64()))
    columns += [_column(rows, m, modality) for m, modality in modalities.items()]
    return _bytes_of(pa.record_batch(columns, schema=_schema(modalities)))


def _bytes_of(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _column(rows: Sequence[Row], name: str, modality: Modality) -> pa.Array:
    size = sum(modality.form.size(row.values[name]) for row in rows if name in row.values)
    if size > _MOST_BYTES:
        raise InputError(
            f"modality {name!r} has {size} bytes in one shard: expected at most {_MOST_BYTES}; use more shards"
        )
    return modality.form.column([row.values.get(name) for row in rows])


def _check(row: Row, modalities: Mapping[str, Modality]) -> None:
    for m, value in row.values.items():
        where = f"sample {row.id!r}, modality {m!r}"
        if m not in modalities:
            raise InputError(f"{where}: expected modalities among {', '.join(modalities)}")
        if fault := modalities[m].form.fault(value, modalities[m]):
            raise InputError(f"{where} {fault}")
