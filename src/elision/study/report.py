"""The report of a comparison: results.csv, table.md, figures, and report.html that holds all of it."""

import base64
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elision import __version__
from elision.files import write_atomically
from elision.pages import render
from elision.study import figures
from elision.study.compare import Plan
from elision.study.run import CLAIMS
from elision.study.tables import (
    COMPLETE,
    Grid,
    markdown,
    pattern_table,
    ranking,
    results_table,
)

_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas")


def write_report(
    out: Path, plan: Plan, results: Sequence[dict[str, Any]], failures: Sequence[dict[str, Any]], command: str
) -> None:
    """Write every file of the report into ``out``, each in one step."""
    table = results_table(results)
    pictures = {"curves": figures.curves(table), "confusion": figures.confusions(results)}
    patterns = pattern_table(results)
    write_atomically(out / "results.csv", table.to_csv(index=False))
    write_atomically(out / "patterns.csv", patterns.to_csv(index=False))
    write_atomically(out / "table.md", markdown(table))
    for name, picture in pictures.items():
        write_atomically(out / f"{name}.png", picture)
    content = {
        "name": plan.data.name,
        "facts": _facts(plan, results),
        "ranking": ranking(table),
        "told": [i for i, name in enumerate(figures.LINES) if name == "method" or table[name].nunique() > 1],
        "grids": {"Accuracy, %": Grid.of(table, "accuracy"), "NLL, nats": Grid.of(table, "nll")},
        "removed": _removed(patterns),
        "pictures": {name: base64.b64encode(picture).decode() for name, picture in pictures.items()},
        "most": figures.MATRICES,
        "hardest": max(table["rate"]),
        "methods": {m: CLAIMS[m] for m in dict.fromkeys(table["method"])},
        "skipped": plan.skipped,
        "failures": failures,
        "n_runs": len(results),
        "n_planned": len(plan.runs),
        "seconds": table["seconds"].sum(),
        "command": command,
        "versions": environment(),
    }
    write_atomically(out / "report.html", render("report.html", content))


def _facts(plan: Plan, results: Sequence[dict[str, Any]]) -> dict[str, str]:
    data, run = plan.data, results[0]["run"]
    observed = data.observed
    shown = [
        f"{m} ({np.prod(a.shape[1:])} numbers, {observed[m].mean():.0%} of samples)" for m, a in data.arrays.items()
    ]
    if data.parts is not None:
        how = "as the column split says"
    else:
        how = "70 / 15 / 15 " + ("by whole groups" if run["by_group"] else "at random, stratified by class")
    seeds = len({r["run"]["seed"] for r in results})
    own = "" if data.parts is not None else "split, "
    facts = {
        "Data": f"{data.name}: {len(data.labels):,} samples, {len(data.classes)} classes",
        "Modalities": "; ".join(shown),
        "Split": f"{how}; {results[0]['n_train']:,} for training, {results[0]['metrics']['n']:,} for testing",
        "Repetitions": f"{seeds} seed{'s' * (seeds != 1)}, each with its own {own}missing samples and models",
        "Encoders": run["encoders"],
    }
    unlabelled = int((data.labels == "").sum())
    return facts | ({"Unlabelled": f"{unlabelled:,} samples"} if unlabelled else {})


def _removed(patterns: Any) -> dict[str, Any]:
    """Test set -> line -> metrics averaged over all cells and seeds."""
    names = ["test", "method", "fusion", "objective"]
    means = patterns.groupby(names, sort=False)[["accuracy", "nll"]].mean()
    tests: dict[str, Any] = {}
    for (test, *line), accuracy, nll in means.itertuples():
        tests.setdefault(test, {})[tuple(line)] = (accuracy, nll)
    return {test: tests[test] for test in sorted(tests, key=lambda t: (t != COMPLETE, t))}


def environment(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Elision, Python and those of the ``packages`` that are installed, and the machine."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"elision": __version__, "python": platform.python_version(), **found, "machine": machine}
