"""`elision compare`."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elision.cli.app import Many, Numbers, address_with_features, naming_choices, read_costs
from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen, empty_table, tell_failures
from elision.data.formats import TableFormat
from elision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elision.study.folders import FailedRun
    from elision.study.plan import Outcome
    from elision.study.results import Result


@naming_choices
def compare(  # noqa: PLR0913
    data: str = "digits",
    *,
    out: Path | None = None,
    methods: Many = None,
    fusions: Many = None,
    objectives: Many = None,
    encoders: str = "auto",
    extractor: Many = None,
    missing: Many = None,
    rates: Numbers = None,
    seeds: int = 3,
    by_group: Annotated[bool | None, Parameter(negative="--split-random", name="--split-by-group")] = None,
    mechanism: str = "mcar",
    unlabelled: Numbers = None,
    class_weight: str | None = None,
    informative_missingness: Annotated[bool, Parameter(negative="")] = False,
    save: Annotated[bool, Parameter(negative="--no-save")] = True,
    acquire: Annotated[bool, Parameter(negative="")] = False,
    costs: Many = None,
    workers: int = 2,
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare methods on your data: which one to use, and how well it will do.

    Trains every method x fusion x missing modality x rate x seed, and writes results.csv, table.md, curves.png,
    confusion.png and report.html. Then fits the method that ranks first to the data as they are: model/, which
    `elision predict` and elision.load take, its card MODEL.md, and predictions.csv, what is said of each sample by a
    model that has not seen it. Started again after an interruption, it does only what is left.

    Parameters
    ----------
    data
        A table (.csv, .tsv, .parquet, .feather, .xlsx) with a row per sample: a column label, a column modality.feature
        for each number or category, and optionally id, group and split; other names are told with --label, --modality
        and so on. Or a store that `elision prepare` made, of which pooled features are compared.
        Or a data set that comes with Elision, by name: `DATASETS` (digits: the left and right halves of handwritten
        digits).
    out
        Folder in which the results are written. Default: elision-DATA.
    methods
        Some of `METHODS` and upper-bound (a reference: mle on complete training data), or all. Default: mle,
        lower-bound and zero-padding.
    fusions
        Some of `FUSIONS`. Default: addition.
    objectives
        Some of auto (a method's own; for mle joint, averaged with modality-dropout), all (that a method has,
        averaged), joint and conditional. Default: auto.
    encoders
        One of `ENCODERS`, or auto: kernel and mlp, averaged.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION, such as visual=mine:faces: a function of your own from uint8 pictures (n,
        windows, height, width, 3) of a store to features (n, d), which are compared on in the place of pooled ones, and
        kept for the next time.
    missing
        Modalities to remove from training samples, one at a time; or each (every modality in turn), any (from each
        sample a random part of its modalities), none. Default: each if the data is complete, none if it lacks
        modalities by itself.
    rates
        Shares of the training samples that lose the modality, above 0 and below 1. Default: 0.5, 0.8 and 0.95.
    seeds
        Number of repetitions, each with its own split, removed modalities and model.
    by_group
        Keep the samples of a group together when splitting. Default: yes if the data has groups, such as a column
        group.
    mechanism
        Which training samples lose a modality: `MECHANISMS`. mcar is at random, mar depends on what remains observed,
        mnar on what goes missing, mnar-label on the class. The report says what the likelihood makes of it.
    unlabelled
        Shares of the training samples that lose their label, such as 0.5 0.9 0.98; the methods then stand beside mle on
        the labelled samples alone, and scikit-learn's self-training and label spreading. No modality is removed unless
        --missing says so.
    class_weight
        balanced makes all classes as heavy in training, however common. Default: samples count as they are.
    informative_missingness
        The modalities that a sample shows tell of its class too, as far as validation samples bear it out. Only for
        samples that lose modalities in use as those of the table did.
    save
        Whether the winner is fitted and saved.
    acquire
        Whether the report shows how good its predictions become as samples are measured piece by piece: in the order of
        greatest value per cost, in one fixed order, and in a random one. Winners with a joint objective only.
    costs
        MODALITY=COST of measuring it, one for each: for --acquire, and for what predictions.csv says to measure next.
    workers
        Number of runs at once, each in a process of one thread.
    """
    from elision.study.compare import Comparison, plan_comparison
    from elision.study.plan import carry_out_plan
    from elision.study.watch import watching
    from elision.study.winner import check_use, save_winner

    chosen = {
        "methods": methods, "fusions": fusions, "objectives": objectives, "missing": missing, "rates": rates,
        "unlabelled": unlabelled,
    }  # fmt: skip
    data = address_with_features(data, extractor, quiet)
    given: dict[str, Any] = {name: tuple(values) for name, values in chosen.items() if values}
    comparison = Comparison(data=data, encoders=encoders, seeds=seeds, by_group=by_group, mechanism=mechanism,
                            class_weight=class_weight, informative_missingness=informative_missingness,
                            form=TableFormat.of(table.reading), **given)  # fmt: skip
    prices = read_costs(costs)
    if (acquire or prices) and not save:
        raise InputError("--acquire and --costs are about the winner that is saved: leave --no-save out")
    if workers < 1:
        raise InputError(f"workers is {workers}: expected at least 1")
    check_use(data, comparison.form, acquire, prices)
    plan = plan_comparison(comparison)
    out = out or Path(f"elision-{plan.about['name']}")
    for what, why in plan.about["skipped"]:
        print(f"skipped: {what}: {why}", file=sys.stderr)
    command = shlex.join(["elision", *sys.argv[1:]])

    def finish(results: "Sequence[Result]") -> "list[FailedRun]":
        with watching(what="fits of the winner", quiet=quiet) as watch:
            return save_winner(results, out, watch, workers, acquire, prices)

    with watching(len(plan.runs), quiet=quiet) as watch:
        outcome = carry_out_plan(
            plan, out, watch, workers=workers, retry_failed=True, command=command, finish=finish if save else None
        )
    if not outcome.results:
        raise InputError("no run succeeded: " + "; ".join(dict.fromkeys(f.error for f in outcome.failures)))
    tell_failures(outcome.failures)
    _summarise(Screen(as_json, quiet), out, outcome)


def _summarise(screen: Screen, out: Path, outcome: "Outcome") -> None:
    from elision.run_folder import MODEL
    from elision.runs.card import CARD
    from elision.study.tables import ranking
    from elision.study.winner import PREDICTIONS, lines_of_use, read_winner

    table = empty_table(["method", "fusion", "objective"], ["accuracy", "NLL", "rank", "seconds"])
    ranks = ranking(outcome.results)
    for r in ranks:
        table.add_row(*r.line, f"{r.accuracy:.1%}", f"{r.nll:.3f}", f"{r.nll_rank:.2f}", f"{r.seconds:.1f}")
    screen.show(table)
    winner = read_winner(out)
    if winner:
        screen.say(f"Model of {winner.line[0]}, the first: {out / MODEL}; elision predict {out} NEW, or in Python:\n")
        screen.say("".join(f"    {line}\n" for line in lines_of_use(winner)))
        screen.say(f"Its card: {out / CARD}; predictions of samples held out: {out / PREDICTIONS}")
    for page in outcome.pages:
        screen.say(f"Report: {page}")
    told = {"ranking": ranks, "runs": outcome.results, "failures": outcome.failures}
    screen.give({"folder": str(out)} | {name: [asdict(one) for one in values] for name, values in told.items()})
