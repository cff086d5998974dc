"""`elision reproduce`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from elision.cli.app import Many, naming_choices, read_extractors
from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import Quiet, Screen, tell_failures
from elision.data.formats import TableFormat
from elision.errors import InputError

if TYPE_CHECKING:
    from elision.study.plan import Forecast


@naming_choices
def reproduce(  # noqa: PLR0913
    *what: str,
    data: Many = None,
    out: Path,
    dry_run: bool = False,
    split: str = "both",
    seeds: int | None = None,
    extractor: Many = None,
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
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    quiet: Quiet = False,
) -> None:
    """Reproduce the paper's tables and figures from your own copy of the data, or its claim on any data.

    Writes report.html, tables.md, results.csv, and of tables and figures also tables.tex and the figures, into the
    folder. Started again after an interruption, it does only what is left.

    Parameters
    ----------
    what
        table1, table2, figure4, figure5, figure6, or all (the default); or claim alone: the paper's methods and the
        joint objective on features, 50 to 95 % of either modality missing, with paired intervals and the paper's order.
    data
        Stores that `elision prepare` made: one, or TABLE=STORE for each table, such as table1=enterface
        table2=ravdess; a table of features may serve Table 2. "demo" makes synthetic talking faces. Of claim: tables
        of features, stores or data sets, any number.
    out
        Folder in which the results are written.
    dry_run
        Only list the runs, with the time left as estimated from those that are finished. The demo's clips and features
        of frozen networks are made for it all the same.
    split
        How the data is split: video (as in the paper), speaker (no person of the test is in training), or both.
    seeds
        Number of runs of each setting, each with its own seed. Default: 5 as in the paper, 1 for the demo.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION, such as visual=mine:faces: a function of your own from uint8 pictures (n,
        windows, height, width, 3) to features (n, d), for Table 2 in the place of the paper's networks. Sound needs it
        when the store is prepared.
    only
        Only runs whose title contains one of these.
    limit
        Largest number of runs of each table. Default: all.
    max_epochs
        Largest number of epochs of every training. Default: the protocol's, see the report.
    encoder
        Network of Table 1: one of `NETWORKS`. Default: resnet50 as in the paper, small-cnn for the demo.
    weights
        Pretrained weights from which the network starts, by torchvision's name; none for random weights. Default:
        IMAGENET1K_V2 for resnet50, none for other networks.
    joint
        Also run the rows of the joint objective, which the paper does not have.
    demo_people
        Number of people in the demo.
    demo_repeats
        Number of clips of each person and emotion in the demo.
    workers
        Number of runs at once.
    engine
        Where the runs are done: one of `ENGINES`; or list, which only writes the shell commands, for a scheduler of
        your own.
    devices
        Numbers of the GPUs among which the runs are shared, such as 0 1. Default: every run sees all GPUs.
    gpus
        Number of GPUs that each run takes on a Ray cluster; 0.5 puts two runs on one GPU.
    retry_failed
        Repeat the runs that failed before.
    """
    from elision.study.claim import CLAIM, plan_claim
    from elision.study.plan import carry_out_plan, forecast
    from elision.study.protocol import PAPER, STAND_IN, changed
    from elision.study.reproduce import Selection, plan_reproduction
    from elision.study.watch import watching

    if table.sample_weight:
        raise InputError("the paper counts each sample as one: leave --sample-weight out")
    if not data:
        raise InputError("expected --data: a store for each table, or demo")
    chosen, form = tuple(only or ()), TableFormat.of(table.reading)
    if CLAIM in what:
        others = {
            "max-epochs": max_epochs,
            "encoder": encoder,
            "weights": weights,
            "no-joint": not joint,
            "extractor": extractor,
        }
        given = [*(name for name in what if name != CLAIM), *(f"--{name}" for name, value in others.items() if value)]
        if given:
            raise InputError(f"claim is a study of its own: leave {', '.join(given)} out")
        plan = plan_claim(data, split, seeds, chosen, limit, form)
    else:
        demo = list(data) == ["demo"]
        people, own = (demo_people, demo_repeats), read_extractors(extractor)
        selection = Selection(what or ("all",), split, seeds, joint, chosen, limit, people, own)
        protocol = changed(STAND_IN if demo else PAPER, max_epochs, encoder, weights)
        plan = plan_reproduction(
            selection, data, out, protocol, workers, lambda text: print(text, file=sys.stderr), form
        )
    if dry_run:
        _list(forecast(plan, out, workers))
        return
    command = shlex.join(["elision", *sys.argv[1:]])
    with watching(len(plan.runs), quiet=quiet) as watch:
        outcome = carry_out_plan(
            plan, out, watch, workers=workers, engine=engine, devices=tuple(devices or ()), gpus=gpus,
            retry_failed=retry_failed, command=command,
        )  # fmt: skip
    tell_failures(outcome.failures)
    say = Screen(quiet=quiet).say
    if engine == "list":
        say(f"Commands: {out / 'commands.txt'}; then: elision report {shlex.quote(str(out))}")
    for page in outcome.pages:
        say(f"Report: {page}")


def _list(forecast: "Forecast") -> None:
    from elision.study.watch import duration

    for title in forecast.left:
        print(title)
    done, failed, left = len(forecast.finished), len(forecast.failed), len(forecast.left)
    time = "" if forecast.seconds is None else f", about {duration(forecast.seconds)} by those that are finished"
    print(f"{done + failed + left} runs: {done} finished, {failed} failed, {left} left{time}")
