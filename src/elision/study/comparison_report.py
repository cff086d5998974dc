"""The report of a comparison: results.csv, table.md, figures, and report.html that holds all of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elision.data.missing import NONE
from elision.errors import InputError
from elision.pages import render
from elision.runs.predictions import uncertain_samples
from elision.runs.report import reliability_diagrams
from elision.study import figures
from elision.study.folders import FailedRun
from elision.study.report import ReportFiles, Study, environment
from elision.study.results import COMPLETE, Result, patterns_frame, results_frame, to_csv
from elision.study.run import CLAIMS, UPPER_BOUND
from elision.study.tables import ACCURACY, NLL, Line, grid_of, line_of, markdown, not_told_apart, ranking
from elision.study.winner import lines_of_use, read_winner

MOST_UNCERTAIN = 12
"""Samples listed."""


def report_comparison(
    study: Study, results: Sequence[Result], failures: Sequence[FailedRun], command: str
) -> ReportFiles:
    """Make the report of a comparison; see `elision.study.plan.write_report`."""
    if all(result.run.method == UPPER_BOUND for result in results):
        raise InputError("no run succeeded: " + "; ".join(dict.fromkeys(f.error for f in failures)))
    winner = read_winner(Path(study.folder)) if study.folder else None
    frame, first = results_frame(results), results[0]
    pictures = {"curves": figures.curves(results), "confusion": figures.confusions(results)}
    grids = [grid_of(results, measure) for measure in (ACCURACY, NLL)]
    sizes = f"{first.n_train:,} for training, {first.test.metrics.n:,} for testing"
    content = {
        "name": study.about["name"],
        "winner": winner,
        "lines": lines_of_use(winner) if winner else (),
        "uncertain": uncertain_samples(winner.predictions, MOST_UNCERTAIN).to_dict("records") if winner else (),
        "diagrams": reliability_diagrams(winner.assessed) if winner else [],
        "acquisition": figures.acquisition(winner.curves) if winner and winner.curves is not None else (),
        "facts": study.about["facts"] | {"Split": f"{study.about['facts']['Split']}; {sizes}"},
        "ranking": ranking(results),
        "level": not_told_apart(results),
        "grids": grids,
        "removed": _removed(results),
        "curves": figures.curves_on_page(results),
        "legend": figures.legend(results),
        "as_it_is": all(result.run.missing == NONE for result in results),
        "classes": first.test.classes,
        "confusions": figures.hardest_confusions(results),
        "most": figures.MATRICES,
        "mechanism": max(result.run.mechanism for result in results),
        "hardest": max(result.run.rate for result in results),
        "methods": {m: CLAIMS[m] for m in dict.fromkeys(result.run.method for result in results)},
        "skipped": study.about["skipped"],
        "failures": failures,
        "n_runs": len(results),
        "n_planned": len(study.runs),
        "seconds": sum(result.seconds for result in results),
        "command": command,
        "versions": environment(),
    }
    files = {
        "results.csv": to_csv(frame),
        "patterns.csv": patterns_frame(results).to_csv(index=False),
        "table.md": "\n".join(map(markdown, grids)),
        "report.html": render("comparison.html", content),
    }
    return ReportFiles(files | {f"{name}.png": picture for name, picture in pictures.items()}, ["report.html"])


def _removed(results: Sequence[Result]) -> dict[str, dict[Line, tuple[float, float]]]:
    """Return test set -> line -> (accuracy, NLL), averaged over all cells and seeds."""
    found: dict[str, dict[Line, list[tuple[float, float]]]] = {}
    for result in results:
        for test, metrics in result.tests.items():
            values = found.setdefault(test, {}).setdefault(line_of(result.run), [])
            values.append((metrics.accuracy, metrics.nll))
    means = {
        test: {line: tuple(np.mean(values, axis=0)) for line, values in lines.items()} for test, lines in found.items()
    }
    return {test: means[test] for test in sorted(means, key=lambda t: (t != COMPLETE, t))}
