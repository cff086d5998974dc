"""`elision reproduce`: the paper's tables and figures from one's own data, a run at a time, and the report of them."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from elision import __version__
from elision.errors import InputError, check_choice
from elision.files import write_atomically
from elision.parallel import Watcher
from elision.study import folders, paper, protocol
from elision.study.paper import Setting
from elision.study.paper_report import REPRODUCTION, read_settings, report
from elision.study.paper_run import RUNS, PaperRun, kind
from elision.study.paper_work import execute
from elision.study.protocol import Protocol
from elision.study.runner import run_grid
from elision.study.sources import DEMO, Source, end_to_end_source, feature_sources, make_demo, table_addresses

FORMAT = 1
_BY_KEY = ("data", "fingerprints", "training")
_BY_GROUP = {"video": (False,), "speaker": (True,), "both": (False, True)}


@dataclass(frozen=True)
class Selection:
    """Which runs.

    Args:
        what: names in `paper.EXPERIMENTS`.
        split: "video", "speaker" or "both".
        seeds: of each setting; None is the protocol's.
        joint: the joint objective's rows too, which the paper does not have.
        only: runs whose title contains one of these; () is all.
        limit: at most so many runs of each table; None is all.
        demo_size: of the stand-in: people, and clips of each person and emotion.
    """

    what: tuple[str, ...] = ("all",)
    split: str = "both"
    seeds: int | None = None
    joint: bool = True
    only: tuple[str, ...] = ()
    limit: int | None = None
    demo_size: tuple[int, int] = (8, 3)

    def __post_init__(self) -> None:
        for name in self.what:
            check_choice("table or figure", name, paper.EXPERIMENTS)
        check_choice("split", self.split, _BY_GROUP)
        for name, value in (("seeds", self.seeds), ("limit", self.limit)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: expected 1 or more")

    @property
    def settings(self) -> list[Setting]:
        """Each once, whichever tables and figures it belongs to."""
        found = [setting for name in self.what for setting in paper.EXPERIMENTS[name]()]
        return list(dict.fromkeys([*found, *(paper.beyond(found) if self.joint else [])]))


@dataclass(frozen=True)
class Plan:
    """A reproduction made concrete.

    Args:
        runs: in the order of doing: all settings of the first seed, then of the next.
        sources: (table, extractor) -> its data.
        settings: what is written beside the runs; decides with them what the results mean.
    """

    runs: list[PaperRun]
    sources: dict[tuple[str, str], Source]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Forecast:
    """What is left to do.

    Args:
        finished: titles of the runs that have a result.
        failed: that failed.
        left: that were not tried, or were stopped.
        seconds: that those left take, by the finished runs of their kind; None where there are none.
    """

    finished: list[str]
    failed: list[str]
    left: list[str]
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """What a reproduction came to.

    Args:
        plan: its runs.
        results, failures: of them.
        pages: of the report; none where nothing is finished.
    """

    plan: Plan
    results: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    pages: list[Path]


def _silent(message: str) -> None:
    pass


def plan(
    selection: Selection,
    data: Sequence[str],
    out: Path,
    proto: Protocol | None = None,
    workers: int = 2,
    tell: Callable[[str], None] = _silent,
) -> Plan:
    """Check the data against what was asked for, and list the runs. Nothing is trained, but features are extracted.

    Args:
        selection: which runs.
        data: see `elision.study.sources.table_addresses`; ("demo",) is the stand-in, which is made.
        out: the folder of results; features and the stand-in are kept there too.
        proto: how they are trained; None is the paper's, or the stand-in's.
        workers: for the stand-in.
        tell: of what is done.

    Raises:
        InputError: the data cannot serve.
    """
    demo = list(data) == [DEMO]
    proto = proto or (protocol.STAND_IN if demo else protocol.PAPER)
    tables = sorted({s.table for s in selection.settings})
    if demo:
        addresses = {
            t: make_demo(paper.TABLES[t].layout, out / DEMO, selection.demo_size, workers, tell) for t in tables
        }
    else:
        addresses = table_addresses(data, tables)
    sources = _sources(selection, addresses, proto, out, tell)
    runs = _runs(selection, sources, proto, out)
    if not runs:
        raise InputError(
            f"no run is called {' or '.join(selection.only)}: titles are such as {selection.settings[0].title!r}"
        )
    return Plan(runs, sources, _settings(proto, sources, tables, demo))


def reproduce(  # noqa: PLR0913
    todo: Plan,
    out: Path,
    watch: Watcher,
    *,
    workers: int = 2,
    engine: str = "local",
    devices: Sequence[str] = (),
    gpus: float = 0.0,
    retry_failed: bool = False,
    command: str = "",
) -> Outcome:
    """Carry out what is left of a plan, and write the report of all that is finished in its folder.

    Args:
        todo: what to do.
        out: the folder; one that holds runs of other data, another training or version is refused.
        watch: told of progress.
        workers, engine, devices, gpus, retry_failed: see `elision.study.runner.run_grid`; the engine "list"
            writes ``out/commands.txt`` and trains nothing.
        command: to be shown in the report.
    """
    prepare_folder(todo, out)
    results, failures = run_grid(
        todo.runs, out, workers, watch, execute,
        engine=engine, devices=devices, gpus=gpus, retry_failed=retry_failed, kind=kind,
    )  # fmt: skip
    return Outcome(todo, results, failures, report(out, command) if results else [])


def forecast(todo: Plan, out: Path, workers: int = 2) -> Forecast:
    """What is left of a plan, and how long it takes by the runs that are finished."""
    times: dict[Any, list[float]] = defaultdict(list)
    finished, failed, left, waiting = [], [], [], []
    for run in todo.runs:
        result, failure = folders.read(out / RUNS, run.key, run.title)
        if result:
            finished.append(run.title)
            times[kind(run)].append(result["seconds"])
        elif failure:
            failed.append(run.title)
        else:
            left.append(run.title)
            waiting.append(run)
    tables: dict[str, list[float]] = defaultdict(list)
    for (table, *_), seconds in times.items():
        tables[table] += seconds
    guesses = [times.get(kind(run)) or tables.get(run.setting.table) for run in waiting]
    known = all(guesses) or not waiting
    return Forecast(finished, failed, left, sum(sum(g) / len(g) for g in guesses) / workers if known else None)


def prepare_folder(todo: Plan, out: Path) -> None:
    """Make ``out`` the folder of this reproduction, or check that it is: results of other settings are not mixed in."""
    settings = json.loads(json.dumps(todo.settings))
    path = out / REPRODUCTION
    if path.is_file():
        earlier = read_settings(out)
        differences = [
            f"{name} {table or ''}".strip()
            for name, table, theirs in _leaves(earlier)
            for mine in [_leaf(settings, name, table)]
            if mine is not None and mine != theirs
        ]
        if differences:
            listed = ", ".join(differences)
            raise InputError(
                f"{out} holds a reproduction with other settings (they differ in: {listed}): choose another --out"
            )
        merged = {name: earlier[name] | settings[name] for name in _BY_KEY}
        known = dict(map(tuple, earlier["choices"])) | dict(map(tuple, settings["choices"]))
        settings |= merged | {"choices": sorted(known.items(), key=lambda c: c[0].startswith("Table"))}
    elif out.exists() and any(p.name not in (DEMO, "features") for p in out.iterdir()):
        raise InputError(f"{out} exists and is no reproduction's folder: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings, indent=1))


def _leaves(settings: dict[str, Any]) -> list[tuple[str, str, Any]]:
    whole = [(name, "", settings[name]) for name in ("format", "elision", "demo")]
    return whole + [(name, t, v) for name in _BY_KEY for t, v in settings[name].items()]


def _leaf(settings: dict[str, Any], name: str, table: str) -> Any:
    return settings[name].get(table) if table else settings[name]


def _sources(
    selection: Selection, addresses: dict[str, str], proto: Protocol, out: Path, tell: Callable[[str], None]
) -> dict[tuple[str, str], Source]:
    found: dict[tuple[str, str], Source] = {}
    if "table1" in addresses:
        found["table1", paper.END_TO_END] = end_to_end_source(addresses["table1"])
    if "table2" in addresses:
        extractors = dict.fromkeys(s.extractor for s in selection.settings if s.table == "table2")
        features = feature_sources(addresses["table2"], proto, list(extractors), out / "features", tell)
        found |= {("table2", name): source for name, source in features.items()}
    for (table, _), source in found.items():
        if True in _BY_GROUP[selection.split] and not source.grouped:
            raise InputError(f"{addresses[table]} names no speakers (groups): use --split video")
    return found


def _runs(selection: Selection, sources: dict[tuple[str, str], Source], proto: Protocol, out: Path) -> list[PaperRun]:
    settings = list(dict.fromkeys(_placed(setting, sources) for setting in selection.settings))
    runs = [
        PaperRun(
            setting, seed, by_group, source.name, source.fingerprint, proto.training[setting.table],
            source.visual, source.address, str((out / "training").absolute()),
        )
        for seed in range(selection.seeds or proto.seeds)
        for by_group in _BY_GROUP[selection.split]
        for setting in settings
        for source in [sources[setting.table, setting.extractor]]
    ]  # fmt: skip
    chosen = [r for r in runs if not selection.only or any(text in r.title for text in selection.only)]
    per_table: dict[str, list[PaperRun]] = defaultdict(list)
    for run in chosen:
        per_table[run.setting.table].append(run)
    kept = {run.key for mine in per_table.values() for run in mine[: selection.limit]}
    return [run for run in chosen if run.key in kept]


def _placed(setting: Setting, sources: dict[tuple[str, str], Source]) -> Setting:
    """On features as they are given, the three extractors' blocks are one."""
    if (setting.table, setting.extractor) in sources:
        return setting
    (extractor,) = (name for table, name in sources if table == setting.table)
    return replace(setting, extractor=extractor)


def _settings(proto: Protocol, sources: dict[tuple[str, str], Source], tables: list[str], demo: bool) -> dict[str, Any]:
    first = {table: next(s for (t, _), s in sources.items() if t == table) for table in tables}
    return {
        "format": FORMAT,
        "elision": __version__,
        "demo": demo,
        "data": {t: f"{s.name}, {s.samples:,} samples" for t, s in first.items()},
        "fingerprints": {f"{table} {name}": source.fingerprint for (table, name), source in sources.items()},
        "training": {t: asdict(proto.training[t]) for t in tables},
        "choices": protocol.choices(proto, tables, {t: s.parameters for t, s in first.items()}),
    }
