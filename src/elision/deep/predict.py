"""Class probabilities of what a user has: videos, sound files, images, and lists of recordings."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elision.batch import Batch
from elision.data.formats import DETECTED, TABLE_ENDINGS, TableFormat
from elision.data.layouts.folders import ENDINGS
from elision.data.layouts.found import Found, LayoutOptions
from elision.data.recording import Recording
from elision.decisions.acquisition import check_costs
from elision.deep.model import DeepModel
from elision.errors import InputError, warn
from elision.evaluation import average_segments
from elision.extractors import OwnExtractor, OwnExtractors, name_of
from elision.kinds import Modality, Value
from elision.likelihood import UNLABELLED
from elision.media.extract import Crop, MediaSettings, Mel, extract_media
from elision.prediction import Prediction, check_left_out, why_unusable
from elision.registries import CROPS, LAYOUTS


def predict(  # noqa: PLR0913
    model: DeepModel,
    files: Sequence[str | Path],
    without: Sequence[str] = (),
    average: str = "posteriors",
    crop: Crop | None = None,
    extractors: OwnExtractors | None = None,
    dialect: TableFormat = DETECTED,
    coverage: float = 0.9,
    costs: Mapping[str, float] | None = None,
) -> Iterator[Prediction]:
    """Yield one prediction after the other, in the order of the files; those of a list of recordings by id.

    A file that cannot be read has a prediction too, which says why.

    Files are prepared as the training data was: windows, spectrograms, and noise if that was added.

    Args:
        model: from `load_model`.
        files: videos, sound files and images, a sample each; or lists of recordings (tables), a sample a row.
        without: modalities to leave out.
        average: of segments, "posteriors" or "logs".
        crop: the function that the training data was prepared with, if it was with one.
        extractors: modality -> the function that made its features, for those that were made by one.
        dialect: how the lists are written.
        coverage: of the sets of classes, in (0, 1).
        costs: modality -> cost of measuring it, one for each, by which `Prediction.measure_next` is then ordered.

    Raises:
        InputError: before anything is read: the model has no such modality, or needs a crop or an extractor.
    """
    check_left_out(without, model.modalities)
    model.is_calibrated(coverage)  # a coverage that is none is told at once
    check_costs(costs, tuple(model.modalities))
    how = tuple(without), average, media_settings(model, crop, extractors), coverage, costs
    return _predictions(model, [Path(file) for file in files], dialect, how)


def media_settings(
    model: DeepModel,
    crop: Crop | None = None,
    extractors: OwnExtractors | None = None,
) -> MediaSettings:
    """Return the settings that the model's data was prepared with.

    Raises:
        InputError: they need a crop or an extractor that is not given, or another one.
    """
    saved = dict(model.parameters.get("settings") or {})
    wanted = saved.pop("crop", None)
    if wanted and crop is None:
        crop = next((CROPS[name] for name in CROPS if CROPS.where(name) == wanted), None)
    if wanted and crop is None:
        raise InputError(f"the model's pictures were cropped by {wanted}, which a model does not hold: pass crop=")
    if crop and name_of(crop) != wanted:
        before = f"cropped by {wanted}" if wanted else "not cropped"
        raise InputError(f"the model's pictures were {before}, and {name_of(crop)} is given")
    own = {m: OwnExtractor.of(function) for m, function in (extractors or {}).items()}
    known = saved.pop("extractors", {})
    for m in {**known, **own}:
        before, now = known.get(m, {}).get("name"), own[m].name if m in own else None
        if before != now:
            hint = "give no extractor of it" if before is None else "a model does not hold it: name the extractor"
            raise InputError(f"the model's {m} is encoded from features by {before}, and {now} is given: {hint}")
        if known[m]["sha256"] != own[m].sha256:
            warn(f"the file of {now} changed since it made the model's features")
    mel = Mel(**saved.pop("mel", {}))
    return MediaSettings(**saved, mel=mel, crop=crop, extractors=own)


def _predictions(model, files, dialect, how) -> Iterator[Prediction]:
    for file in files:
        try:
            found = _found(model, file, dialect)
        except InputError as error:
            yield Prediction(str(file), problem=str(error))
            continue
        for recording in found.recordings:
            yield _predict_one(model, recording, *how)
        for problem in found.problems:
            yield Prediction(problem.id, problem=f"{problem.file}: {problem.reason}")


def _found(model: DeepModel, file: Path, dialect: TableFormat) -> Found:
    if file.suffix.lower() in TABLE_ENDINGS:
        return LAYOUTS["manifest"](file, LayoutOptions(label_column="", dialect=dialect))
    if not file.is_file():
        raise InputError(f"{file} does not exist")
    shows = ("image",) if file.suffix.lower() in ENDINGS["image"] else ("visual", "audio")
    return Found((Recording(str(file), sources={m: file for m in shows if m in model.modalities}),))


def _predict_one(
    model: DeepModel, recording: Recording, without, average, settings: MediaSettings, coverage: float, costs
) -> Prediction:
    wanted = {m: path for m, path in recording.sources.items() if m in model.modalities}
    values: dict[str, Value] = {m: np.array(v) for m, v in recording.features.items() if m in model.modalities}
    try:
        if wanted:
            values |= extract_media(wanted, recording.start, recording.end, settings, recording.id).values
    except InputError as error:
        return Prediction(recording.id, problem=str(error))
    return predict_values(model, recording.id, values, without, average, coverage, costs)


def predict_values(
    model: DeepModel,
    id: str,
    values: Mapping[str, Value],
    without: Sequence[str] = (),
    average: str = "posteriors",
    coverage: float = 0.9,
    costs: Mapping[str, float] | None = None,
) -> Prediction:
    """Return what the model says of what one sample shows; a problem is told in it.

    Args:
        model: from `load_model`.
        id: of the sample.
        values: as `elision.media.extract.Extracted` has them, and numbers; a missing modality is no key.
        without: modalities to leave out.
        average: of segments, "posteriors" or "logs".
        coverage: of the set of classes, which the model's test part calibrated for posteriors; none if it was small.
        costs: modality -> cost of measuring it; None counts each as 1.
    """
    found = tuple(m for m in model.modalities if m in values)
    used = tuple(m for m in found if m not in without)
    try:
        if not used:
            raise InputError(why_unusable(found, model.modalities))
        batch = segments({m: values[m] for m in used}, model.modalities)
    except InputError as error:
        return Prediction(id, problem=str(error))
    logs = average_segments(model.log_posterior(batch).double().cpu().numpy()[None], average)[0]
    probabilities = dict(zip(model.classes, np.exp(logs).tolist(), strict=True))
    held = average == "posteriors" and model.is_calibrated(coverage)
    classes = model.set_of(logs, used, coverage) if held else ()
    worth = None
    if model.says_value:
        lacking = [m for m in model.modalities if m not in found and m not in without]
        price = costs or dict.fromkeys(lacking, 1.0)
        each = [model.value_of(batch, m) for m in lacking]
        worth = tuple(sorted(each, key=lambda v: -v.nats / price[v.modality] if price[v.modality] else -np.inf))
    return Prediction(id, model.classes[int(logs.argmax())], probabilities, found, used, "", classes, worth)


def segments(values: Mapping[str, Value], modalities: Mapping[str, Modality]) -> Batch:
    """Return the windows of one sample as a batch; ``values`` as `Extracted` has them, a missing modality no key."""
    width = max(modality.windows for modality in modalities.values())
    inputs = {m: _rows(m, values.get(m), modality) for m, modality in modalities.items()}
    inputs = {m: x.expand(width, *x.shape[1:]) if len(x) == 1 else x for m, x in inputs.items()}
    rows = {m: torch.arange(len(x)) for m, x in inputs.items()}
    return Batch(inputs, rows, torch.full((width,), UNLABELLED), rows)


def _rows(m: str, value: Value | None, modality: Modality) -> Tensor:
    form = modality.form
    try:
        windows = [] if value is None else [form.decode(window, modality) for window in form.split(value)]
    except InputError as error:
        raise InputError(f"modality {m!r} {error}: the model takes {tuple(modality.shape)}") from error
    return form.rows(len(windows), windows, modality)
