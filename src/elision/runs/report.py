"""The page of a run: its data, its configuration, and how good it is. One page for both kinds of data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elision.deep.folder import CONFIG, DATA, RESULT
from elision.evaluation import assessment_rows
from elision.files import write_atomically
from elision.pages import render
from elision.versions import versions

REPORT = "report.html"


def write_run_page(run: Path, page: Path, assessed: Mapping[str, Any]) -> None:
    """Write the page of a run.

    Args:
        run: its folder; a model's alone tells less.
        page: where it goes.
        assessed: what `elision.evaluation.assess_posteriors` says, and "data" and "samples" where they are not the
            test part of the run's own data.
    """
    config, described, result = (_read(run / name) for name in (CONFIG, DATA, RESULT))
    data = str(assessed.get("data", described.get("address", "")))
    content = {
        "name": Path(data).stem or data,
        "data": data,
        "method": config.get("method", "A saved model"),
        "samples": assessed.get("samples", "test part of the training data"),
        "metrics": assessed["metrics"],
        "rows": assessment_rows(assessed),
        "classes": assessed["classes"],
        "confusion": assessed["confusion"],
        "members": result.get("members", ()),
        "counts": result.get("samples", {}),
        "seconds": result.get("seconds"),
        "config": config,
        "versions": versions("torch", "numpy"),
    }
    write_atomically(page, render("run.html", content))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
