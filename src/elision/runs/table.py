"""Runs on tables: `MultimodalClassifier` on the table's own split, in the same kind of folder as runs on recordings."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from elision import choices
from elision.categories import Levels
from elision.config import TableConfig
from elision.data.dataset import Dataset
from elision.data.formats import TABLE_ENDINGS, TableFormat
from elision.data.partition import Partition, Removal
from elision.data.samples import read_new_rows
from elision.data.sources import load, load_again
from elision.decisions.acquisition import check_costs
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.evaluation import Assessment, assess_posteriors, class_codes
from elision.models import model_folder
from elision.prediction import Prediction, check_left_out, why_unusable
from elision.registries import DATASETS
from elision.run_folder import CONFIG, MODEL, RESULT, RunFolder, RunResult
from elision.runs.predictions import measurements

_ROWS = 4096


def train_table(address: str, out: Path, config: TableConfig | None, resume: bool) -> RunResult:
    """Fit a classifier on a table's training part, judge it on the test part, and write the run's folder.

    It holds config.json, data.json, model/ and result.json, and while it trains checkpoints/, with each member of the
    average that is trained. With ``resume`` these are not trained again, and the model is the same, bit for bit.

    Args:
        address: a table, or a name in `DATASETS`.
        out: folder of the run, not used before unless ``resume``.
        config: None is the default, or with ``resume`` that of the run.
        resume: go on with what was begun in ``out``.

    Raises:
        InputError: table, config and folder do not go together.
        TrainingError: the loss is no longer a number.
    """
    folder = RunFolder(out)
    folder.check(resume)
    saved = TableConfig.read(out / CONFIG) if resume else None
    config = config or saved or TableConfig()
    data = load(address, config.data)
    parts = _partition(data, config)
    parts.check()
    model = _classifier(data, config)  # what cannot be meant is said before there is a folder
    choices.specifications(model.get_params(deep=False), tuple(data.named_columns))
    lasting, fingerprint = _lasting(address), data.fingerprint()
    if saved:
        folder.check_same(saved, config, lasting, fingerprint)
    with folder.locked():
        if saved and (out / RESULT).is_file() and (out / MODEL).is_dir():
            shutil.rmtree(folder.checkpoints.folder, ignore_errors=True)
            return RunResult(out, folder.result)
        folder.begin(config, lasting, fingerprint)
        values = _fit(model, data, parts, config, folder.checkpoints.folder)
        model.save(out / MODEL)
        folder.finish(values)
        shutil.rmtree(folder.checkpoints.folder, ignore_errors=True)
    return RunResult(out, values)


def _partition(data: Dataset, config: TableConfig) -> Partition:
    """Split a table and remove modalities from its training part, as the config says."""
    removal = Removal(config.missing, config.rate, config.mechanism)
    return Partition.of(data, config.seed, config.by_group, removal)


def evaluate_table(run: Path, address: str | None, reading: Mapping[str, Any] = MappingProxyType({})) -> Assessment:
    """Judge a run's classifier on the test part of its own table, or on all labelled rows of another.

    Args:
        run: its folder.
        address: of the other table.
        reading: fields of `TableFormat` in which that one differs from the run's own.

    Raises:
        InputError: there is no table, it lacks columns, or a label is of no class that was trained.
    """
    model = MultimodalClassifier.load(model_folder(run), device="cpu")
    own, form = RunFolder(run).data, _format(run)
    if address is None and not own:
        raise InputError(f"{run} is no run that knows its data: say which table to evaluate on")
    if own and (address is None or (not reading and _is_own(address, own, form))):
        data = load(own["address"], form)
        if data.fingerprint() != own["fingerprint"]:
            raise InputError(f"{own['address']} is not what the run was trained on: name the table to evaluate on")
        parts = _partition(data, TableConfig.read(run / CONFIG))
        frame, codes, name = data.frame().iloc[parts.test], data.codes[parts.test], own["address"]
        what = "test part of the training data"
    else:
        rows = read_new_rows(Path(address), _columns(model), _categories(model), form.changed(reading))
        if rows.problems:
            raise InputError(f"{address}, {next(iter(rows.problems.values()))}")
        if rows.labels is None or not (rows.labels != "").any():
            raise InputError(f"{address} has no labelled row to evaluate on: expected a column {form.label!r}")
        labelled = np.flatnonzero(rows.labels != "")
        frame, name, what = _whole(rows.frame, model).iloc[labelled], address, "all labelled samples"
        if rows.absent:
            what += f", of which none shows {', '.join(rows.absent)}"
        codes = class_codes(rows.labels[labelled], [str(c) for c in model.classes_], address)
    return replace(_assess(model, frame, codes), data=str(name), samples=what)


def predict_table(
    run: Path,
    files: Sequence[Path],
    tell: Callable[[str], None],
    without: Sequence[str],
    coverage: float = 0.9,
    costs: Mapping[str, float] | None = None,
    reading: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Prediction]:
    """Yield what a run's classifier says of each row of some tables, in their order.

    A row with a cell that is no number is told in its own prediction, and the others are done. Sets of classes that
    hold the truth with probability ``coverage`` were calibrated on the run's test part; there are none if it was small.
    The tables are read as the run's own was, but for the fields of `TableFormat` in ``reading``.

    Raises:
        InputError: at once, where a file is no table of the model's columns, or no modality is left.
    """
    model = MultimodalClassifier.load(model_folder(run), device="cpu")
    check_left_out(without, model.modalities_)
    tables = []
    for file in files:
        if file.suffix.lower() not in TABLE_ENDINGS:
            columns = [c for names in _columns(model).values() for c in names]
            raise InputError(
                f"{file} is no table, and {run} was trained on one: expected {', '.join(TABLE_ENDINGS)}, with columns "
                f"such as {', '.join(columns[:3])}"
            )
        rows = read_new_rows(file, _columns(model), _categories(model), _format(run).changed(reading))
        if rows.absent:
            tell(f"{file} has no column of {', '.join(rows.absent)}: missing in every row")
        if rows.ignored:
            tell(f"{file}: columns that the model does not use: {', '.join(rows.ignored)}")
        tables.append(rows)
    model.is_calibrated(coverage)  # a coverage that is none is told at once, and so are costs
    check_costs(costs, model.modalities_)
    return _predictions(model, tables, without, coverage, costs)


def _predictions(
    model: MultimodalClassifier,
    tables: Sequence[Any],
    without: Sequence[str],
    coverage: float,
    costs: Mapping[str, float] | None,
) -> Iterator[Prediction]:
    classes = [str(c) for c in model.classes_]
    columns = _columns(model)
    for rows in tables:
        frame = _whole(rows.frame, model)
        found = {m: frame[names].notna().any(axis=1).to_numpy() for m, names in columns.items()}
        for m in without:
            frame[columns[m]] = np.nan
        for start in range(0, len(frame), _ROWS):
            part = frame.iloc[start : start + _ROWS]
            probabilities = model.predict_proba(part)
            sets = model.predict_set(part, coverage)["classes"].tolist() if model.is_calibrated(coverage) else None
            worth = measurements(model, part, costs, without)
            for position, shares in enumerate(probabilities, start=start):
                shows = tuple(m for m in columns if found[m][position])
                used = tuple(m for m in shows if m not in without)
                problem = rows.problems.get(position, "" if used else why_unusable(shows, columns))
                if problem:
                    yield Prediction(rows.ids[position], problem=problem)
                    continue
                told = dict(zip(classes, shares.tolist(), strict=True))
                held = tuple(map(str, sets[position - start])) if sets else ()
                best = classes[int(shares.argmax())]
                after = worth[position - start] if worth else None
                yield Prediction(rows.ids[position], best, told, shows, used, "", held, after)


def _classifier(data: Dataset, config: TableConfig) -> MultimodalClassifier:
    options, seed = dict(config.options) or None, config.seed
    model = MultimodalClassifier(
        modalities=data.named_columns, method_options=options, unlabelled="", random_state=seed
    )
    known = model.get_params(deep=False)
    model.set_params(**{name: value for name, value in vars(config).items() if name in known})
    if not isinstance(config.encoders, str):
        model.encoders = dict(config.encoders)
    choices.check(model.get_params(deep=False), weighted=data.weights is not None)
    return model


def _fit(
    model: MultimodalClassifier, data: Dataset, parts: Partition, config: TableConfig, checkpoints: Path
) -> dict[str, Any]:
    frame = data.frame(parts.observed)
    started = time.perf_counter()
    held = (frame.iloc[parts.validation], data.labels[parts.validation], data.weights_of(parts.validation))
    weights = data.weights_of(parts.train)
    model.fit(frame.iloc[parts.train], data.labels[parts.train], held, checkpoints, sample_weight=weights)
    seconds = time.perf_counter() - started
    test = frame.iloc[parts.test], data.codes[parts.test]
    values = {
        "test": asdict(_assess(model, *test)),
        "members": model.members_,
        "seconds": seconds,
        "samples": parts.counts(),
        "training": parts.training_counts(),
        "filled": model.filled_shares_,
        "config": asdict(config),
    }
    # Validation samples decided when to stop and how to weigh: sets calibrated on them would be too small. The test
    # part decided nothing, so sets that it calibrates hold for new samples, though not for itself.
    model.calibrate_sets(test[0], data.labels[parts.test])
    return json.loads(json.dumps(values, default=float))


def _assess(model: MultimodalClassifier, frame: pd.DataFrame, codes: np.ndarray) -> Assessment:
    columns = _columns(model)
    observed = {m: frame[names].notna().any(axis=1).to_numpy() for m, names in columns.items()}

    def without(m: str, rest: np.ndarray) -> np.ndarray:
        hidden = frame.iloc[rest].copy()
        hidden[columns[m]] = np.nan
        return model.predict_log_proba(hidden)

    return assess_posteriors(model.predict_log_proba(frame), codes, model.classes_.tolist(), observed, without)


def _columns(model: MultimodalClassifier) -> dict[str, list[str]]:
    if not isinstance(model.modalities, dict):
        raise InputError(
            "the model was fitted on arrays, whose columns have no names: ask it in Python, with arrays like those"
        )
    return {m: list(names) for m, names in model.modalities.items()}


def _whole(frame: pd.DataFrame, model: MultimodalClassifier) -> pd.DataFrame:
    """Return the model's columns in its order, NaN where the table has none of a modality."""
    return frame.reindex(columns=list(model.feature_names_in_))


def _format(run: Path) -> TableFormat:
    """Return how the run's table was read, or that of a comparison; the default of a model without either."""
    folder = RunFolder(run)
    return TableFormat.of(folder.config.get("data", folder.reading), str(run))


def _categories(model: MultimodalClassifier) -> dict[str, Levels]:
    return {str(column): levels for held in model.categories_.values() for column, levels in held.items()}


def _is_own(address: str, own: Mapping[str, str], form: TableFormat) -> bool:
    try:
        return load_again(address, form).fingerprint() == own["fingerprint"]
    except InputError:  # a table that could not be trained on may still be judged
        return False


def _lasting(address: str) -> str:
    return address if address in DATASETS else str(Path(address).absolute())
