"""What a reproduction runs on: stores for Table 1, stores or manifests of features for Table 2, or the stand-in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elision.data.formats import DETECTED, TABLE_ENDINGS, TableFormat
from elision.data.sources import load
from elision.data.splits import PARTS
from elision.data.store import Store
from elision.demo import talking_faces
from elision.errors import InputError
from elision.study.features import extract, open_features, visual_name
from elision.study.paper import GIVEN, TABLES
from elision.study.protocol import Protocol
from elision.study.run import BY_GROUP

DEMO = "demo"
CLASSES = 6
_KINDS = {"visual": ("frames", "image"), "audio": ("spectrogram",)}


@dataclass(frozen=True)
class Source:
    """Tell where the runs of a table, or of one extractor's block of it, find their data.

    Args:
        name: of the data.
        address: what a run opens.
        fingerprint: of its content.
        visual: its name of the visual modality.
        samples: how many.
        groups: how many it names; 0 where it names none.
        parameters: of its preparation; {} without a store.
        form: how a table is read.
    """

    name: str
    address: str
    fingerprint: str
    visual: str
    samples: int
    groups: int
    parameters: Mapping[str, Any]
    form: TableFormat = DETECTED


def table_addresses(data: Sequence[str], tables: Sequence[str]) -> dict[str, str]:
    """Return table -> address, of ``table1=ADDRESS``, ``table2=ADDRESS``, or one address for all.

    Example:
        >>> table_addresses(["table2=ravdess", "enterface05"], ["table1", "table2"])
        {'table1': 'enterface05', 'table2': 'ravdess'}
    """
    named = {}
    for entry in data:
        table, equals, address = entry.partition("=")
        if equals and table in TABLES:
            named[table] = address
        else:
            named.setdefault("", entry)
            if named[""] != entry:
                raise InputError(
                    f"data is given as {named['']!r} and {entry!r}: say which is table1=... and table2=..."
                )
    found = {table: named.get(table, named.get("", "")) for table in tables}
    for table, address in found.items():
        if not address:
            raise InputError(f"no data is given for {table}: add --data {table}=ADDRESS")
    return found


def end_to_end_source(address: str) -> Source:
    """Return a store with frames and spectrograms of six classes."""
    store = Store(address)
    visual = visual_name(store.info.modalities, address)
    for m, kinds in ((visual, _KINDS["visual"]), ("audio", _KINDS["audio"])):
        kind = store.info.modalities[m].kind
        if kind not in kinds:
            raise InputError(f"{address} has {m} as {kind}: Table 1 trains on {kinds[0]}; prepare the clips themselves")
    extra = sorted(set(store.info.modalities) - {visual, "audio"})
    if extra:
        raise InputError(f"{address} has {', '.join(extra)} beside picture and sound: prepare a store without it")
    _check_classes(store.info.classes, address)
    return _of_store(store, str(store.address), store.fingerprint(), visual)


def feature_sources(
    address: str,
    protocol: Protocol,
    extractors: Sequence[str],
    folder: Path,
    tell: Callable[[str], None],
    form: TableFormat = DETECTED,
) -> dict[str, Source]:
    """Return extractor -> its features: extracted from a store and kept in ``folder``, or given in a table or store."""
    if address.lower().endswith(TABLE_ENDINGS):
        path = str(Path(address).absolute())
        load(path, form)  # which says what it found
        data, fingerprint = open_features(path, form)
        _check_classes(data.classes.tolist(), address)
        visual, groups = visual_name(data.arrays, address), count_groups(data.groups)
        return {GIVEN: Source(data.name, path, fingerprint, visual, len(data.labels), groups, {}, form)}
    store = Store(address)
    _check_classes(store.info.classes, address)
    visual = visual_name(store.info.modalities, address)
    kinds = {m: store.info.modalities[m].kind for m in (visual, "audio")}
    if set(kinds.values()) == {"features"}:
        path = str(store.address)
        return {GIVEN: _of_store(store, path, open_features(path)[1], visual)}
    if "features" in kinds.values():
        told = " and ".join(f"{m} as {kind}" for m, kind in kinds.items())
        raise InputError(
            f"{address} has {told}: Table 2 is for features of both; `elision prepare --extractor` makes them of the "
            "other modality too"
        )
    found = {}
    for name in extractors:
        tell(f"features of {name}")
        path = str(extract(store, name, protocol.extractors[name], folder).absolute())
        found[name] = _of_store(store, path, open_features(path)[1], visual)
    return found


def make_demo(layout: str, folder: Path, size: tuple[int, int], workers: int, tell: Callable[[str], None]) -> str:
    """Make the stand-in of a layout, prepare it as clips of it are, and return the store's folder.

    Args:
        layout: "ravdess" or "enterface05".
        folder: for clips and store.
        size: people, and clips of each person and emotion.
        workers: processes.
        tell: of what is done.
    """
    from elision.data.preparation import Preparation
    from elision.data.prepare import prepare
    from elision.media.extract import MediaSettings

    clips, store = folder / layout / "clips", folder / layout / "store"
    tell(f"drawing clips in the layout {layout}")
    talking_faces.make(clips, layout, *size, workers=workers)
    tell(f"preparing {layout}")
    prepare(clips, store, Preparation(layout, MediaSettings(windows=4, size=64)), workers=workers)
    return str(store)


def _of_store(store: Store, address: str, content: str, visual: str) -> Source:
    layout = str(store.info.parameters.get("layout", ""))
    name = layout if layout not in ("", "manifest") else Path(str(store.address)).name
    return Source(name, address, content, visual, len(store), count_groups(store.groups), dict(store.info.parameters))


def check_speakers(address: str, split: str, groups: int) -> None:
    """Raise `InputError` unless data that names so many groups can be split as "video", "speaker" or "both" says."""
    if True in BY_GROUP[split] and groups < len(PARTS):
        raise InputError(
            f"{address} names {groups or 'no'} speakers (groups), and a split by speaker needs {len(PARTS)} at least, "
            "one for each part: use --split video"
        )


def count_groups(groups: np.ndarray | None) -> int:
    """Return how many groups there are; 0 where samples name none."""
    return 0 if groups is None else len(np.unique(groups))


def _check_classes(classes: Sequence[str], address: str) -> None:
    if len(classes) != CLASSES:
        raise InputError(
            f"{address} shows {len(classes)} classes ({', '.join(map(str, classes))}): the paper's tables have "
            f"{CLASSES} emotions; leave the others out"
        )
