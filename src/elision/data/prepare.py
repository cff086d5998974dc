"""From a folder of recordings to a store: found by their layout, read clip by clip in parallel, put together in order.

The finished store is a function of the recordings and the settings: neither interruptions nor the number of workers
leave a trace in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from elision.data import addresses
from elision.data.job import Job, modalities, parameters, root, versions
from elision.data.layouts import LAYOUTS, Found
from elision.data.problems import PROBLEMS, Summary, commonest, missing_streams, problem, read_problems, table
from elision.data.recording import Recording
from elision.data.schema import MANIFEST, Shard, StoreInfo, shard_name, write_manifest
from elision.data.stage import DIED, stage
from elision.data.staging import NAME, SETTINGS, Part, Record, Staging, naming, refuse_differences, stamps
from elision.data.store import Store
from elision.errors import InputError, check_choice
from elision.parallel import ENGINES, Placing, Watcher, work_through

_MOST_BYTES = 32 << 20  # of a shard's rows; several copies are in memory while it is written


def _quiet(done: int, total: int, running: Sequence[str], seconds_left: float | None) -> None:
    pass


def prepare(  # noqa: PLR0913
    source: Path,
    dest: Path | str,
    job: Job,
    *,
    workers: int = 2,
    engine: str = "local",
    watch: Watcher = _quiet,
    strict: bool = False,
    staging: Path | None = None,
) -> Summary:
    """Prepare a store, or go on where an earlier call was interrupted; a finished store is checked and left alone.

    A recording that cannot be used is set aside with its reason, in ``dest/problems.csv``; so is one over which the
    decoder crashes. A stream that a recording does not have makes a missing modality.

    Args:
        source: a folder, or a manifest. With Ray, one that every node sees at the same path; so with ``staging``.
        dest: a folder, or an fsspec address such as ``s3://bucket/store``.
        job: how.
        workers: clips at once, each in a process of one thread.
        engine: "local" or "ray".
        watch: told of progress.
        strict: raise once the store is there if anything was set aside.
        staging: folder of what is finished so far, by default in ``dest``, and needed where that is an address.

    Raises:
        InputError: there is nothing to prepare, all of it is unusable, or ``dest`` holds something else: a store of
            another source or other settings, named with the differences.
        OSError: the disk is full; what is finished is kept.
    """
    check_choice("engine", engine, ENGINES)
    placing = Placing(workers)
    found = _find(source, job)
    content = parameters(source, found, job)
    dest = addresses.local(dest) or str(dest)
    if _finished(dest, content, staging):
        summary = _earlier(dest, found.skipped)
    else:
        area = Staging(_staging_folder(dest, staging), dest, modalities(found, job.settings))
        with area.locked():
            area.settle(content | {"versions": versions()})
            summary = _Preparation(area, found, root(source), job, placing, engine, watch).go(content)
        area.remove()
    if strict:
        summary.require_all()
    return summary


class _Preparation:
    """One store in the making."""

    def __init__(self, area, found, root, job, placing, engine, watch) -> None:
        self.area, self.found, self.root, self.job = area, found, root, job
        self.placing, self.engine, self.watch = placing, engine, watch
        _remove_strays(area.dest)

    def go(self, parameters: Mapping[str, Any]) -> Summary:
        records, parts = self._read_all()
        names = {recording.id: recording for recording in self.found.recordings}
        bad = [problem(record, names[record.id], self.root) for record in records if record.problem]
        set_aside = sorted([*self.found.problems, *bad], key=lambda p: (p.id, p.file, p.reason))
        missing = missing_streams(records, names, self.root)
        self._write(PROBLEMS, table(set_aside, missing))
        if not parts:
            where = addresses.join(self.area.dest, PROBLEMS)
            raise InputError(f"all {len(set_aside)} recordings were set aside: {commonest(set_aside)}; see {where}")
        shards = self._assemble(parts)
        info = StoreInfo(parts[0].modalities, shards, parameters, versions())
        _remove_shards_beyond(self.area.dest, len(shards))
        with naming(addresses.join(self.area.dest, MANIFEST)):
            write_manifest(self.area.dest, info)
        observed = info.counts["observed"]
        return Summary(self.area.dest, info.counts["samples"], tuple(set_aside), missing, self.found.skipped, observed)

    def _read_all(self) -> tuple[list[Record], list[Part]]:
        """Read what is left to read; the records of all recordings in order, and the shards that follow from them."""
        records = self.area.records(self.found.recordings)
        while True:
            left = [recording for recording in self.found.recordings if recording.id not in records]
            if left:
                self._read(left, records)
            inputs = [records[recording.id] for recording in self.found.recordings]
            parts = self._parts(inputs)
            done = self.area.finished(parts)
            lost = [row for part in parts if part.number not in done for row in part.rows if not self.area.has(row)]
            if not lost:
                return inputs, parts
            for row in lost:  # of a finished shard, but the shards are cut elsewhere now
                del records[row.id]

    def _read(self, left: Sequence[Recording], records: dict[str, Record]) -> None:
        work, pace = partial(stage, self.area, self.job.settings), _Pace(self, records)
        for done in work_through(left, work, self.placing, self.engine, pace.tell):
            record = done.result
            if done.failure:
                why = DIED if done.failure.died else done.failure.error
                record = self.area.note(Record(done.task.id, stamps(done.task), why))
            records[record.id] = record
            pace.seconds.append(done.seconds)

    def _parts(self, records: Sequence[Record]) -> list[Part]:
        good = [record for record in records if not record.problem]
        shown = {m for record in good for m in record.shown}
        modalities = {m: modality for m, modality in self.area.modalities.items() if m in shown}
        cut = _cut([record.bytes for record in good], self.job.per_shard)
        return [Part(number, tuple(good[i:j]), modalities) for number, (i, j) in enumerate(cut)]

    def _assemble(self, parts: Sequence[Part]) -> tuple[Shard, ...]:
        total = len(self.found.recordings)
        shards = self.area.finished(parts)
        for part in parts:
            self.watch(total, total, [shard_name(part.number)], None)
            if part.number not in shards:
                shards[part.number] = self.area.assemble(part)
        self.watch(total, total, (), 0.0)
        return tuple(shards[part.number] for part in parts)

    def _write(self, name: str, content: bytes) -> None:
        path = addresses.join(self.area.dest, name)
        with naming(path):
            addresses.write(path, content)


class _Pace:
    """Tells the watcher how many are done, and from their times how long is left."""

    def __init__(self, preparation: _Preparation, records: Mapping[str, Record]) -> None:
        self.watch, self.total = preparation.watch, len(preparation.found.recordings)
        self.workers, self.records = preparation.placing.workers, records
        self.seconds: list[float] = []

    def tell(self, running: Sequence[Recording]) -> None:
        done = len(self.records)
        each = sum(self.seconds) / len(self.seconds) if self.seconds else None
        left = None if each is None else each * (self.total - done) / self.workers
        self.watch(done, self.total, [recording.id for recording in running], left)


def _find(source: Path, job: Job) -> Found:
    found = LAYOUTS[job.layout](source, job.options)
    if not found.recordings:
        hint = f": {commonest(found.problems)}" if found.problems else ""
        raise InputError(f"{source} holds no recording that follows the layout {job.layout!r}{hint}")
    return found


def _finished(dest: Path | str, parameters: Mapping[str, Any], staging: Path | None) -> bool:
    """Whether the store is there; InputError if it is another one, or damaged, or ``dest`` is no store's folder."""
    folder = addresses.local(dest)
    try:
        store = Store(dest)
    except InputError:
        if _exists(addresses.join(dest, MANIFEST)):
            raise
        if folder and folder.exists() and not folder.is_dir():
            raise InputError(f"{dest} is a file: expected a folder for the store") from None
        begun = ((staging or folder / NAME) / SETTINGS).is_file() if folder else False
        if folder and folder.exists() and not begun and any(path.name != NAME for path in folder.iterdir()):
            raise InputError(f"{dest} holds something else than a store: choose another DEST") from None
        return False
    refuse_differences(dest, dict(store.info.parameters), parameters, "choose")
    damaged = store.verify()
    if damaged:
        raise InputError(f"{dest}: {', '.join(damaged)} changed since it was prepared: remove {dest}, prepare it again")
    if folder:  # a call that was interrupted at the very end
        Staging(staging or folder / NAME, dest, {}).remove()
    return True


def _exists(address: Path | str) -> bool:
    try:
        addresses.read(address)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _staging_folder(dest: Path | str, staging: Path | None) -> Path:
    folder = addresses.local(dest)
    if folder is None and staging is None:
        raise InputError(f"{dest} is an address: say with staging (--staging) which folder keeps what is unfinished")
    return staging.absolute() if staging else folder / NAME


def _cut(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Slices of at most so many clips and bytes; a clip that is larger has its own."""
    first, total = 0, 0
    for i, size in enumerate(sizes):
        if i > first and (i - first == most or total + size > _MOST_BYTES):
            yield first, i
            first, total = i, 0
        total += size
    if sizes:
        yield first, len(sizes)


def _earlier(dest: Path | str, skipped: Mapping[str, int]) -> Summary:
    set_aside, missing = read_problems(dest)
    counts = Store(dest).info.counts
    return Summary(dest, counts["samples"], set_aside, missing, skipped, counts["observed"])


def _remove_strays(dest: Path | str) -> None:
    """What was being written when an earlier call was killed."""
    folder = addresses.local(dest)
    for pattern in (".shard-*.arrow-*", f".{MANIFEST}-*", f".{PROBLEMS}-*") if folder else ():
        for stray in folder.glob(pattern):
            stray.unlink(missing_ok=True)


def _remove_shards_beyond(dest: Path | str, count: int) -> None:
    folder = addresses.local(dest)
    keep = {shard_name(number) for number in range(count)}
    for path in folder.glob("shard-*.arrow") if folder else ():
        if path.name not in keep:
            path.unlink()
