"""Where a store comes into being: a file per finished clip and a record of it, until they are put together.

STAGING/settings.json         what the store is prepared with: a continuation must agree
STAGING/clips/ab/HASH.arrow   a clip, as a shard of one row
STAGING/clips/ab/HASH.json    its record, written after it; or why it was set aside
STAGING/shard-00000.json      a finished shard of the store, whose clips are no longer needed
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from elision.data.recording import Recording
from elision.data.schema import Row, Shard, shard_name
from elision.data.shards import Columns, write_shard
from elision.errors import InputError
from elision.files import Address, is_whole, join, sha256_of, sha256_of_json, write_atomically
from elision.kinds import Modality

SETTINGS_FILE = "settings.json"
STAGING_FOLDER = ".staging"


@dataclass(frozen=True)
class Record:
    """The outcome of reading a recording.

    Args:
        id: of the recording.
        stamps: size and times of its files when they were read; others mean that it must be read again.
        problem: why it was set aside; "" where it was not.
        file: that the problem is about, as the recording names it; "" where it is about none.
        missing: modality -> why it is missing, of those that the recording names.
        notes: modality -> in what its file was not taken as usual.
        shown: modalities that it shows.
        bytes: of its staged row.
        sha256: of its staged row.
    """

    id: str
    stamps: Sequence[Sequence[int]] = ()
    problem: str = ""
    file: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class PlannedShard:
    """A shard that is not written yet: its number, its rows in order, and the modalities that they show."""

    number: int
    rows: tuple[Record, ...]
    modalities: Mapping[str, Modality]

    @property
    def inputs(self) -> str:
        """A hash of all that decides its bytes."""
        modalities = {m: asdict(modality) for m, modality in self.modalities.items()}
        return sha256_of_json([modalities, [row.sha256 for row in self.rows]])


@dataclass(frozen=True)
class Staging:
    """A staging folder. It is sent to workers, so it holds no open files.

    Args:
        folder: seen by all of them.
        dest: the store's folder or fsspec address, where its shards go.
        modalities: of all recordings.
    """

    folder: Path
    dest: Address
    modalities: Mapping[str, Modality]

    def settle(self, settings: Mapping[str, Any]) -> None:
        """Begin, or continue what was begun with equal settings.

        Raises:
            InputError: they differ.
        """
        path = self.folder / SETTINGS_FILE
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            with naming(path):
                (self.folder / "clips").mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps(settings))
        else:
            refuse_differences(self.dest, earlier, settings, f"remove {self.folder.parent} to begin anew, or choose")

    def keep(self, row: Row, record: Record) -> Record:
        """Write a finished clip, then its record, and return that."""
        path = self._path(row.id, ".arrow")
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shard = write_shard(path, [row], self.modalities)
        return self.note(replace(record, bytes=shard.bytes, sha256=shard.sha256, shown=sorted(row.values)))

    def note(self, record: Record) -> Record:
        """Write a record, and return it."""
        path = self._path(record.id, ".json")
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(asdict(record)))
        return record

    def records(self, recordings: Sequence[Recording]) -> dict[str, Record]:
        """Return the records of recordings that were read earlier and are still whole, by id."""
        shelved = {row for content in self._finished().values() for row in content["rows"]}
        found = {recording.id: self._record(recording) for recording in recordings}
        return {
            id: record
            for id, record in found.items()
            if record and (record.problem or record.sha256 in shelved or self.holds(record))
        }

    def holds(self, record: Record) -> bool:
        """Return whether its staged row is there, whole."""
        return is_whole(self._path(record.id, ".arrow"), record.sha256)

    def has(self, record: Record) -> bool:
        """Return whether its staged row is there; its content is not looked at."""
        return self._path(record.id, ".arrow").is_file()

    def finished(self, planned: Sequence[PlannedShard]) -> dict[int, Shard]:
        """Return the planned shards that are there already, whole, by number."""
        found = self._finished()
        same = {each.number for each in planned if found.get(each.number, {}).get("inputs") == each.inputs}
        return {number: Shard(**found[number]["shard"]) for number in same}

    def assemble(self, planned: PlannedShard) -> Shard:
        """Write a planned shard into the store, remove its staged rows, and return its entry."""
        import pyarrow as pa

        rows = []
        for record in planned.rows:
            content = pa.py_buffer(self._path(record.id, ".arrow").read_bytes())
            rows += Columns(content, self.modalities, str(self._path(record.id, ".arrow"))).rows()
        path = join(self.dest, shard_name(planned.number))
        with naming(path):
            shard = write_shard(path, rows, planned.modalities)
            content = {
                "inputs": planned.inputs,
                "shard": asdict(shard),
                "rows": [record.sha256 for record in planned.rows],
            }
            write_atomically(self.folder / f"{shard.file}.json", json.dumps(content))
        for record in planned.rows:
            self._path(record.id, ".arrow").unlink(missing_ok=True)
        return shard

    def remove(self) -> None:
        """Remove the folder once the store is finished."""
        (self.folder / SETTINGS_FILE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that keeps two processes from preparing one store at a time.

        Raises:
            InputError: another one does.
        """
        import fcntl

        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"{self.dest} is being prepared by another process: wait for it, or end it") from error
            yield

    def _path(self, id: str, ending: str) -> Path:
        name = sha256_of(id.encode("utf-8", "surrogateescape"))[:32]
        return self.folder / "clips" / name[:2] / (name[2:] + ending)

    def _record(self, recording: Recording) -> Record | None:
        content = _json(self._path(recording.id, ".json"))
        record = Record(**content) if content else None
        return record if record and [*map(list, record.stamps)] == stamps(recording) else None

    def _finished(self) -> dict[int, dict[str, Any]]:
        """Return what `assemble` noted of shards that are whole, by number."""
        found = {}
        for path in sorted(self.folder.glob("shard-*.json")):
            content = _json(path)
            if content and is_whole(join(self.dest, content["shard"]["file"]), content["shard"]["sha256"]):
                found[int(path.name.removeprefix("shard-").partition(".")[0])] = content
        return found


def stamps(recording: Recording) -> list[list[int]]:
    """Return size, time of change of content and of status of its files, in the order of their modalities."""
    return [_stamp(path) for _, path in sorted(recording.sources.items())]


def refuse_differences(dest: Address, earlier: Mapping, now: Mapping, advice: str) -> None:
    """Raise `InputError` listing in what two settings differ, if they do."""
    before, after = _flat(earlier), _flat(json.loads(json.dumps(now)))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if names:
        listed = "; ".join(f"{name} was {before.get(name)}, now {after.get(name)}" for name in names)
        raise InputError(f"{dest} was prepared with other settings ({listed}): {advice} another DEST")


@contextmanager
def naming(path: Address) -> Iterator[None]:
    """Add the file's name to an `OSError`: a full disk does not say which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    return {k: v for name, value in content.items() for k, v in _flat(value, f"{prefix}.{name}".strip(".")).items()}


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return None
