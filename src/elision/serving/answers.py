"""What a model answers: one object for models of tables, one for models of recordings, and what both say."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elision.errors import InputError
from elision.models import CLASSIFIER, kind_of, model_folder, read_model
from elision.prediction import Measurement
from elision.serving.requests import NewSample, Question, Taken, read_value

if TYPE_CHECKING:
    from torch import nn

    from elision.categories import Categories, Levels
    from elision.deep.model import DeepModel
    from elision.estimator import MultimodalClassifier

COVERAGE = 0.9
"""Of the sets that are given where nobody asks for another one."""
RECORDING = "recording"
"""The name of a file that shows every modality which a video has."""


@dataclass(frozen=True)
class Answer:
    """Say what the model makes of one sample.

    Args:
        id: of the sample.
        label: the most probable class.
        probabilities: class -> probability.
        set: classes that hold the truth with probability ``coverage``, the most probable first; none where the model is
            not calibrated for that.
        coverage: of the set; none without one.
        used: modalities that the sample shows.
        missing: those that it does not, which were averaged out.
        measure_next: what is missing, the most valuable first; none where the model cannot say: it takes the joint
            objective.
        notes: modality -> in what its recording was not taken as usual.
    """

    id: str
    label: str
    probabilities: dict[str, float]
    set: list[str] | None
    coverage: float | None
    used: list[str]
    missing: list[str]
    measure_next: list[Measurement] | None
    notes: dict[str, str] = field(default_factory=dict)


class Respondent(ABC):
    """A model that answers questions.

    Args:
        name: of the model, for people.
        classes: names of the classes.
        modalities: name -> what is sent of it.
        limits: what is not to be had of this model, for people; "" where everything is.
        blanks: what becomes of a number that is blank where others of its modality are not, for people.
    """

    name: str
    classes: tuple[str, ...]
    modalities: Mapping[str, Taken]
    limits: str = ""
    blanks: str = "counts as its mean"

    @abstractmethod
    def answer(self, question: Question, seconds: float) -> list[Answer]:
        """Answer about each sample.

        Args:
            question: of samples whose modalities may be anything.
            seconds: that it may take where recordings are to be decoded.

        Raises:
            InputError: a sample cannot be used as it is; which and why.
            TimeoutError: decoding took too long.
        """

    def close(self) -> None:  # noqa: B027  # most keep nothing
        """End what the model keeps running."""

    @property
    def recordings(self) -> tuple[str, ...]:
        """Return the modalities that are sent as files."""
        return tuple(m for m, taken in self.modalities.items() if taken.takes == RECORDING)

    def _numbers(self, sample: NewSample) -> dict[str, np.ndarray]:
        """Return the numbers that were sent of a sample, checked."""
        values = {}
        for m, value in sample.numbers.items():
            where = f"modality {m!r} of sample {sample.id!r}"
            taken = self.modalities.get(m)
            if taken is None:
                raise InputError(f"{where} is unknown: the model takes {', '.join(self.modalities)}")
            if taken.takes == RECORDING:
                raise InputError(f"{where} was sent as numbers: expected a recording, as a file of a multipart form")
            if value is not None:
                values[m] = read_value(value, taken, where)
        return values


class TableRespondent(Respondent):
    """Answers for a `MultimodalClassifier`.

    Args:
        folder: of the model.
        name: for people.
        device: where it computes.
        modules: modality -> module of the user's own.
    """

    def __init__(self, folder: Path, name: str, device: str, modules: "Mapping[str, nn.Module]") -> None:
        from elision.estimator import MultimodalClassifier
        from elision.inputs import resolve_columns

        self.name, self.model = name, MultimodalClassifier.load(folder, modules, device)
        saved, model = read_model(folder), self.model
        self.classes = tuple(str(c) for c in model.classes_)
        shapes, columns = saved.description["shapes"], saved.description["columns"]
        self._table: list[Any] | None = None
        self._places: dict[str, Any] = {}
        self._named = any(columns.values())
        if hasattr(model, "n_features_in_"):
            self._named = hasattr(model, "feature_names_in_")
            self._table = list(getattr(model, "feature_names_in_", range(model.n_features_in_)))
            modalities = model.modalities
            if modalities is not None and columns:
                modalities = {m: [str(c) for c in names] for m, names in columns.items()}
            self._places = resolve_columns(modalities, self._table)
            columns = {m: [self._table[i] for i in place] for m, place in self._places.items()}
        self._columns = {m: columns.get(m) or _positions(shapes[m], model.categories_.get(m, {})) for m in shapes}
        self.levels = {
            m: [_by_text(model.categories_.get(m, {})).get(str(c)) for c in names] for m, names in self._columns.items()
        }
        self.modalities = {m: self._taken(m, shape, saved.tensors.get(f"mean/{m}")) for m, shape in shapes.items()}
        if model.impute != "mean":
            self.blanks = f"is imputed ({model.impute})"
        self.limits = _limits(any(member["objective"] == "joint" for member in model.members_), model)

    def answer(self, question: Question, seconds: float) -> list[Answer]:
        """Answer about each sample, all at once."""
        from elision.runs.predictions import measurements

        for sample in question.samples:
            for m in sample.recordings:
                raise InputError(f"modality {m!r} of sample {sample.id!r} was sent as a file: expected numbers as JSON")
        values, model = [self._numbers(sample) for sample in question.samples], self.model
        X = self.inputs(values)
        shown = np.array([[m in v and not np.isnan(v[m]).all() for m in self.modalities] for v in values])
        coverage = question.coverage
        if coverage is None and model.is_calibrated(COVERAGE):
            coverage = COVERAGE
        sets = None if coverage is None else model.predict_set(X, coverage)["classes"].tolist()
        probabilities = model.predict_proba(X)
        worth = measurements(model, X)
        return [
            Answer(
                sample.id,
                self.classes[int(probabilities[i].argmax())],
                dict(zip(self.classes, probabilities[i].tolist(), strict=True)),
                None if sets is None else [str(c) for c in sets[i]],
                coverage,
                [m for m, seen in zip(self.modalities, shown[i], strict=True) if seen],
                [m for m, seen in zip(self.modalities, shown[i], strict=True) if not seen],
                None if worth is None else list(worth[i]),
            )
            for i, sample in enumerate(question.samples)
        ]

    def inputs(self, samples: Sequence[Mapping[str, np.ndarray]]) -> Any:
        """Return samples as the model was given its training samples; values as `read_value` gives them."""
        if self._table is not None:
            table = np.full((len(samples), len(self._table)), np.nan)
            for row, values in zip(table, samples, strict=True):
                for m, cells in values.items():
                    row[self._places[m]] = cells
            levels: list[Any] = [None] * len(self._table)
            for m, place in self._places.items():
                for i, own in zip(place, self.levels[m], strict=True):
                    levels[i] = own
            return self._frame(table, self._table, levels)
        arrays = {
            m: np.stack([values.get(m, np.full(taken.shape, np.nan)) for values in samples])
            for m, taken in self.modalities.items()
        }
        return {m: self._frame(a, self._columns[m], self.levels[m]) if a.ndim == 2 else a for m, a in arrays.items()}

    def _frame(self, table: np.ndarray, names: Sequence[Any], levels: Sequence[Any]) -> Any:
        """Return a table with its columns' names, if any, and with categories in the place of their codes."""
        if not (self._named or any(levels)):
            return table
        cells = dict(enumerate(table.T))
        for i, own in enumerate(levels):
            if own is not None:
                values = np.array([*own.values, None], dtype=object)
                cells[i] = values[np.nan_to_num(table[:, i], nan=-1).astype(int)]
        frame = pd.DataFrame(cells)
        return frame.set_axis(list(names), axis=1) if self._named else frame.to_numpy(dtype=object)

    def _taken(self, m: str, shape: Sequence[int], mean: Any) -> Taken:
        names, levels = self._columns[m], self.levels[m]
        if not names:
            return Taken("numbers", list(shape))
        means, typical = [] if mean is None or mean.ndim != 1 else mean.tolist(), []
        for own in levels:
            typical.append(None if own is not None or not means else means[0])
            del means[: width(own)]
        categories = {str(i): list(own.values) for i, own in enumerate(levels) if own is not None}
        return Taken("numbers", [len(names)], [str(c) for c in names] if self._named else [], categories, typical)


class RecordingRespondent(Respondent):
    """Answers for a `DeepModel`, which decodes recordings as its training data was prepared.

    Args:
        folder: of the model.
        name: for people.
        device: where it computes.
        modules: modality -> module of the user's own.
    """

    def __init__(self, folder: Path, name: str, device: str, modules: "Mapping[str, nn.Module]") -> None:
        from elision.deep.model import load_model
        from elision.deep.predict import media_settings
        from elision.serving.decoding import Decoder

        self.name, self.model = name, load_model(folder, device, modules)
        self.classes = self.model.classes
        self._settings, self._decoder = media_settings(self.model), Decoder()
        self.modalities = {
            m: Taken("numbers", list(modality.shape)) if modality.kind == "features" else Taken(RECORDING)
            for m, modality in self.model.modalities.items()
        }
        self.limits = _limits(self.model.says_value, self.model)

    def answer(self, question: Question, seconds: float) -> list[Answer]:
        """Answer about one sample after the other."""
        from elision.deep.predict import predict_values
        from elision.serving.decoding import Recordings

        coverage = COVERAGE if question.coverage is None else question.coverage
        calibrated = self.model.is_calibrated(coverage)
        if question.coverage is not None and not calibrated:
            raise InputError(
                f"the model's sets are not calibrated for a coverage of {coverage}: leave it out, or lower"
            )
        until, answers = time.monotonic() + seconds, []
        for sample in question.samples:
            numbers, sources = self._numbers(sample), self._sources(sample)
            values: dict[str, Any] = {m: v.astype(np.float32) for m, v in numbers.items() if not np.isnan(v).all()}
            notes: dict[str, str] = {}
            if sources:
                try:
                    found = self._decoder(Recordings(sources, self._settings, sample.id), until - time.monotonic())
                except InputError as error:
                    raise InputError(f"sample {sample.id!r}: {error}") from error
                values |= found.values
                notes = {**found.notes, **found.missing}
            told = predict_values(self.model, sample.id, values, coverage=coverage)
            if told.problem:
                raise InputError(f"sample {sample.id!r} {told.problem}")
            missing = [m for m in self.modalities if m not in told.used]
            shares, used = dict(told.probabilities), list(told.used)
            held = (list(told.classes), coverage) if calibrated else (None, None)
            worth = None if told.measure_next is None else list(told.measure_next)
            answers.append(Answer(sample.id, told.label, shares, *held, used, missing, worth, notes))
        return answers

    def close(self) -> None:
        """End the process that decodes."""
        self._decoder.close()

    def _sources(self, sample: NewSample) -> dict[str, Path]:
        """Return modality -> file; "recording" stands for picture and sound."""
        sources: dict[str, Path] = {}
        for name, path in sample.recordings.items():
            chosen = [m for m in self.recordings if m in ("visual", "audio")] if name == RECORDING else [name]
            for m in chosen or [name]:
                if m not in self.recordings:
                    known = m in self.modalities
                    expected = "expected numbers as JSON" if known else f"the model takes {', '.join(self.modalities)}"
                    raise InputError(f"modality {m!r} of sample {sample.id!r} was sent as a file: {expected}")
                if m in sources:
                    raise InputError(f"modality {m!r} of sample {sample.id!r} is given twice, alone and in a recording")
                sources[m] = path
        return sources


def respondent(run: str | Path, device: str = "cpu", modules: "Mapping[str, nn.Module] | None" = None) -> Respondent:
    """Open a trained run or a saved model, of a table or of recordings, to ask it.

    Args:
        run: its folder.
        device: where it computes.
        modules: modality -> module of the user's own, where the model was trained with some.

    Raises:
        InputError: there is none, or it is not what was written.
    """
    folder = model_folder(Path(run))
    kind = TableRespondent if kind_of(folder) == CLASSIFIER else RecordingRespondent
    return kind(folder, Path(run).absolute().name, device, modules or {})


def _limits(says_value: bool, model: "MultimodalClassifier | DeepModel") -> str:
    told = [] if says_value else ["it cannot say what to measure next, since it lacks the joint objective"]
    if not model.is_calibrated(COVERAGE):
        told.append(f"its sets are not calibrated for a coverage of {COVERAGE}")
    return "; ".join(told)


def _positions(shape: Sequence[int], categories: "Categories") -> list[int]:
    """Return the columns of a modality without names, of which each category became several; [] for other rows."""
    return list(range(shape[0] - sum(width(own) - 1 for own in categories.values()))) if len(shape) == 1 else []


def width(levels: "Levels | None") -> int:
    """Return how many numbers a column becomes."""
    return 1 if levels is None or levels.ordered else max(len(levels.values), 1)


def _by_text(categories: "Categories") -> dict[str, "Levels"]:
    return {str(name): own for name, own in categories.items()}
