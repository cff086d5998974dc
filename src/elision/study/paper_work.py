"""How a run of the paper's settings is carried out: by its table."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from elision.study.paper_run import PaperRun


def execute(run: PaperRun) -> dict[str, Any]:
    """Train and assess; JSON."""
    return {"run": asdict(run)} | WORK[run.setting.table](run)


def _end_to_end(run: PaperRun) -> dict[str, Any]:
    from elision.study import end_to_end

    return end_to_end.train_and_assess(run)


def _on_features(run: PaperRun) -> dict[str, Any]:
    from elision.study import on_features

    return on_features.train_and_assess(run)


WORK: dict[str, Callable[[PaperRun], dict[str, Any]]] = {"table1": _end_to_end, "table2": _on_features}
"""table -> how its runs are carried out; imported where needed, since one takes Lightning and the other does not."""
