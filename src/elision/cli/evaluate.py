"""`elision evaluate`."""

import json
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elision.cli.app import Many, address_with_features
from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen, assessment_table
from elision.errors import InputError

_TOLD = "evaluation.json"


def evaluate(  # noqa: PLR0913
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    average: str = "posteriors",
    extractor: Many = None,
    device: str = "cpu",
    workers: int = 0,
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge a trained model on complete and incomplete samples.

    Accuracy, NLL, ECE and Brier score of the samples as they are, for each pattern of modalities among them, and with
    each modality taken away. Writes evaluation.json, confusion.png and report.html.

    Parameters
    ----------
    run
        Folder of a run, or of a saved model.
    data
        A table, or for recordings a store, whose labelled samples are all used. Default: the test part of the data that
        the run was trained on.
    out
        Folder in which the results are written. Default: RUN/evaluation, and of other data RUN/evaluation-DATA, with a
        number behind it where that holds the evaluation of other data of that name.
    average
        How the segments of a recording are combined: posteriors (their mean, as in the paper) or logs (the mean of
        their logarithms). Recordings only.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION that made the features which the run was trained on, if DATA is another store.
        Recordings only.
    device
        Where it is computed: cpu, cuda, cuda:1, ... Recordings only.
    workers
        Number of processes that read data; 0 reads in this process. Recordings only.
    """
    from elision.files import write_atomically
    from elision.runs.doors import evaluate as judge
    from elision.runs.report import REPORT, write_run_page
    from elision.study.figures import confusion_of

    if extractor and data is None:
        raise InputError("--extractor is for DATA, another store; the run's own data has its features: leave it out")
    name = "evaluation" if data is None else f"evaluation-{Path(data).stem}"
    data = None if data is None else address_with_features(data, extractor, quiet)
    out = out or _folder(run / name, data)
    judged = judge(run, data, average=average, device=device, workers=workers, reading=table.reading)
    values = asdict(judged)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / _TOLD, json.dumps(values, indent=1) + "\n")
    write_atomically(out / "confusion.png", confusion_of(judged.confusion, judged.classes))
    write_run_page(run, out / REPORT, judged)
    screen = Screen(as_json, quiet)
    screen.say(f"{judged.samples} of {judged.data}")
    screen.show(assessment_table(judged))
    screen.say(f"Written: {out / _TOLD}, {out / 'confusion.png'}, {out / REPORT}")
    screen.give(values)


def _folder(folder: Path, data: str | None) -> Path:
    """Return where an evaluation goes: over an earlier one of the same data, over nothing else."""

    def is_free(one: Path) -> bool:
        told = one / _TOLD
        if data is None or not told.is_file():
            return True
        try:
            return _whole(json.loads(told.read_bytes())["data"]) == _whole(data)
        except (ValueError, LookupError, TypeError):  # not written by us
            return False

    numbered = (folder.with_name(f"{folder.name}-{i}") for i in count(2))
    return next(filter(is_free, chain([folder], numbered)))


def _whole(data: str) -> str:
    return str(Path(data).absolute()) if Path(data).exists() else data
