"""`elision reproduce`."""

import shlex
import sys
from pathlib import Path

from elision.cli.app import Many
from elision.errors import InputError


def reproduce(  # noqa: PLR0913
    *what: str,
    data: Many = None,
    out: Path,
    dry_run: bool = False,
    split: str = "both",
    seeds: int | None = None,
    only: Many = None,
    limit: int | None = None,
    max_epochs: int | None = None,
    encoder: str | None = None,
    weights: str | None = None,
    joint: bool = True,
    demo_people: int = 8,
    demo_repeats: int = 3,
    workers: int = 2,
    engine: str = "local",
    devices: Many = None,
    gpus: float = 0.0,
    retry_failed: bool = False,
) -> None:
    """The paper's tables and figures, from your own copy of the data, with the paper's number beside each of yours.

    Writes report.html, tables.md, tables.tex, results.csv and the figures into the folder. Started again after an
    interruption, it does only what is left.

    Parameters
    ----------
    what
        table1, table2, figure4, figure5, figure6, or all (the default).
    data
        Stores that `elision prepare` made: one, or TABLE=STORE for each table, such as table1=enterface
        table2=ravdess; a manifest of features may serve Table 2. "demo" makes synthetic talking faces.
    out
        Folder of the results.
    dry_run
        List the runs, and how long they will take by those that are finished.
    split
        video (the paper's), speaker (new people in the test), or both.
    seeds
        Runs of each setting; the paper's are five.
    only
        Only runs whose title contains one of these.
    limit
        At most so many runs of each table.
    max_epochs
        Of every training.
    encoder
        Of Table 1, in place of resnet50.
    weights
        That it starts from, by torchvision's name; none for random ones.
    joint
        The joint objective's rows too, which the paper does not have.
    demo_people
        Of the synthetic data.
    demo_repeats
        Clips of each of its people and emotions.
    workers
        Runs at once.
    engine
        local, ray (a cluster), or list (write a list of shell commands, for a scheduler of your own).
    devices
        GPUs to deal the runs out to, by number, such as 0 1.
    gpus
        Of each run on a Ray cluster.
    retry_failed
        Try runs that failed before again.
    """
    from elision.study import protocol
    from elision.study import reproduce as reproducing
    from elision.study.watch import watching

    if not data:
        raise InputError("expected --data: a store for each table, or demo")
    demo = list(data) == ["demo"]
    selection = reproducing.Selection(
        what or ("all",), split, seeds, joint, tuple(only or ()), limit, (demo_people, demo_repeats)
    )
    proto = protocol.changed(protocol.STAND_IN if demo else protocol.PAPER, max_epochs, encoder, weights)
    todo = reproducing.plan(selection, data, out, proto, workers, tell=lambda text: print(text, file=sys.stderr))
    if dry_run:
        _list(todo, reproducing.forecast(todo, out, workers))
        return
    command = shlex.join(["elision", *sys.argv[1:]])
    with watching(len(todo.runs)) as watch:
        outcome = reproducing.reproduce(
            todo, out, watch, workers=workers, engine=engine, devices=tuple(devices or ()), gpus=gpus,
            retry_failed=retry_failed, command=command,
        )  # fmt: skip
    for failure in outcome.failures:
        print(f"failed: {failure['run']}: {failure['error']}", file=sys.stderr)
    if engine == "list":
        print(f"Commands: {out / 'commands.txt'}; then: elision report {shlex.quote(str(out))}")
    for page in outcome.pages:
        print(f"Report: {page}")


def _list(todo, forecast) -> None:
    from elision.study.watch import duration

    for title in forecast.left:
        print(title)
    told = f"{len(todo.runs)} runs: {len(forecast.finished)} finished, {len(forecast.failed)} failed, "
    left = "" if forecast.seconds is None else f", about {duration(forecast.seconds)} by those that are finished"
    print(f"{told}{len(forecast.left)} left{left}")
