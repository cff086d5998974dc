"""The doors that tables and recordings share. What each kind needs is imported once the kind is known."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elision.data.formats import DETECTED, DIALECT, TABLE_ENDINGS
from elision.errors import InputError, quoted
from elision.models import CLASSIFIER, kind_of, model_folder
from elision.registries import DATASETS

if TYPE_CHECKING:
    from torch import nn

    from elision.config import TableConfig, TrainConfig
    from elision.deep.model import DeepModel
    from elision.estimator import MultimodalClassifier
    from elision.evaluation import Assessment
    from elision.run_folder import RunResult


_OF_RECORDINGS = {"crop": None, "extractors": None, "average": "posteriors", "device": "cpu", "workers": 0}
"""Options that mean nothing to a run of a table, and what they are where nobody gives them."""


def is_table(data: str | Path) -> bool:
    """Return whether data is a table, or a data set that Elision carries, and no store."""
    return str(data) in DATASETS or str(data).lower().endswith(TABLE_ENDINGS)


def train(
    data: str | Path | None,
    out: str | Path,
    config: "TableConfig | TrainConfig | None" = None,
    resume: bool = False,
    **options: Any,
) -> "RunResult":
    """Train a method on a table or on a store of recordings, into a run's folder; report.html and MODEL.md tell of it.

    Args:
        data: a table, a name in `DATASETS`, or a store's folder or address; None with ``resume``.
        out: folder of the run.
        config: `TableConfig`, whose ``data`` tells the table's columns, or `TrainConfig`; None is the default of the
            data's kind, or with ``resume`` the run's.
        resume: go on with what was begun in ``out``.
        **options: further ones for recordings, see `elision.deep.train.train`.

    Raises:
        InputError: data, config and folder do not go together.
        TrainingError: the loss is no longer a number.
    """
    from elision.config import TableConfig
    from elision.run_folder import RunFolder

    if resume and data is None:
        data = RunFolder(Path(out)).data.get("address")
    if data is not None and is_table(data):
        from elision.runs.table import train_table

        if config is not None and not isinstance(config, TableConfig):
            raise InputError(f"{data} is a table: expected a TableConfig, got a {type(config).__name__}")
        result, first = train_table(str(data), Path(out), config, resume), True
    else:
        from elision.deep import processes
        from elision.deep.train import train as train_recordings

        if isinstance(config, TableConfig):
            raise InputError(f"{data} is no table (.csv, .parquet): expected a TrainConfig, got a TableConfig")
        result = train_recordings(data, out, config, resume, **options)
        first = processes.rank() == 0
    if result.test and first:
        from elision.runs.card import Making, write_card
        from elision.runs.report import REPORT, write_run_page

        write_run_page(result.folder, result.folder / REPORT, result.test)
        write_card(result.folder, result.test, Making.of_run(result.folder))
    return result


def load(
    path: str | Path, device: str = "cpu", modules: "Mapping[str, nn.Module] | None" = None
) -> "MultimodalClassifier | DeepModel":
    """Open any trained run or saved model: a `MultimodalClassifier` of a table, or a `DeepModel` of recordings.

    Args:
        path: the folder of a run, or of a saved model.
        device: where it is to compute.
        modules: modality -> module of the user's own, where the model was trained with some.

    Raises:
        InputError: there is no model, or it is not what was written.
    """
    folder = model_folder(Path(path))
    if kind_of(folder) == CLASSIFIER:
        from elision.estimator import MultimodalClassifier

        return MultimodalClassifier.load(folder, modules, device)
    from elision.deep.model import load_model

    return load_model(folder, device, modules)


def evaluate(run: str | Path, data: str | Path | None = None, **options: Any) -> "Assessment":
    """Judge a trained run on the test part of its own data, or on all labelled samples of other data.

    Args:
        run: folder of a run, or with ``data`` of a model.
        data: a table for a run of a table, a store for one of recordings; None is the run's own.
        **options: of recordings, see `elision.deep.evaluate.evaluate_run`; of a table ``reading``, the fields of
            `TableFormat` in which ``data`` differs from the run's own table.
    """
    reading = options.pop("reading", {})
    if kind_of(model_folder(Path(run))) == CLASSIFIER:
        from elision.runs.table import evaluate_table

        if data is not None and not is_table(data):
            raise InputError(f"{data} is no table (.csv, .parquet), and {run} was trained on a table: expected one")
        _check_of_table(run, options)
        return evaluate_table(Path(run), None if data is None else str(data), reading)
    if data is not None and is_table(data):
        raise InputError(f"{data} is a table, and {run} was trained on recordings: expected a store")
    if reading:
        raise InputError(f"{next(iter(reading))} is told of a table, and {run} was trained on recordings: leave it out")
    from elision.deep.evaluate import evaluate_run

    return evaluate_run(run, data, **options)


def predict(run: str | Path, files: Sequence[str | Path], tell: Callable[[str], None] = print, **options: Any) -> Any:
    """Yield what a trained run says of each new sample; one that cannot be used is told in its own prediction.

    Args:
        run: folder of a run, or of a model.
        files: tables for a run of a table; videos, sounds, images or lists of them for one of recordings.
        tell: told once of modalities and columns that are not there, or not used.
        **options: see `elision.deep.predict.predict`; ``without``, ``coverage`` of sets and ``costs`` of measuring each
            modality serve both kinds, and so does ``reading``, the fields of `TableFormat` in which the files differ
            from the run's own table; for recordings how a list of them is written.
    """
    reading = options.pop("reading", {})
    if kind_of(model_folder(Path(run))) == CLASSIFIER:
        from elision.runs.table import predict_table

        _check_of_table(run, options)
        given = options.get("coverage", 0.9), options.get("costs"), reading
        return predict_table(Path(run), [Path(f) for f in files], tell, tuple(options.get("without", ())), *given)
    roles = [name for name in reading if name not in DIALECT]
    if roles:
        raise InputError(f"{roles[0]} is told of a table's columns, and {run} was trained on recordings: leave it out")
    for file in files:
        if Path(file).is_dir():
            raise InputError(
                f"{file} is a folder: expected videos, sounds, images, or a list of them ({quoted(TABLE_ENDINGS)}); "
                f"name what is in it, such as {file}/*.mp4"
            )
    from elision.deep.model import load_model
    from elision.deep.predict import predict as predict_recordings

    device = options.pop("device", "cpu")
    return predict_recordings(load_model(run, device), files, dialect=DETECTED.changed(reading), **options)


def _check_of_table(run: str | Path, options: Mapping[str, Any]) -> None:
    """Raise `InputError` where an option is given that would be passed over."""
    for name, usual in _OF_RECORDINGS.items():
        if options.get(name, usual) != usual:
            raise InputError(f"{name} is for recordings, and {run} was trained on a table: leave it out")
