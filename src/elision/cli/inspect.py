"""`elision inspect`."""

import sys
from dataclasses import asdict
from pathlib import Path

from elision.cli.tables import AsJson, Quiet, Screen


def inspect(dest: str, *, page: Path | None = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what a prepared data set holds, and whether it is whole.

    Counts samples per class, group and pattern of modalities, checks every file's hash, and writes inspect.html, with a
    few frames and spectrograms of each class. Exit code 2 if a file is damaged.

    Parameters
    ----------
    dest
        A store that `elision prepare` made: a folder, or an address such as s3://bucket/store.
    page
        File to which the page is written. Default: inspect.html in the store's folder.
    """
    from elision.data.inspect import PAGE, inspect_store

    report, screen = inspect_store(dest, page), Screen(as_json, quiet)
    screen.say(f"{report.samples} samples, {len(report.classes)} classes: {_listed(report.classes)}")
    if report.unlabelled:
        screen.say(f"{report.unlabelled} without a label")
    patterns = {" + ".join(shown) or "nothing": n for shown, n in report.patterns.items()}
    screen.say(f"patterns: {_listed(patterns)}")
    if report.groups:
        smallest, largest = min(report.groups.values()), max(report.groups.values())
        screen.say(f"{len(report.groups)} groups of {smallest} to {largest} samples")
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


def _listed(counts) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
