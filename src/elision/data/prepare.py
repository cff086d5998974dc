"""From a folder of recordings to a store: found by their layout, read clip by clip in parallel, put together in order.

The finished store is a function of the recordings and the settings: neither interruptions nor the number of workers
leave a trace in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from elision.data.layouts.found import Found
from elision.data.preparation import PREPARED_BY, Preparation, modalities, parameters, root
from elision.data.problems import PROBLEMS, Summary, by_modality, commonest, problem, read_problems, table
from elision.data.reading import CRASHED, read_recording
from elision.data.recording import Recording
from elision.data.schema import MANIFEST, Shard, StoreInfo, shard_name, write_manifest
from elision.data.staging import (
    SETTINGS_FILE,
    STAGING_FOLDER,
    PlannedShard,
    Record,
    Staging,
    naming,
    refuse_differences,
    stamps,
)
from elision.data.store import Store
from elision.errors import InputError, check_choice
from elision.files import Address, join, local, read_file, write_atomically
from elision.parallel import Placing, Watcher, work_through
from elision.registries import ENGINES, LAYOUTS
from elision.versions import versions

_MOST_BYTES = 32 << 20  # of a shard's rows; several copies are in memory while it is written


def _quiet(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
    pass


def prepare(
    source: Path,
    dest: Address,
    preparation: Preparation,
    *,
    workers: int = 2,
    engine: str = "local",
    watch: Watcher = _quiet,
    staging: Path | None = None,
) -> Summary:
    """Prepare a store, or go on where an earlier call was interrupted; a finished store is checked and left alone.

    A recording that cannot be used, or that crashes its decoder, is left out and listed with the reason in
    ``dest/problems.csv``. Where a recording lacks a stream, its sample lacks that modality.

    Args:
        source: a folder, or a list of recordings. With Ray, every node must see it and ``staging`` at the same paths.
        dest: a folder, or an fsspec address such as ``s3://bucket/store``.
        preparation: with which settings.
        workers: clips at once, each in a process of one thread.
        engine: "local" or "ray".
        watch: told of progress.
        staging: folder of what is finished so far, by default in ``dest``, and needed where that is an address.

    Raises:
        InputError: there is nothing to prepare, all of it is unusable, or ``dest`` holds something else: a store of
            another source or other settings, named with the differences.
        OSError: the disk is full; what is finished is kept.
    """
    check_choice("engine", engine, ENGINES)
    placing = Placing(workers)
    found = _find(source, preparation)
    content = parameters(source, found, preparation)
    dest = local(dest) or str(dest)
    if _finished(dest, content, staging):
        return _earlier(dest, found.skipped)
    area = Staging(_staging_folder(dest, staging), dest, modalities(found, preparation.settings))
    with area.locked():
        area.settle(content | {"versions": versions(*PREPARED_BY)})
        summary = _Making(area, found, root(source), preparation, placing, engine, watch).go(content)
    area.remove()
    return summary


class _Making:
    """One store in the making."""

    def __init__(self, area, found, root, preparation, placing, engine, watch) -> None:
        self.area, self.found, self.root, self.preparation = area, found, root, preparation
        self.placing, self.engine, self.watch = placing, engine, watch
        _remove_strays(area.dest)

    def go(self, parameters: Mapping[str, Any]) -> Summary:
        records, planned = self._read_all()
        names = {recording.id: recording for recording in self.found.recordings}
        bad = [problem(record, names[record.id], self.root) for record in records if record.problem]
        set_aside = sorted([*self.found.problems, *bad], key=lambda p: (p.id, p.file, p.reason))
        missing = by_modality(records, attrgetter("missing"), names, self.root)
        notes = by_modality(records, attrgetter("notes"), names, self.root)
        where = join(self.area.dest, PROBLEMS)
        with naming(where):
            write_atomically(where, table(set_aside, missing, notes))
        if not planned:
            raise InputError(
                f"none of the {len(set_aside)} recordings can be used: {commonest(set_aside)}; see {where}"
            )
        shards = self._assemble(planned)
        info = StoreInfo(planned[0].modalities, shards, parameters, versions(*PREPARED_BY))
        _remove_shards_beyond(self.area.dest, len(shards))
        with naming(join(self.area.dest, MANIFEST)):
            write_manifest(self.area.dest, info)
        kept, observed = info.counts["samples"], info.counts["observed"]
        return Summary(self.area.dest, kept, tuple(set_aside), missing, notes, self.found.skipped, observed)

    def _read_all(self) -> tuple[list[Record], list[PlannedShard]]:
        """Read what is left to read; return the records of all recordings in order, and the shards they will fill."""
        records = self.area.records(self.found.recordings)
        while True:
            left = [recording for recording in self.found.recordings if recording.id not in records]
            if left:
                self._read(left, records)
            inputs = [records[recording.id] for recording in self.found.recordings]
            planned = self._plan(inputs)
            done = self.area.finished(planned)
            rows = [row for shard in planned if shard.number not in done for row in shard.rows]
            lost = [row for row in rows if not self.area.has(row)]
            if not lost:
                return inputs, planned
            for row in lost:  # of a finished shard, but the shards are cut elsewhere now
                del records[row.id]

    def _read(self, left: Sequence[Recording], records: dict[str, Record]) -> None:
        seconds: list[float] = []

        def tell(running: Sequence[Recording]) -> None:
            done, total = len(records), len(self.found.recordings)
            rest = sum(seconds) / len(seconds) * (total - done) / self.placing.workers if seconds else None
            self.watch(done, total, [recording.id for recording in running], rest)

        work = partial(read_recording, self.area, self.preparation.settings)
        for done in work_through(left, work, self.placing, self.engine, tell):
            record = done.result
            if done.failure:
                why = CRASHED if done.failure.died else done.failure.error
                record = self.area.note(Record(done.task.id, stamps(done.task), why))
            records[record.id] = record
            seconds.append(done.seconds)

    def _plan(self, records: Sequence[Record]) -> list[PlannedShard]:
        good = [record for record in records if not record.problem]
        shown = {m for record in good for m in record.shown}
        modalities = {m: modality for m, modality in self.area.modalities.items() if m in shown}
        cut = _cut([record.bytes for record in good], self.preparation.per_shard)
        return [PlannedShard(number, tuple(good[i:j]), modalities) for number, (i, j) in enumerate(cut)]

    def _assemble(self, planned: Sequence[PlannedShard]) -> tuple[Shard, ...]:
        total = len(self.found.recordings)
        shards = self.area.finished(planned)
        for shard in planned:
            self.watch(total, total, [shard_name(shard.number)], None)
            if shard.number not in shards:
                shards[shard.number] = self.area.assemble(shard)
        self.watch(total, total, (), 0.0)
        return tuple(shards[shard.number] for shard in planned)


def _find(source: Path, preparation: Preparation) -> Found:
    found = LAYOUTS[preparation.layout](source, preparation.options)
    if not found.recordings:
        hint = f": {commonest(found.problems)}" if found.problems else ""
        raise InputError(f"{source} holds no recording that follows the layout {preparation.layout!r}{hint}")
    return found


def _finished(dest: Address, parameters: Mapping[str, Any], staging: Path | None) -> bool:
    """Return whether the store is finished; InputError if it is another one, or damaged, or ``dest`` is no store."""
    folder = local(dest)
    try:
        store = Store(dest)
    except InputError:
        if _exists(join(dest, MANIFEST)):
            raise
        if folder and folder.exists() and not folder.is_dir():
            raise InputError(f"{dest} is a file: expected a folder for the store") from None
        begun = ((staging or folder / STAGING_FOLDER) / SETTINGS_FILE).is_file() if folder else False
        if folder and folder.exists() and not begun and any(path.name != STAGING_FOLDER for path in folder.iterdir()):
            raise InputError(f"{dest} holds something other than a store: choose another DEST") from None
        return False
    refuse_differences(dest, dict(store.info.parameters), parameters, "choose")
    damaged = store.verify()
    if damaged:
        raise InputError(f"{dest}: {', '.join(damaged)} changed since it was prepared: remove {dest}, prepare it again")
    if folder:  # a call that was interrupted at the very end
        Staging(staging or folder / STAGING_FOLDER, dest, {}).remove()
    return True


def _exists(address: Address) -> bool:
    try:
        read_file(address)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _staging_folder(dest: Address, staging: Path | None) -> Path:
    folder = local(dest)
    if folder is None and staging is None:
        raise InputError(f"{dest} is an address: say with staging (--staging) which folder keeps what is unfinished")
    return staging.absolute() if staging else folder / STAGING_FOLDER


def _cut(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield slices of at most ``most`` clips and 32 MB; a clip that is larger has its own."""
    first, total = 0, 0
    for i, size in enumerate(sizes):
        if i > first and (i - first == most or total + size > _MOST_BYTES):
            yield first, i
            first, total = i, 0
        total += size
    if sizes:
        yield first, len(sizes)


def _earlier(dest: Address, skipped: Mapping[str, int]) -> Summary:
    set_aside, missing, notes = read_problems(dest)
    counts = Store(dest).info.counts
    return Summary(dest, counts["samples"], set_aside, missing, notes, skipped, counts["observed"])


def _remove_strays(dest: Address) -> None:
    """Remove what was being written when an earlier call was killed."""
    folder = local(dest)
    for pattern in (".shard-*.arrow-*", f".{MANIFEST}-*", f".{PROBLEMS}-*") if folder else ():
        for stray in folder.glob(pattern):
            stray.unlink(missing_ok=True)


def _remove_shards_beyond(dest: Address, count: int) -> None:
    folder = local(dest)
    keep = {shard_name(number) for number in range(count)}
    for path in folder.glob("shard-*.arrow") if folder else ():
        if path.name not in keep:
            path.unlink()
