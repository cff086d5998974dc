"""`elision predict`."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from elision.cli.app import SOME_FAILED, Many, read_costs, read_crop, read_extractors
from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen
from elision.errors import InputError

MOST_SHOWN = 100
"""Samples, at most, that are shown where no file is written."""


def predict(  # noqa: PLR0913
    run: Path,
    *files: Path,
    without: Many = None,
    out: Path | None = None,
    coverage: float = 0.9,
    costs: Many = None,
    average: str = "posteriors",
    crop: str | None = None,
    extractor: Many = None,
    device: str = "cpu",
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict the class probabilities of new samples: rows of a table, or videos, sounds and images.

    If a row or file cannot be used, the reason is given in its place, the others are done, and the exit code is 3.
    Modalities that a sample lacks, or that --without leaves out, are averaged out.

    Parameters
    ----------
    run
        Folder of a run, or of a saved model.
    files
        For a run on a table: tables with the columns that it was trained on, and optionally the one of ids; read as the
        run's own table was. For a run on recordings: videos, sound files and images, one sample each, or lists of them
        (tables).
    without
        Modalities that are not used, such as audio.
    out
        A file for the table, .csv or .parquet. Default: the table is printed, of up to a hundred samples.
    coverage
        With which probability a sample's set of classes is to hold the true one, whatever modalities it shows; sets are
        calibrated on the test part of the run.
    costs
        MODALITY=COST of measuring it, one for each. The table says which missing modality of a sample is most worth
        measuring, by how much it is expected to lower the entropy of its class: with costs, by value per cost.
    average
        How the segments of a recording are combined: posteriors (their mean, as in the paper) or logs (the mean of
        their logarithms). Recordings only.
    crop
        PACKAGE.MODULE:FUNCTION that cut the pictures which the run was trained on. Recordings only.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION that made the features which the run was trained on. Recordings only.
    device
        Where it is computed: cpu, cuda, cuda:1, ... Recordings only.
    """
    from elision.runs.doors import predict as say

    if not files:
        raise InputError("expected files to predict: a table, or videos, sounds, images")
    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"--out {out} ends in {out.suffix!r}: expected .csv or .parquet")
    options: dict[str, Any] = {
        "without": tuple(without or ()),
        "average": average,
        "device": device,
        "coverage": coverage,
    }
    options["costs"], options["reading"] = read_costs(costs), table.reading
    if crop:
        options["crop"] = read_crop(crop)
    if extractor:
        options["extractors"] = read_extractors(extractor)
    predictions = list(
        _watched(say(run, files, lambda text: print(f"elision: {text}", file=sys.stderr), **options), quiet)
    )
    classes = next((list(p.probabilities) for p in predictions if not p.problem), [])
    screen = Screen(as_json, quiet)
    if out is None:
        _show(screen, predictions, classes)
    else:
        screen.say(_write(predictions, classes, out))
    screen.give([asdict(p) for p in predictions])
    if any(p.problem for p in predictions):
        sys.exit(SOME_FAILED)


def _watched(predictions: Iterator, quiet: bool) -> Iterator:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    unseen = quiet or not console.is_terminal
    yield from track(predictions, "predicting", console=console, disable=unseen, transient=True)


def _show(screen: Screen, predictions: Sequence, classes: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    answers = [p for p in predictions if not p.problem]
    more = {
        "set": lambda p: ", ".join(p.classes),
        "used": lambda p: ", ".join(p.used),
        "left out": lambda p: ", ".join(m for m in p.found if m not in p.used),
        "measure next": lambda p: "".join(f"{m.modality} ({m.nats:.2f} nats)" for m in (p.measure_next or ())[:1]),
    }
    more = {heading: told for heading, told in more.items() if any(map(told, answers))}
    table = Table(box=SIMPLE_HEAD)
    for heading in ("sample", "class", *classes, *more):
        table.add_column(escape(heading), justify="right" if heading in classes else "left", overflow="fold")
    for p in answers[:MOST_SHOWN]:
        shares = [f"{p.probabilities[c]:.3f}" for c in classes]
        table.add_row(escape(p.id), escape(p.label), *shares, *(escape(told(p)) for told in more.values()))
    if table.row_count:
        screen.show(table)
    if len(answers) > MOST_SHOWN:
        screen.say(f"and {len(answers) - MOST_SHOWN:,} more: --out predictions.csv writes them all")
    for p in predictions:
        if p.problem:
            told = p.problem if p.id in p.problem else f"{p.id}: {p.problem}"
            print(f"elision: {told}", file=sys.stderr)


def _write(predictions: Sequence, classes: Sequence[str], out: Path) -> str:
    """Write a table of the predictions, and return what is said of it."""
    import pandas as pd

    from elision.files import write_atomically

    with_sets, with_next = any(p.classes for p in predictions), any(p.measure_next for p in predictions)
    best = [p.measure_next[0] if p.measure_next else None for p in predictions]
    frame = pd.DataFrame(
        [
            {"id": p.id, "class": p.label, **{f"p.{c}": p.probabilities.get(c) for c in classes},
             **({"set": "; ".join(p.classes), "set_size": len(p.classes)} if with_sets else {}),
             **({"measure_next": first and first.modality, "nats": first and first.nats} if with_next else {}),
             "found": " ".join(p.found), "used": " ".join(p.used), "problem": p.problem}
            for p, first in zip(predictions, best, strict=True)
        ]
    )  # fmt: skip
    content = frame.to_csv(index=False) if out.suffix.lower() == ".csv" else frame.to_parquet(index=False)
    write_atomically(out, content)
    return f"{len(frame)} samples, {int((frame['problem'] != '').sum())} with a problem: {out}"
