"""`elision predict`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from elision.cli.app import Many
from elision.errors import InputError


def predict(
    run: Path,
    *files: Path,
    without: Many = None,
    out: Path | None = None,
    average: str = "posteriors",
    device: str = "cpu",
) -> None:
    """Class probabilities for videos, sounds, images, or a manifest of them.

    A file that cannot be read is told in its row, and the others are done. What a file lacks, and what is left out
    with --without, is averaged out.

    Parameters
    ----------
    run
        Folder of a run, or of a model.
    files
        Videos, sound files and images, one sample each; or manifests (.csv, .parquet), a sample a row.
    without
        Modalities not to be used, such as audio.
    out
        A file for the table, .csv or .parquet; by default it goes to the screen.
    average
        Of a recording's segments: posteriors (the paper's), or logs.
    device
        cpu, cuda, cuda:1.
    """
    from elision.deep.model import load_model
    from elision.deep.predict import predict as say

    if not files:
        raise InputError("expected files to predict: videos, sounds, images or a manifest")
    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"--out {out} ends in {out.suffix!r}: expected .csv or .parquet")
    model = load_model(run, device)
    said = say(model, files, tuple(without or ()), average)
    if out is None:
        _show(list(_watched(said)), model.classes)
    else:
        _write(list(_watched(said)), model.classes, out)


def _watched(predictions: Iterator) -> Iterator:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(predictions, "predicting", console=console, disable=not console.is_terminal, transient=True)


def _show(predictions: Sequence, classes: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("sample", "class", *classes, "found", "used"):
        table.add_column(escape(heading), justify="right" if heading in classes else "left", overflow="fold")
    for p in predictions:
        if not p.problem:
            shares = [f"{p.probabilities[c]:.3f}" for c in classes]
            table.add_row(escape(p.id), escape(p.label), *shares, ", ".join(p.found), ", ".join(p.used))
    console = Console()
    if table.row_count:
        console.print(table)
    for p in predictions:
        if p.problem:
            told = p.problem if p.id in p.problem else f"{p.id}: {p.problem}"
            console.print(told, style="red", markup=False, soft_wrap=True)


def _write(predictions: Sequence, classes: Sequence[str], out: Path) -> None:
    import pandas as pd

    from elision.files import write_atomically

    frame = pd.DataFrame(
        [
            {"id": p.id, "class": p.label, **{f"p.{c}": p.probabilities.get(c) for c in classes},
             "found": " ".join(p.found), "used": " ".join(p.used), "problem": p.problem}
            for p in predictions
        ]
    )  # fmt: skip
    content = frame.to_csv(index=False) if out.suffix.lower() == ".csv" else frame.to_parquet(index=False)
    write_atomically(out, content)
    print(f"{len(frame)} samples, {int((frame['problem'] != '').sum())} with a problem: {out}")
