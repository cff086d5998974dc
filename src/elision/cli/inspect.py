"""`elision inspect`."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen
from elision.errors import InputError


def inspect(
    data: str,
    *,
    page: Path | None = None,
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a table or a store of recordings holds, and whether it can be used.

    Counts samples per class, group and pattern of modalities. Of a table it says what its columns are taken for; of a
    store it checks every file's hash, and writes inspect.html, with a few frames and spectrograms of each class. Exit
    code 2 if a file is damaged.

    Parameters
    ----------
    data
        A table (see `elision compare --help`), or a store that `elision prepare` made: a folder, or an address such as
        s3://bucket/store.
    page
        File to which a store's page is written. Default: inspect.html in the store's folder.
    """
    from elision.runs.doors import is_table

    screen = Screen(as_json, quiet)
    if is_table(data):
        if page:
            raise InputError(f"--page is for a store of recordings, and {data} is a table: leave it out")
        _table(data, table, screen)
        return
    if table.flag:
        raise InputError(f"{table.flag} is for a table, and {data} is a store: leave it out")
    _store(data, page, screen)


def _table(address: str, flags: TableFlags, screen: Screen) -> None:
    from elision.data.dataset import pattern_counts
    from elision.data.formats import DETECTED
    from elision.data.sources import load
    from elision.inputs import filled_share

    data = load(address, DETECTED.changed(flags.reading))
    groups = {} if data.groups is None else dict(Counter(data.groups.tolist()))
    split = {} if data.parts is None else dict(Counter(data.parts.tolist()))
    labels = Counter(data.labels.tolist())
    unlabelled = labels.pop("", 0)
    classes = dict(sorted(labels.items()))
    patterns = _counts(screen, classes, unlabelled, pattern_counts(data.observed), groups, split)
    modalities = {
        m: {
            "columns": names,
            "categories": {c: list(map(str, data.levels[c].values)) for c in names if c in data.levels},
            "shown": int(data.observed[m].sum()),
            "blank": filled_share(data.arrays[m]),
        }
        for m, names in data.named_columns.items()
    }
    for m, told in modalities.items():
        kinds = told["categories"]
        values = [f"{c} ({len(kinds[c])} values)" if c in kinds else c for c in told["columns"]]
        listed = ", ".join(values[:8]) + (f", ... ({len(values)} in all)" if len(values) > 8 else "")
        blank = f"; {told['blank']:.1%} of its cells are blank there" if told["blank"] else ""
        screen.say(f"{m}: {listed}; in {told['shown']} samples{blank}")
    n = len(data.labels)
    counts = {"samples": n, "classes": classes, "unlabelled": unlabelled, "groups": groups, "split": split}
    screen.give({"table": address} | counts | {"patterns": patterns, "modalities": modalities})


def _counts(
    screen: Screen,
    classes: Mapping[str, int],
    unlabelled: int,
    shown: Mapping[tuple[str, ...], int],
    groups: Mapping[str, int],
    split: Mapping[str, int],
) -> dict[str, int]:
    """Say how many samples there are of each kind; return those of each pattern, by its name."""
    n = sum(classes.values()) + unlabelled
    screen.say(f"{n} samples, {len(classes)} classes: {_listed(classes)}")
    if unlabelled:
        screen.say(f"{unlabelled} without a label")
    patterns = {" + ".join(names) or "nothing": count for names, count in shown.items()}
    screen.say(f"patterns: {_listed(patterns)}")
    if groups:
        screen.say(f"{len(groups)} groups of {min(groups.values())} to {max(groups.values())} samples")
    if split:
        screen.say(f"split: {_listed(split)}")
    return patterns


def _store(dest: str, page: Path | None, screen: Screen) -> None:
    from elision.data.inspect import PAGE, inspect_store

    report = inspect_store(dest, page)
    patterns = _counts(screen, report.classes, report.unlabelled, report.patterns, report.groups, report.split)
    d = report.durations
    if len(d):
        screen.say(
            f"durations: {d.min():.2f} to {d.max():.2f} s, median {d[len(d) // 2]:.2f} s, {d.sum() / 60:.1f} min in all"
        )
    if report.set_aside:
        screen.say(f"{len(report.set_aside)} set aside when it was prepared: see problems.csv")
    shown = str(page or Path(dest) / PAGE)
    screen.say(f"Page: {shown}")
    screen.give(
        {
            "store": dest, "samples": report.samples, "classes": report.classes, "unlabelled": report.unlabelled,
            "groups": report.groups, "split": report.split, "patterns": patterns, "seconds": d.tolist(),
            "set_aside": [asdict(problem) for problem in report.set_aside], "damaged": report.damaged, "page": shown,
        }
    )  # fmt: skip
    if report.damaged:
        print(f"elision: damaged: {', '.join(report.damaged)}; remove the store, and prepare it again", file=sys.stderr)
        sys.exit(2)
    n = len(report.info.shards)
    screen.say(f"all {n} shards are whole" if n > 1 else "the shard is whole")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
