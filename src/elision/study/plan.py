"""A study: a list of runs in a folder, and one report of what is finished there."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elision import __version__
from elision.errors import InputError
from elision.files import write_atomically
from elision.parallel import Watcher
from elision.plain import revived
from elision.registries import METHODS, Registry
from elision.study.execution import execute
from elision.study.folders import FailedRun, read_outcome
from elision.study.report import Study
from elision.study.results import Result
from elision.study.run import Run
from elision.study.runner import RUNS, Durations, read_outcomes, run_grid

STUDY = "study.json"
REPORTS: Registry = Registry(
    {
        "comparison": "elision.study.comparison_report:report_comparison",
        "reproduction": "elision.study.paper_report:report_reproduction",
        "claim": "elision.study.claim_report:report_claim",
    }
)
"""kind of study -> a function of (study, results, failures, command) that makes its report."""


@dataclass(frozen=True)
class Plan:
    """Hold a study made concrete.

    Args:
        kind, settings, about: see `elision.study.report.Study`.
        runs: what to do, in that order.
        ours: names in the folder, before it holds a study, that are the study's own.
    """

    kind: str
    settings: Mapping[str, Any]
    about: Mapping[str, Any]
    runs: Sequence[Run]
    ours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """Tell what a plan has come to so far.

    Args:
        finished: titles of the runs that have a result.
        failed: titles of those that failed.
        left: titles of those that were not tried, or were stopped.
        seconds: that those left take, by the finished runs of their kind; None where there are none.
    """

    finished: list[str]
    failed: list[str]
    left: list[str]
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """Hold what came of a plan.

    Args:
        results, failures: of its runs.
        pages: of the report; none where nothing is finished.
    """

    results: list[Result]
    failures: list[FailedRun]
    pages: list[Path]


def carry_out_plan(  # noqa: PLR0913
    plan: Plan,
    out: Path,
    watch: Watcher,
    *,
    workers: int = 2,
    engine: str = "local",
    devices: Sequence[str] = (),
    gpus: float = 0.0,
    retry_failed: bool = False,
    command: str = "",
    finish: Callable[[Sequence[Result]], Sequence[FailedRun]] | None = None,
) -> Outcome:
    """Carry out what is left of a plan, and write the report of all that is finished in its folder.

    Args:
        plan: what to do.
        out: the folder; one that holds runs of other data, another training or version is refused.
        watch: told of progress.
        workers, engine, devices, gpus, retry_failed: see `elision.study.runner.run_grid`; the engine "list"
            writes ``out/commands.txt`` and trains nothing.
        command: to be shown in the report.
        finish: what is done with the results before the report is written; it returns what of that failed.
    """
    prepare_folder(plan, out)
    results, failures = run_grid(
        plan.runs, out, workers, watch, execute,
        engine=engine, devices=devices, gpus=gpus, retry_failed=retry_failed, revive=Result.read,
    )  # fmt: skip
    if finish and any(result.run.method in METHODS for result in results):
        failures = [*failures, *finish(results)]
    return Outcome(results, failures, write_report(out, command) if results else [])


def write_report(out: Path, command: str = "") -> list[Path]:
    """Write the report of whatever is finished in a study's folder, and return its pages.

    Args:
        out: the folder.
        command: that made it, to be shown.

    Raises:
        InputError: it is no such folder, or nothing in it is finished.
    """
    study = read_study(out)
    results, failures = read_outcomes(out, study.runs.items(), Result.read)
    if not results:
        reasons = "; ".join(dict.fromkeys(f.error for f in failures)) or "nothing was run yet"
        raise InputError(f"{out} holds no finished run to report: {reasons}")
    report = REPORTS[study.kind](study, results, failures, command)
    for name, content in report.files.items():
        write_atomically(out / name, content)
    return [out / name for name in report.pages]


def forecast(plan: Plan, out: Path, workers: int = 2) -> Forecast:
    """Tell what is left of a plan, and how long it takes by the runs that are finished."""
    durations, finished, failed, left = Durations(), [], [], []
    for run in plan.runs:
        result, failure = read_outcome(out / RUNS, run.key, run.title, Result.read)
        if result:
            finished.append(run.title)
            durations.add(run.kind, result.seconds)
        elif failure:
            failed.append(run.title)
        else:
            left.append(run)
    guesses = [durations.expected(run.kind, known=1) for run in left]  # at least of the same table
    known = [seconds for seconds in guesses if seconds is not None]
    seconds = sum(known) / workers if len(known) == len(guesses) else None
    return Forecast(finished, failed, [run.title for run in left], seconds)


def prepare_folder(plan: Plan, out: Path) -> None:
    """Make ``out`` the folder of a study, or check that it is: results of other settings are never mixed in.

    Settings that the folder does not have yet, such as those of another table, are added to it, and so are runs.
    """
    path = out / STUDY
    settings = json.loads(json.dumps({"elision": __version__} | dict(plan.settings)))
    about, runs = json.loads(json.dumps(plan.about)), {run.key: run.title for run in plan.runs}
    if path.is_file():
        earlier = read_study(out)
        theirs, ours = ({"kind": kind, **s} for kind, s in ((earlier.kind, earlier.settings), (plan.kind, settings)))
        differences = _differences(theirs, ours)
        if differences:
            raise InputError(
                f"{out} holds a {earlier.kind} with other settings ({'; '.join(differences)}): choose another --out"
            )
        settings, about = _merged(earlier.settings, settings), _merged(earlier.about, about)
        runs = earlier.runs | runs
    elif out.exists() and (not out.is_dir() or any(p.name not in plan.ours for p in out.iterdir())):
        raise InputError(f"{out} exists and is no {plan.kind}'s folder: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    study = {"kind": plan.kind, "settings": settings, "about": about, "runs": runs}
    write_atomically(path, json.dumps(study, indent=1))


def read_study(out: Path) -> Study:
    """Return what `prepare_folder` wrote beside the runs.

    Raises:
        InputError: there is none, or it is not what was written.
    """
    path = out / STUDY
    verbs = "`elision compare` or `elision reproduce`"
    try:
        study = revived(Study, json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{out} has no {STUDY}: expected a folder that {verbs} made") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is not what {verbs} wrote: choose another --out") from error
    if study.kind not in REPORTS:
        raise InputError(f"{path} is of a {study.kind!r}: this version of Elision knows {', '.join(REPORTS)}")
    return replace(study, folder=str(out))


def _differences(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Return what both have and have differently, in one line each."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        common = [k for k in ours if k in theirs]
        return [line for k in common for line in _differences(theirs[k], ours[k], f"{name} {k}".strip())]
    return [] if theirs == ours else [f"{name} was {theirs}, now {ours}"]


def _merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(earlier[k], v) if isinstance(v, dict) and k in earlier else v for k, v in later.items()}
    return earlier | both
