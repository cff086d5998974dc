"""The page of a run: its data, its configuration, and how good it is. One page for both kinds of data."""

from pathlib import Path
from textwrap import fill

from elision.evaluation import Assessment
from elision.files import write_atomically
from elision.pages import render
from elision.run_folder import RunFolder
from elision.versions import versions

REPORT = "report.html"
MOST_DIAGRAMS = 5
"""Patterns of modalities, at most, whose reliability a page shows."""


def write_run_page(run: Path, page: Path, assessed: Assessment) -> None:
    """Write the page of a run.

    Args:
        run: its folder; a model's alone tells less.
        page: where it goes.
        assessed: of its test part, or of other data.
    """
    folder = RunFolder(run)
    config, described, result = folder.config, folder.data, folder.result
    data = assessed.data or described.get("address", "")
    content = {
        "name": Path(data).stem or data,
        "data": data,
        "method": config.get("method", "A saved model"),
        "samples": assessed.samples,
        "metrics": assessed.metrics,
        "rows": assessed.rows,
        "classes": assessed.classes,
        "confusion": assessed.confusion,
        "diagrams": reliability_diagrams(assessed) if assessed.bins else [],
        "rises": assessed.rises,
        "members": result.get("members", ()),
        "counts": result.get("samples", {}),
        "split": result.get("training", {}).get("split", ""),
        "filled": {m: share for m, share in result.get("filled", {}).items() if share},
        "seconds": result.get("seconds"),
        "config": config,
        "versions": versions("torch", "numpy"),
    }
    write_atomically(page, render("run.html", content))


def reliability_diagrams(assessed: Assessment) -> list[str]:
    """Return an SVG each of the reliability of all samples, and of the patterns that most of them show."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from elision.plots import ON_PAGES, inline_svg, reliability_diagram

    frequent = sorted(assessed.patterns, key=lambda name: -assessed.patterns[name].n)
    names = ["all", *frequent[:MOST_DIAGRAMS]] if len(frequent) > 1 else ["all"]
    with rc_context(ON_PAGES):
        panels = [Figure(figsize=(3, 3.2), layout="constrained") for _ in names]
        for name, figure in zip(names, panels, strict=True):
            axes = reliability_diagram(assessed.bins[name], figure.add_subplot())
            n = assessed.metrics.n if name == "all" else assessed.patterns[name].n
            axes.set_title(fill(f"{name}, {n:,} samples", 34), fontsize=10)
        return [inline_svg(figure) for figure in panels]
