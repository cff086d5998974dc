"""`elision inspect`."""

import sys
from pathlib import Path


def inspect(dest: str, *, page: Path | None = None) -> None:
    """What a prepared data set holds, and whether it is whole.

    Counts samples per class, group and pattern of modalities, checks every file's hash, and writes inspect.html, with a
    few frames and spectrograms of each class. Exit code 2 if a file is damaged.

    Parameters
    ----------
    dest
        A store that `elision prepare` made: a folder, or an address such as s3://bucket/store.
    page
        Where the page goes; by default inspect.html in the store's folder.
    """
    from elision.data.inspect import PAGE
    from elision.data.inspect import inspect as look

    report = look(dest, page)
    print(f"{report.samples} samples, {len(report.classes)} classes: {_listed(report.classes)}")
    if report.unlabelled:
        print(f"{report.unlabelled} without a label")
    print("patterns: " + _listed({" + ".join(shown) or "nothing": n for shown, n in report.patterns.items()}))
    if report.groups:
        print(f"{len(report.groups)} groups of {min(report.groups.values())} to {max(report.groups.values())} samples")
    if len(report.durations):
        d = report.durations
        print(
            f"durations: {d.min():.2f} to {d.max():.2f} s, median {d[len(d) // 2]:.2f} s, {d.sum() / 60:.1f} min in all"
        )
    if report.set_aside:
        print(f"{len(report.set_aside)} set aside when it was prepared: see problems.csv")
    print(f"Page: {page or Path(dest) / PAGE}")
    if report.damaged:
        print(f"elision: damaged: {', '.join(report.damaged)}; remove the store, and prepare it again", file=sys.stderr)
        sys.exit(2)
    print(f"all {len(report.info.shards)} shards are whole")


def _listed(counts) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
