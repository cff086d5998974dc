"""The page of a run: its data, its configuration, and how good it is. One page for both kinds of data."""

import json
from pathlib import Path

from elision.evaluation import Assessment
from elision.files import write_atomically
from elision.pages import render
from elision.run_folder import CONFIG, RunFolder
from elision.versions import versions

REPORT = "report.html"


def write_run_page(run: Path, page: Path, assessed: Assessment) -> None:
    """Write the page of a run.

    Args:
        run: its folder; a model's alone tells less.
        page: where it goes.
        assessed: of its test part, or of other data.
    """
    folder = RunFolder(run)
    config = json.loads((run / CONFIG).read_text(encoding="utf-8")) if (run / CONFIG).is_file() else {}
    described, result = folder.data, folder.result
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
        "members": result.get("members", ()),
        "counts": result.get("samples", {}),
        "seconds": result.get("seconds"),
        "config": config,
        "versions": versions("torch", "numpy"),
    }
    write_atomically(page, render("run.html", content))
