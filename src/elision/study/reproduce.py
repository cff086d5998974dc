"""`elision reproduce`: the paper's tables and figures from one's own data, a run at a time, and the report of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from elision.data.extraction import with_features
from elision.data.formats import DETECTED, TableFormat
from elision.errors import InputError, check_choice
from elision.extractors import OwnExtractor
from elision.study import paper, protocol
from elision.study.plan import Plan
from elision.study.protocol import Protocol
from elision.study.run import BY_GROUP, END_TO_END, Run
from elision.study.sources import (
    DEMO,
    Source,
    check_speakers,
    end_to_end_source,
    feature_sources,
    make_demo,
    table_addresses,
)

FEATURES = "features"


@dataclass(frozen=True)
class Selection:
    """Choose the runs of a reproduction.

    Args:
        what: names in `paper.EXPERIMENTS`.
        split: "video", "speaker" or "both".
        seeds: of each setting; None is the protocol's.
        joint: the joint objective's rows too, which the paper does not have.
        only: runs whose title contains one of these; () is all.
        limit: at most so many runs of each table; None is all.
        demo_size: of the stand-in: people, and clips of each person and emotion.
        extractors: modality -> what makes its features for Table 2; {} takes the paper's networks for both.
    """

    what: tuple[str, ...] = ("all",)
    split: str = "both"
    seeds: int | None = None
    joint: bool = True
    only: tuple[str, ...] = ()
    limit: int | None = None
    demo_size: tuple[int, int] = (8, 3)
    extractors: Mapping[str, OwnExtractor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.what:
            check_choice("table or figure", name, paper.EXPERIMENTS)
        check_choice("split", self.split, BY_GROUP)
        for name, value in (("seeds", self.seeds), ("limit", self.limit)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: expected 1 or more")

    @property
    def settings(self) -> list[Run]:
        """Return each setting once, whichever tables and figures it belongs to."""
        found = [setting for name in self.what for setting in paper.EXPERIMENTS[name]()]
        return list(dict.fromkeys([*found, *(paper.beyond(found) if self.joint else [])]))


def plan_reproduction(
    selection: Selection,
    data: Sequence[str],
    out: Path,
    proto: Protocol | None = None,
    workers: int = 2,
    tell: Callable[[str], None] = lambda message: None,
    form: TableFormat = DETECTED,
) -> Plan:
    """Check the data against what was asked for, and list the runs. Nothing is trained, but features are extracted.

    All settings of the first seed come first, then those of the next.

    Args:
        selection: which runs.
        data: see `elision.study.sources.table_addresses`; ("demo",) is the stand-in, which is made.
        out: the folder of results; features and the stand-in are kept there too.
        proto: how they are trained; None is the paper's, or the stand-in's.
        workers: for the stand-in.
        tell: of what is done.
        form: how a table of features is read.

    Raises:
        InputError: the data cannot serve.
    """
    demo = list(data) == [DEMO]
    proto = proto or (protocol.STAND_IN if demo else protocol.PAPER)
    tables = sorted({s.table for s in selection.settings})
    if demo:
        sizes = selection.demo_size
        addresses = {t: make_demo(paper.TABLES[t].layout, out / DEMO, sizes, workers, tell) for t in tables}
    else:
        addresses = table_addresses(data, tables)
    sources = _sources(selection, addresses, proto, out, tell, form)
    runs = _runs(selection, sources, proto, out)
    if not runs:
        titles = f"titles are such as {selection.settings[0].title!r}"
        raise InputError(f"no run is called {' or '.join(selection.only)}: {titles}")
    first = {table: next(s for (t, _), s in sources.items() if t == table) for table in tables}
    settings = {
        "demo": demo,
        "data": {t: f"{s.name}, {s.samples:,} samples" for t, s in first.items()},
        "fingerprints": {f"{table} {name}": source.fingerprint for (table, name), source in sources.items()},
        "training": {t: asdict(proto.training[t]) for t in tables},
    }
    choices = protocol.choices(proto, tables, {t: s.parameters for t, s in first.items()})
    return Plan("reproduction", settings, {"choices": choices}, runs, ours=(DEMO, FEATURES))


def _sources(
    selection: Selection,
    addresses: dict[str, str],
    proto: Protocol,
    out: Path,
    tell: Callable[[str], None],
    form: TableFormat,
) -> dict[tuple[str, str], Source]:
    """Return (table, extractor) -> its data."""
    if selection.extractors and "table2" not in addresses:
        raise InputError("an extractor is for Table 2: Table 1 trains its networks end to end")
    found: dict[tuple[str, str], Source] = {}
    if "table1" in addresses:
        found["table1", END_TO_END] = end_to_end_source(addresses["table1"])
    if "table2" in addresses:
        if selection.extractors:
            store = with_features(addresses["table2"], selection.extractors, out / FEATURES, tell)
            addresses["table2"] = str(store.address)
        extractors = dict.fromkeys(s.extractor for s in selection.settings if s.table == "table2")
        features = feature_sources(addresses["table2"], proto, list(extractors), out / FEATURES, tell, form)
        found |= {("table2", name): source for name, source in features.items()}
    for (table, _), source in found.items():
        check_speakers(addresses[table], selection.split, source.groups)
    return found


def _runs(selection: Selection, sources: dict[tuple[str, str], Source], proto: Protocol, out: Path) -> list[Run]:
    settings = list(dict.fromkeys(_placed(setting, sources) for setting in selection.settings))
    runs = [
        replace(
            setting, seed=seed, by_group=by_group, data=source.name, fingerprint=source.fingerprint,
            training=proto.training[setting.table], visual=source.visual, source=source.address,
            folder=str((out / "training").absolute()), form=source.form,
        )
        for seed in range(selection.seeds or proto.seeds)
        for by_group in BY_GROUP[selection.split]
        for setting in settings
        for source in [sources[setting.table, setting.extractor]]
    ]  # fmt: skip
    per_table: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if not selection.only or any(text in run.title for text in selection.only):
            per_table[run.table].append(run)
    kept = {run.key for mine in per_table.values() for run in mine[: selection.limit]}
    return [run for run in runs if run.key in kept]


def _placed(setting: Run, sources: dict[tuple[str, str], Source]) -> Run:
    """Return a setting as the data has it: on features as they are given, the three extractors' blocks are one."""
    if (setting.table, setting.extractor) in sources:
        return setting
    (extractor,) = (name for table, name in sources if table == setting.table)
    return replace(setting, extractor=extractor)
