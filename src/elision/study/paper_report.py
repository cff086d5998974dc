"""`elision report`: a reproduction's folder as a page per split, tables, figures and a file of all runs."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from elision.errors import InputError
from elision.files import write_atomically
from elision.pages import render
from elision.study import paper_figures, paper_text
from elision.study.paper import ROWS, SEEDS
from elision.study.paper_comparisons import comparisons, means_by_split, orders
from elision.study.paper_run import SPLITS, read_results
from elision.study.paper_tables import COLUMNS, fill, runs_table
from elision.study.report import environment

REPRODUCTION = "reproduction.json"
WARNING = (
    "These are not the paper's data. A computer drew the faces and made the voices; the numbers show that the way from "
    "clips to tables works, and nothing about the methods."
)
SPEAKERS = (
    "Split by video, the same people are in training and in test, so a method may recognise them; split by speaker, "
    "all test videos are of people it has never met, which is what accuracy on new people means."
)
_NAMES = ("format", "elision", "demo", "data", "fingerprints", "training", "choices")
_PACKAGES = ("torch", "torchvision", "lightning", "av", "numpy", "scikit-learn")


def report(out: Path, command: str = "") -> list[Path]:
    """Write the report of whatever is finished in a reproduction's folder.

    ``report.html`` and ``report-by-speaker.html`` (where there are both splits), tables.md, tables.tex, results.csv,
    and figures 4 to 6 as PNG and SVG.

    Args:
        out: the folder that `reproduce` wrote into.
        command: that made it, to be shown.

    Returns:
        The pages.

    Raises:
        InputError: it is no such folder, or nothing in it is finished.
    """
    settings = read_settings(out)
    results, failures = read_results(out)
    if not results:
        reasons = "; ".join(dict.fromkeys(f["error"] for f in failures)) or "nothing was run yet"
        raise InputError(f"{out} holds no finished run to report: {reasons}")
    frame = runs_table(results)
    present = [split for split in SPLITS.values() if split in set(frame["split"])]
    names = [page_name(split, present) for split in present]
    warning = WARNING if settings["demo"] else ""
    write_atomically(out / "results.csv", frame[list(COLUMNS)].to_csv(index=False))
    for kind, text in (("md", paper_text.markdown), ("tex", paper_text.tex)):
        content = "\n".join(text(fill(frame, split), split, warning) for split in present)
        write_atomically(out / f"tables.{kind}", content)
    for split, name in zip(present, names, strict=True):
        own = [r for r in results if SPLITS[r["run"]["by_group"]] == split]
        figures = paper_figures.draw_figures(own, frame[frame["split"] == split])
        suffix = name.removeprefix("report").removesuffix(".html")
        for figure, files in figures.items():
            for kind, content in files.items():
                write_atomically(out / f"{figure}{suffix}.{kind}", content)
        links = {other: page_name(other, present) for other in present if other != split}
        content = _content(settings, frame, split, failures) | {
            "pictures": {figure: base64.b64encode(files["png"]).decode() for figure, files in figures.items()},
            "links": links,
            "command": command,
        }
        write_atomically(out / name, render("paper_report.html", content))
    return [out / name for name in names]


def page_name(split: str, present: Sequence[str]) -> str:
    """The first split that is present has the plain name."""
    return "report.html" if split == present[0] else f"report-{split.replace(' ', '-')}.html"


def read_settings(out: Path) -> dict[str, Any]:
    """What `reproduce` wrote beside its runs.

    Raises:
        InputError: there is none, it is damaged, or a later Elision wrote it.
    """
    path = out / REPRODUCTION
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
        return {name: settings[name] for name in _NAMES}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{out} has no {REPRODUCTION}: expected a folder that `elision reproduce` made") from error
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not what `elision reproduce` wrote: start again with another --out") from error


def _content(settings: dict, frame: pd.DataFrame, split: str, failures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    tables = fill(frame, split)
    mine = frame[frame["split"] == split]
    return {
        "split": split,
        "demo": WARNING if settings["demo"] else "",
        "tables": [(filled, paper_text.title_of(filled), orders(filled)) for filled in tables],
        "facts": _facts(settings, mine),
        "versus": comparisons(frame, split),
        "splits": means_by_split(frame),
        "split_names": [s for s in SPLITS.values() if s in set(frame["split"])],
        "speakers": SPEAKERS,
        "joint": ROWS["mle", "joint"].title,
        "paper_seeds": SEEDS,
        "choices": settings["choices"],
        "failures": failures,
        "seconds": mine["seconds"].sum(),
        "n_runs": len(mine),
        "versions": environment(_PACKAGES),
    }


def _facts(settings: dict, frame: pd.DataFrame) -> dict[str, str]:
    facts = {}
    for table, data in settings["data"].items():
        if table in set(frame["table"]):
            facts[f"Table {table[-1]}"] = data
    first = frame.iloc[0]
    sizes = f"{first['n_train']:,} training and {first['n_test']:,} test videos in the first run"
    return facts | {"Split": f"{frame['split'].iloc[0]}, 70 / 15 / 15; {sizes}", "Runs": f"{len(frame):,} finished"}
