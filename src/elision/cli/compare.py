"""`elision compare`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elision.cli.app import Many, Numbers, naming_choices
from elision.cli.tables import console
from elision.errors import InputError


@naming_choices
def compare(  # noqa: PLR0913
    data: str = "digits",
    *,
    out: Path | None = None,
    methods: Many = None,
    fusions: Many = None,
    objectives: Many = None,
    encoders: str = "auto",
    missing: Many = None,
    rates: Numbers = None,
    seeds: int = 3,
    by_group: Annotated[bool | None, Parameter(negative="--split-random", name="--split-by-group")] = None,
    mechanism: str = "mcar",
    workers: int = 2,
) -> None:
    """Which method should I use on my data, and how well will it do?

    Trains every method x fusion x missing modality x rate x seed, and writes results.csv, table.md, curves.png,
    confusion.png and report.html. Started again after an interruption, it does only what is left.

    Parameters
    ----------
    data
        "digits" (carried along: the left and right halves of handwritten digits), a manifest: a CSV or Parquet file
        with a row per sample, columns label, optionally id, group, split, and modality.feature for each number; or a
        store that `elision prepare` made, of which pooled features are compared.
    out
        Folder of the results; by default elision-DATA.
    methods
        Among `METHODS`, and upper-bound (no method but a reference: mle on complete training data); or all. By default
        mle, lower-bound and zero-padding.
    fusions
        Among `FUSIONS`; addition by default.
    objectives
        Among all (the default: every objective that a method has, averaged), joint, conditional.
    encoders
        Among `ENCODERS`, or auto: kernel and mlp, averaged.
    missing
        Modalities to remove from training samples, one at a time; each, any (a random part of each sample's), none.
        By default each for complete data, none for data that lacks modalities by itself.
    rates
        Shares of the training samples to remove them from; 0.5, 0.8 and 0.95 by default.
    seeds
        Repetitions: each has its own split, missing samples and model.
    by_group
        Keep the samples of a group together when splitting. Default: if the manifest has a column group.
    mechanism
        Which training samples lose a modality: mcar (at random), mar (depending on what remains observed), mnar
        (depending on what goes missing).
    workers
        Parallel processes, of one thread each.
    """
    from elision.study import compare as comparing
    from elision.study.report import write_report
    from elision.study.run import UPPER_BOUND, execute
    from elision.study.runner import run_grid
    from elision.study.watch import watching

    chosen = {
        "methods": methods, "fusions": fusions, "objectives": objectives, "missing": missing, "rates": rates,
    }  # fmt: skip
    given = {name: tuple(values) for name, values in chosen.items() if values}
    comparison = comparing.Comparison(
        data=data, encoders=encoders, seeds=seeds, by_group=by_group, mechanism=mechanism, **given
    )
    if workers < 1:
        raise InputError(f"workers is {workers}: expected at least 1")
    plan = comparing.plan(comparison)
    out = out or Path(f"elision-{plan.data.name}")
    comparing.prepare_folder(comparison, plan.data, out)
    for what, why in plan.skipped:
        print(f"skipped: {what}: {why}", file=sys.stderr)
    with watching(len(plan.runs)) as watch:
        results, failures = run_grid(plan.runs, out, workers, watch, execute)
    if all(result["run"]["method"] == UPPER_BOUND for result in results):
        raise InputError("no run succeeded: " + "; ".join(dict.fromkeys(f["error"] for f in failures)))
    command = shlex.join(["elision", *sys.argv[1:]])
    write_report(out, plan, results, failures, command)
    _summarise(out, results, failures)


def _summarise(out: Path, results: list, failures: list) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from elision.study.tables import ranking, results_table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("method", "fusion", "objective"):
        table.add_column(heading, no_wrap=True)
    for heading in ("accuracy", "NLL", "rank", "seconds"):
        table.add_column(heading, justify="right")
    for r in ranking(results_table(results)):
        table.add_row(*r.line, f"{r.accuracy:.1%}", f"{r.nll:.3f}", f"{r.nll_rank:.2f}", f"{r.seconds:.1f}")
    screen = console()
    screen.print(table)
    for failure in failures:
        screen.print(f"failed: {failure['run']}: {failure['error']}", style="red", markup=False)
    screen.print(f"Report: {out / 'report.html'}", markup=False, soft_wrap=True)
