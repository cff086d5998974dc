"""A trained model as a file for other programs: the posterior of a fixed set of modalities, as ONNX.

Which modalities a sample shows is fixed when the file is written; how many samples there are is not. The file is kept
only if onnxruntime answers as the model does, to `FARTHEST`.
"""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from elision.batch import Batch
from elision.errors import InputError, check_choice
from elision.files import write_atomically
from elision.fusion import Fusion
from elision.inputs import MOST_DEVIATIONS
from elision.likelihood import UNLABELLED
from elision.methods import Method
from elision.models import model_folder
from elision.persistence import FittedClassifier, read_classifier
from elision.serving.answers import TableRespondent, respondent, width

if TYPE_CHECKING:
    from elision.deep.model import DeepModel

FARTHEST = 1e-5
"""The largest difference of a probability between the file and the model."""
_SAMPLES = 1, 7, 33


class Posterior(nn.Module):
    """Turns rows of some modalities into class probabilities: the graph that is exported.

    Args:
        modalities: in the order of the inputs.
        classes: names, in the order of the probabilities.
    """

    modalities: tuple[str, ...]
    classes: tuple[str, ...]

    def rows(self, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return n made-up rows of each modality, of the type and the range of real ones."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Return modality -> its columns and categories, where they have names."""
        return {m: {} for m in self.modalities}

    def expected(self, rows: tuple[Tensor, ...]) -> np.ndarray:
        """Return what the model itself says of them, (n, K)."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return modality -> what encodes it, where that may not be exported."""
        raise NotImplementedError

    def _batch(self, rows: Sequence[Tensor], shapes: Mapping[str, Sequence[int]]) -> Batch:
        """Return the rows as a batch, in which every other modality has no row."""
        n, given = rows[0].shape[0], dict(zip(self.modalities, rows, strict=True))
        some, none = torch.arange(n), torch.zeros(0, dtype=torch.int64)
        inputs = {m: given[m] if m in given else rows[0].new_zeros(0, *shape) for m, shape in shapes.items()}
        places = {m: some if m in given else none for m in shapes}
        return Batch(inputs, places, torch.full((n,), UNLABELLED), places)


class TablePosterior(Posterior):
    """Standardises rows of numbers, asks every member, and averages them.

    Args:
        fitted: a classifier.
        modalities: that samples show.
        model: the same, to compare with.
    """

    def __init__(self, fitted: FittedClassifier, modalities: Sequence[str], model: TableRespondent) -> None:
        super().__init__()
        imputed = [m for m in modalities if m in fitted.standardizer.fillings]
        if imputed:
            raise InputError(
                f"blanks of modality {imputed[0]!r} are imputed ({fitted.parameters['impute']}), which no ONNX file "
                "does: train with impute 'mean'"
            )
        self.model = model
        self.modalities = tuple(modalities)
        self.classes = tuple(map(str, fitted.learnt["classes_"]))
        self.shapes, self.members = dict(fitted.shapes), fitted.members
        self.precision = fitted.members[0].precision
        self.methods = nn.ModuleList(member.method for member in fitted.members)
        shown = [m in modalities for m in fitted.shapes]
        self.weights = fitted.weights.only(shown)
        self.log_prior = torch.from_numpy(np.log(fitted.learnt["class_prior_"]))
        self.gap = torch.zeros(1, len(self.classes), dtype=torch.float64)
        if fitted.gaps is not None:
            self.gap = torch.from_numpy(fitted.gaps.posterior(self.gap.numpy(), np.array([shown])))
        self.mean = {m: torch.from_numpy(np.asarray(fitted.standardizer.mean[m])) for m in fitted.shapes}
        self.scale = {m: torch.from_numpy(np.asarray(fitted.standardizer.scale[m])) for m in fitted.shapes}

    def forward(self, *rows: Tensor) -> Tensor:
        """Return Q(z | x_S), float64 (n, K), of float64 rows (n, ...); NaN in a row counts as the training mean."""
        wide = [self._wide(x, self.model.levels[m]) for m, x in zip(self.modalities, rows, strict=True)]
        standard = [(x - self.mean[m]) * self.scale[m] for m, x in zip(self.modalities, wide, strict=True)]
        standard = [x.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS) for x in standard]
        batch = self._batch([torch.where(x.isnan(), 0.0, x).to(self.precision) for x in standard], self.shapes)
        logs = []
        for member in self.members:
            inputs = {m: member.frozen[m](x) for m, x in batch.inputs.items()}
            logs.append(member.method.log_posterior(Batch(inputs, batch.rows, batch.labels, batch.source)).double())
        observed = torch.ones(rows[0].shape[0], len(self.shapes), dtype=torch.bool)
        average = torch.log_softmax(self.weights.average(torch.stack(logs), observed, self.log_prior), dim=1)
        return torch.softmax(average + self.gap, dim=1)

    def rows(self, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return rows spread as the training rows were, one number of them missing, and categories drawn alike."""
        made = []
        for m in self.modalities:
            noise = torch.randn(n, *self.shapes[m], generator=generator, dtype=torch.float64)
            spread = torch.where(self.scale[m] > 0, 1 / self.scale[m].clamp(min=1e-300), 0.0)
            x = self.mean[m] + spread * noise
            levels = self.model.levels[m]
            if any(levels):
                starts = np.cumsum([0, *map(width, levels)])[:-1]
                x = x[:, torch.from_numpy(starts)]
                for i, own in enumerate(levels):
                    if own is not None:
                        x[:, i] = torch.randint(0, max(len(own.values), 1), (n,), generator=generator).double()
            if x[0].numel() > 1:
                x.view(-1)[0] = torch.nan
            made.append(x)
        return tuple(made)

    @staticmethod
    def _wide(rows: Tensor, levels: Sequence[Any]) -> Tensor:
        """Return rows in which a column per value stands in the place of a category's code, as `one_hot` has it."""
        if not any(levels):
            return rows
        blocks = []
        for i, own in enumerate(levels):
            column = rows[:, i : i + 1]
            if width(own) > 1 or (own is not None and not own.ordered and own.values):
                hot = (column == torch.arange(len(own.values))).double()
                column = torch.where(column.isnan(), torch.nan, hot)
            blocks.append(column)
        return torch.cat(blocks, dim=1)

    def expected(self, rows: tuple[Tensor, ...]) -> np.ndarray:
        """Return the classifier's probabilities."""
        values = [dict(zip(self.modalities, (x.numpy() for x in row), strict=True)) for row in zip(*rows, strict=True)]
        return self.model.model.predict_proba(self.model.inputs(values))

    def described(self) -> dict[str, Any]:
        """Return modality -> its columns, and position of a category -> its values, whose places the rows hold."""
        taken = self.model.modalities
        return {m: {"columns": taken[m].columns, "categories": taken[m].categories} for m in self.modalities}

    def parts(self) -> dict[str, nn.Module]:
        """Return the first member's encoders of the user's own, since every other is known to work."""
        own = self.members[0].specification.encoders
        return {m: module for m in self.modalities if isinstance(module := own[m], nn.Module)}


class SegmentPosterior(Posterior):
    """Asks a model of recordings about windows.

    Args:
        model: on the CPU.
        modalities: that windows show.
    """

    def __init__(self, model: "DeepModel", modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities, self.classes, self.model = tuple(modalities), model.classes, model
        self.method = model.method

    def forward(self, *rows: Tensor) -> Tensor:
        """Return Q(z | x_S) of each window, (n, K); a recording's is the mean of its windows'."""
        shapes = {m: tuple(modality.shape) for m, modality in self.model.modalities.items()}
        return self.method.log_posterior(self._batch(rows, shapes)).exp()

    def rows(self, n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return random pixels, decibels and numbers."""
        made = []
        for m in self.modalities:
            modality = self.model.modalities[m]
            memory = (n, *modality.form.memory(modality))
            if modality.form.picture:
                drawn = torch.randint(0, 256, memory, generator=generator, dtype=torch.uint8)
            else:
                drawn = torch.randn(memory, generator=generator)
            made.append(modality.form.arranged(drawn))
        return tuple(made)

    def expected(self, rows: tuple[Tensor, ...]) -> np.ndarray:
        """Return the model's probabilities."""
        shapes = {m: tuple(modality.shape) for m, modality in self.model.modalities.items()}
        return self.model.log_posterior(self._batch(rows, shapes)).exp().numpy()

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks."""
        return {m: self.model.encoders[m] for m in self.modalities}


def export_onnx(
    run: str | Path,
    out: str | Path,
    modalities: Sequence[str] | None = None,
    modules: Mapping[str, nn.Module] | None = None,
) -> float:
    """Write the posterior of a fixed set of modalities as an ONNX file, and return how far it is from the model's.

    Its inputs are the modalities, its output is "probabilities", (n, K) in the order of the classes, which stand in its
    metadata under "elision". A table's rows are float64 as they were given to `fit`, NaN where one is missing, and of a
    category its place among the values in the metadata. Of a recording the rows are windows, as the model's store holds
    them, and so are the answers.

    Args:
        run: folder of a run, or of a saved model.
        out: the file, replaced if it is there.
        modalities: that samples show; None is all of them.
        modules: modality -> module of the user's own, where the model was trained with some.

    Raises:
        InputError: no such modality, or a part of the model cannot be exported; which and why.
        ModuleNotFoundError: onnx, onnxruntime or onnxscript is not installed.
    """
    import onnxruntime
    import onnxscript  # noqa: F401  # torch would tell of it in the middle

    model = respondent(run, modules=modules)
    chosen = _chosen(tuple(model.modalities), modalities)
    if isinstance(model, TableRespondent):
        fitted = read_classifier(model_folder(Path(run)), modules or {}, "cpu")
        posterior: Posterior = TablePosterior(fitted, chosen, model)
    else:
        posterior = SegmentPosterior(model.model, chosen)
    posterior.eval()
    generator = torch.Generator().manual_seed(0)
    samples = [posterior.rows(n, generator) for n in _SAMPLES]
    content = _onnx(posterior, samples[1])
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        farthest = max(_difference(session, posterior, rows) for rows in samples)
    except Exception as error:  # onnxruntime's own, of no common type
        raise InputError(f"onnxruntime cannot use the exported model: {_first(error)}") from error
    if not farthest <= FARTHEST:
        raise InputError(
            f"the exported model differs from the trained one by {farthest:.1e}, more than {FARTHEST:.0e}: not kept"
        )
    write_atomically(Path(out), content)
    return farthest


def _difference(session: Any, posterior: Posterior, rows: tuple[Tensor, ...]) -> float:
    given = {m: x.contiguous().numpy() for m, x in zip(posterior.modalities, rows, strict=True)}
    (found,) = session.run(None, given)
    return float(np.abs(found - posterior.expected(rows)).max())


def _chosen(known: tuple[str, ...], modalities: Sequence[str] | None) -> list[str]:
    chosen = known if modalities is None else tuple(modalities)
    for m in chosen:
        check_choice("modality", m, known)
    if not chosen or len(set(chosen)) < len(chosen):
        told = ", ".join(chosen) or "none"
        raise InputError(f"modalities are {told}: expected some of {', '.join(known)}, once each")
    return [m for m in known if m in chosen]


def _onnx(posterior: Posterior, rows: tuple[Tensor, ...]) -> bytes:
    try:
        program = _export(posterior, rows, list(posterior.modalities))
    except Exception as error:  # whatever torch raises; it has no type of its own for it
        raise InputError(_why_not(posterior, rows, error)) from error
    described = {"classes": posterior.classes, "modalities": posterior.described()}
    assert program is not None  # as asked for: not only written to a file
    program.model.metadata_props["elision"] = json.dumps(described)
    return program.model_proto.SerializeToString()


def _export(module: nn.Module, rows: tuple[Tensor, ...], names: list[str]):
    sizes = tuple({0: torch.export.Dim("n", min=1)} for _ in rows)
    with torch.no_grad(), _silence():
        return torch.onnx.export(
            module, rows, input_names=names, output_names=["probabilities"], dynamic_shapes=(sizes,), dynamo=True,
            verbose=False,
        )  # fmt: skip


def _why_not(posterior: Posterior, rows: tuple[Tensor, ...], error: Exception) -> str:
    """Return in a sentence which part cannot be exported: an encoder, or the method and its fusion."""
    for m, part in posterior.parts().items():
        x = rows[posterior.modalities.index(m)]
        try:
            with _silence():
                torch.export.export(part, (x.to(next(part.parameters(), x).dtype),), strict=False)
        except Exception as own:
            return f"the encoder of modality {m!r} ({type(part).__name__}) cannot be exported: {_first(own)}"
    parts = sorted({type(part).__name__ for part in posterior.modules() if isinstance(part, (Method, Fusion))})
    shown = " and ".join(posterior.modalities)
    return f"method and fusion ({', '.join(parts)}) cannot be exported for {shown}: {_first(error)}"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torch from printing graphs and warnings: what matters of them is told in one sentence."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _first(error: Exception) -> str:
    """Return the first line of the cause of an error."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause).strip() else ''}"
