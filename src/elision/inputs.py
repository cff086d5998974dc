"""From what a user has to observed rows: arrays or tables with NaN, labels of any type."""

import numbers
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from elision.alignment import flat_name, frame_numbers, unmasked
from elision.batch import Batch
from elision.errors import InputError, quoted
from elision.imputation import Filling
from elision.likelihood import UNLABELLED

_BLOCK = 2**18
MOST_DEVIATIONS = 1e12
"""From its mean, at which a standardised number is cut off: sums and products of such numbers are finite."""
Arrays = Mapping[str, np.ndarray]
"""modality -> numbers, shape (n, ...); a row that is NaN throughout is a missing one."""


def read_arrays(data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check a dict of arrays and make each float64, or float32 where it is that, of at least two dimensions.

    NaN stays, inf is refused.
    """
    if not data:
        raise InputError("X is an empty dict: expected at least one modality, name -> array of shape (n, ...)")
    arrays = {}
    for m, values in data.items():
        if not isinstance(m, str):
            raise InputError(f"modality {m!r} is named by a {type(m).__name__}: expected names that are strings")
        if np.iscomplexobj(values):
            raise InputError(f"modality {m!r} holds complex numbers: expected real ones")
        if isinstance(values, (pd.DataFrame, pd.Series)):
            values = frame_numbers(values, f"modality {m!r}")
        if getattr(values, "dtype", np.dtype(float)).kind in "mM":
            raise InputError(f"modality {m!r} holds dates: expected numbers, such as days since a date")
        try:
            kept = getattr(values, "dtype", None) == np.float32  # a second copy may be all of the memory
            arrays[m] = np.asarray(values, dtype=np.float32 if kept else np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"modality {m!r} is not an array of numbers: {error}") from error
        if arrays[m].size == 0:
            raise InputError(f"modality {m!r} has shape {arrays[m].shape}: expected at least one sample and one number")
        if arrays[m].ndim == 0:
            raise InputError(f"modality {m!r} is a single number: expected an array of shape (n, ...)")
        if arrays[m].ndim == 1:
            arrays[m] = arrays[m][:, None]
        check_finite(arrays[m], m)
    lengths = {m: len(a) for m, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{m!r} has {n}" for m, n in lengths.items())
        raise InputError(f"modalities of unequal length: {listed}; expected one row per sample in each")
    return arrays


def check_finite(values: np.ndarray, where: str, columns: Sequence[Any] | None = None) -> None:
    """Raise `InputError`, naming the first row and column that hold an infinite number."""
    if not any(np.isinf(block).any() for block in _blocks(values)):
        return
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, *column = infinite[0].tolist()
        name = repr(columns[column[0]]) if columns is not None else ", ".join(map(str, column))
        raise InputError(
            f"{where} contains infinity at row {row}, column {name}: "
            "expected a finite number, or NaN where the value is missing"
        )


def resolve_columns(
    modalities: Mapping[str, Any] | None, names: Sequence[Hashable], unnamed: bool = True
) -> dict[str, np.ndarray]:
    """modality -> the positions of its columns.

    Args:
        modalities: name -> a slice, column positions, names, or a mask; None makes one modality "x" of all columns.
        names: the table's column names (0, 1, ... where it has none).
        unnamed: the table has no names, so that whole numbers are positions; else they are names like any other.
    """
    if modalities is None:
        return {"x": np.arange(len(names))}
    positions = {name: i for i, name in enumerate(names)}
    resolved: dict[str, np.ndarray] = {}
    for m, columns in modalities.items():
        if not isinstance(m, str):
            raise InputError(f"modality {m!r} is named by a {type(m).__name__}: expected names that are strings")
        if isinstance(columns, slice):
            resolved[m] = np.arange(len(names))[columns]
        else:
            wanted = [flat_name(c) for c in ([columns] if np.ndim(columns) == 0 else columns)]
            if wanted and all(isinstance(c, (bool, np.bool_)) for c in wanted):
                if len(wanted) != len(names):
                    raise InputError(f"modality {m!r} has a mask of {len(wanted)}: X has n_features = {len(names)}")
                wanted = np.flatnonzero(wanted).tolist()
            unknown = [c for c in wanted if c not in positions and not (unnamed and _is_position(c, len(names)))]
            if unknown:
                lost = "; X has no names: in a Pipeline, set_output(transform='pandas') on the steps before keeps them"
                raise InputError(
                    f"modality {m!r} names column {unknown[0]!r}, which X does not have: n_features = {len(names)}, "
                    f"columns {quoted(names, 8)}{lost if unnamed and isinstance(unknown[0], str) else ''}"
                )
            resolved[m] = np.array([positions[c] if c in positions else int(c) for c in wanted], dtype=int)
        if not len(resolved[m]):
            raise InputError(f"modality {m!r} has no column in X, which has n_features = {len(names)}")
    return resolved


@dataclass(frozen=True)
class Labels:
    """Labels as class indices.

    Args:
        codes: index into ``classes``, or -1 where there is no label; shape (n,).
        classes: the distinct labels, sorted; shape (K,).
    """

    codes: np.ndarray
    classes: np.ndarray

    def take(self, rows: np.ndarray) -> "Labels":
        """Return the given rows, and the classes that they show."""
        codes = self.codes[rows]
        shown = np.unique(codes[codes != UNLABELLED])
        if len(shown) < 2:
            raise InputError("the labels of samples with a weight above 0 show one class only: expected two at least")
        known = np.where(codes == UNLABELLED, UNLABELLED, np.searchsorted(shown, codes))
        return Labels(known, self.classes[shown])


def read_labels(y: Any, unlabelled: Any = None, classes: np.ndarray | None = None) -> Labels:
    """Read labels of any type; None, NaN, and ``unlabelled`` if given, mean that there is none.

    Args:
        y: shape (n,).
        unlabelled: a further value that means no label.
        classes: the known classes; a label beyond them is refused. None takes them from ``y``.
    """
    y, absent = _read_column(y, unlabelled)
    known = y[~absent]
    if classes is None:
        if not len(known):
            raise InputError(f"no sample has a label: all {len(y)} labels are blank")
        known = _of_one_type(known)
        check_classification_targets(known)
        classes = np.unique(known)
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise InputError(f"the labels show one class only ({only!r}): expected at least two classes")
    lookup = {label: code for code, label in enumerate(classes.tolist())}
    codes = np.full(len(y), UNLABELLED)
    for row in np.flatnonzero(~absent):
        if y[row] not in lookup:
            label = y[row].item() if isinstance(y[row], np.generic) else y[row]
            known = quoted(classes.tolist(), 8)
            raise InputError(f"label {label!r} at row {row} is no class of the training data: {known}")
        codes[row] = lookup[y[row]]
    return Labels(codes, classes)


def share_right(predicted: np.ndarray, y: Any, unlabelled: Any = None, sample_weight: Any = None) -> float:
    """Return the share of labelled samples whose label was predicted, in [0, 1].

    Args:
        predicted: shape (n,).
        y: labels, shape (n,); those that `read_labels` reads as none are left out. Others than training showed count
            as wrong.
        unlabelled: a further value that means no label.
        sample_weight: how much each sample counts, shape (n,); None counts each as one.
    """
    y, absent = _read_column(y, unlabelled)
    check_consistent_length(predicted, y, sample_weight)
    weights = np.where(absent, 0.0, 1.0 if sample_weight is None else sample_weight)
    if not weights.any():
        raise InputError("no sample has a label: expected some to judge by")
    right = np.zeros(len(y), dtype=bool)
    right[~absent] = predicted[~absent] == y[~absent].astype(object)
    return float(np.average(right, weights=weights))


def read_groups(groups: Any, n: int) -> np.ndarray:
    """Return which group each sample is of, as a number from 0 on; shape (n,).

    Raises:
        InputError: there are more or fewer than samples, or one is missing.
    """
    if np.ndim(groups) == 0:
        raise InputError(
            f"groups is {groups!r:.60}: expected the group of each sample, such as a column, table['site']"
        )
    codes, _ = pd.factorize(_column(groups))
    if len(codes) != n:
        raise InputError(f"groups has {len(codes)} entries: expected one for each of {n} samples")
    if (codes < 0).any():
        raise InputError(f"groups is missing at row {(codes < 0).argmax()}: give every sample one")
    return codes


def _read_column(y: Any, unlabelled: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as one array of their own type, and which of them are none."""
    if isinstance(y, str):
        raise InputError(
            f"y is the text {y!r}: expected a label for each sample; of a table, fit(X.drop(columns={y!r}), X[{y!r}])"
        )
    y = _column(y)
    if y.dtype.kind in "mM":
        raise InputError("the labels are dates: expected classes; make them text with .astype(str), or bins")
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise InputError(f"Input y contains infinity at row {np.isinf(y).argmax()}: expected class labels")
    absent = np.asarray(pd.isna(y))
    if unlabelled is not None:
        absent = absent | np.asarray(y == unlabelled)
    return y, absent


def _column(values: Any) -> np.ndarray:
    """Return values as an array, (n,), of their own type."""
    if isinstance(values, np.ma.MaskedArray):
        values = unmasked(values.astype(object))
    if isinstance(values, (list, tuple)) and len({isinstance(value, str) for value in values}) > 1:
        values = np.array(values, dtype=object)  # numpy would make strings of them all, of NaN too
    extension = (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)
    if isinstance(values, extension) and not isinstance(values.dtype, np.dtype):
        values = values.astype(object)  # numpy would make floats of nullable booleans and whole numbers
    return column_or_1d(values, warn=True)


def read_weights(sample_weight: Any, class_weight: Any, labels: Labels) -> np.ndarray | None:
    """Return how many samples each one counts as, its own weight times its class's; None where none is given.

    Args:
        sample_weight: a number of 0 or more for each sample, or None.
        class_weight: None, "balanced" (each class as heavy as the others, the labelled samples as many as they are),
            or a dict class -> number above 0, in which 1 stands for what is left out. Samples without a label count
            as their own weight says.
        labels: of the samples.

    Raises:
        InputError: a weight is none, or is that of no sample or class.
    """
    n = len(labels.codes)
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(n)
    if sample_weight is not None:
        try:
            weights = np.array(sample_weight, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"sample_weight is no list of numbers: {error}") from error
        if weights.shape != (n,):
            raise InputError(f"sample_weight has shape {weights.shape}: expected ({n},), a number for each sample")
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(bad):
            raise InputError(f"sample_weight is {weights[bad[0]]} at row {bad[0]}: expected finite numbers, 0 or more")
        if not weights[labels.codes != UNLABELLED].any():
            raise InputError("the weight of every labelled sample is zero: expected some above")
    if class_weight is None:
        return weights
    labelled, known = labels.codes != UNLABELLED, labels.classes.tolist()
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels.codes[labelled], weights[labelled], minlength=len(known))
        factors = counts.sum() / ((counts > 0).sum() * np.where(counts > 0, counts, 1))
    elif isinstance(class_weight, Mapping):
        strange = [c for c in class_weight if c not in known]
        if strange:
            told = f"{strange[0]!r}, which is no class: expected {quoted(known, 8)}"
            raise InputError(f"class_weight is given for {told}")
        factors = np.array([class_weight.get(c, 1.0) for c in known], dtype=np.float64)
        if not (np.isfinite(factors).all() and (factors > 0).all()):
            raise InputError(f"class_weight is {dict(class_weight)!r}: expected finite numbers above 0")
    else:
        raise InputError(f"class_weight is {class_weight!r}: expected 'balanced', or a dict class -> number above 0")
    weights[labelled] *= factors[labels.codes[labelled]]
    return weights


@dataclass(frozen=True)
class Samples:
    """Arrays and class indices of the same samples.

    Args:
        arrays: modality -> shape (n, ...), missing rows NaN.
        codes: class indices, -1 where there is no label; shape (n,).
        weights: how many samples each one counts as, above 0, shape (n,); None counts each as one.
    """

    arrays: Arrays
    codes: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        for m, values in self.arrays.items():
            if len(values) != len(self.codes):
                raise InputError(
                    f"modality {m!r} has {len(values)} samples and y has {len(self.codes)}: expected as many"
                )

    def take(self, rows: np.ndarray) -> "Samples":
        """The given rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Samples({m: a[rows] for m, a in self.arrays.items()}, self.codes[rows], weights)

    def without(self, rows: np.ndarray) -> "Samples":
        """All but the given rows."""
        return self.take(np.setdiff1d(np.arange(len(self.codes)), rows))


@dataclass(frozen=True)
class Standardizer:
    """Per column: (x - mean) / standard deviation over the observed training rows; NaN becomes the mean, or is imputed.

    A column that never varied there carries nothing and becomes 0. A modality whose rows have more than one dimension
    (images, sequences) has one mean and one deviation for all its numbers.

    Args:
        mean: modality -> shape (d,), or () for rows of more dimensions.
        scale: modality -> the reciprocal standard deviation, same shape.
        fillings: modality -> what fills the blanks of its rows, if not the mean.
    """

    mean: Arrays
    scale: Arrays
    fillings: Mapping[str, Filling] = field(default_factory=dict)

    @classmethod
    def fit(cls, arrays: Arrays, weights: np.ndarray | None = None, impute: str = "mean") -> "Standardizer":
        """Learn from the training arrays, missing rows included; with weights, (n,), a row counts as so many.

        ``impute`` is one of `IMPUTERS`, for modalities of one dimension and more than one column.
        """
        mean, scale = {}, {}
        for m, values in arrays.items():
            axis, blocks = 0 if values.ndim == 2 else None, _blocks(values)
            times: list[Any] = [1] * len(blocks)
            if weights is not None:
                times = _blocks(weights.reshape(-1, *[1] * (values.ndim - 1)), values[:1].size)
            parts = list(zip(blocks, times, strict=True))
            count = sum((t * ~np.isnan(x)).sum(axis) for x, t in parts)
            count = np.where(np.greater(count, 0), count, 1)
            mean[m] = c = sum(np.nansum(t * x, axis, dtype=float) for x, t in parts) / count
            farthest = [np.fmax.reduce(np.abs(x - c), axis, initial=0.0) for x in blocks]
            largest = np.maximum(np.maximum.reduce(farthest), np.finfo(float).tiny)
            squares = sum(np.nansum(t * ((x - c) / largest) ** 2, axis) for x, t in parts)
            deviation = largest * np.sqrt(squares / count)
            varies = deviation > 1e-12 * np.maximum(np.abs(c), 1e-300)
            scale[m] = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
        plain = cls(mean, scale)
        if impute == "mean":
            return plain
        flat = {m: a for m, a in arrays.items() if a.ndim == 2 and a.shape[1] > 1}
        return cls(
            mean, scale, {m: Filling.of(impute, plain._standard(m, a[observed_rows(a)])) for m, a in flat.items()}
        )

    def _standard(self, m: str, rows: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip((rows - self.mean[m]) * self.scale[m], -MOST_DEVIATIONS, MOST_DEVIATIONS)

    def batch(
        self,
        arrays: Arrays,
        codes: np.ndarray,
        dtype: type[np.floating] = np.float64,
        weights: np.ndarray | None = None,
    ) -> Batch:
        """Pack the observed rows, standardised; ``codes`` are class indices, -1 where there is no label."""
        inputs, rows = {}, {}
        for m in self.mean:
            shown = np.flatnonzero(observed_rows(arrays[m]))
            packed = np.empty((len(shown), *arrays[m].shape[1:]), dtype)
            done = 0
            for block in _blocks(shown, arrays[m][:1].size):
                standard = self._standard(m, arrays[m][block])
                standard = self.fillings[m].fill(standard) if m in self.fillings else standard
                packed[done : done + len(block)] = np.nan_to_num(standard, copy=False, nan=0.0)
                done += len(block)
            inputs[m], rows[m] = torch.from_numpy(packed), torch.from_numpy(shown)
        source = {m: torch.arange(len(r)) for m, r in rows.items()}
        shares = None if weights is None else torch.from_numpy(weights)
        return Batch(inputs, rows, torch.from_numpy(codes), source, shares)


def _blocks(rows: np.ndarray, size: int | None = None) -> list[np.ndarray]:
    """Return the rows in views of at most about `_BLOCK` numbers: what is computed of one stays in a core's cache."""
    step = max(_BLOCK // max(size or rows[:1].size, 1), 1)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def observed_rows(values: np.ndarray) -> np.ndarray:
    """Return which rows are not NaN throughout; shape (n,), bool."""
    missing = [np.isnan(block.reshape(len(block), -1)).all(1) for block in _blocks(values)]
    return ~np.concatenate([np.empty(0, bool), *missing])


def partial_rows(values: np.ndarray) -> int:
    """Return how many observed rows hold some NaN."""
    return int((np.isnan(values.reshape(len(values), -1)).any(1) & observed_rows(values)).sum())


def filled_share(values: np.ndarray) -> float:
    """Return which share of the numbers in observed rows is NaN, and is filled in."""
    if not len(observed := np.flatnonzero(observed_rows(values))):
        return 0.0
    blanks = sum(int(np.isnan(values[block]).sum()) for block in _blocks(observed, values[:1].size))
    return blanks / (len(observed) * values[:1].size)


def _of_one_type(labels: np.ndarray) -> np.ndarray:
    """Labels in an array of objects, such as those that stand beside None, as an array of their own type."""
    if labels.dtype.kind != "O":
        return labels
    kinds = ((bool, np.bool_), bool), ((int, np.integer), int), ((numbers.Real,), float), ((str,), object)
    for types, dtype in kinds:
        if all(isinstance(label, types) for label in labels):
            return labels.astype(dtype)
    mixed = sorted({type(label).__name__ for label in labels})
    raise InputError(f"the labels mix types, or are of none known ({', '.join(mixed)}): use one, such as str")


def _is_position(column: Any, n: int) -> bool:
    return bool(isinstance(column, (int, np.integer)) and not isinstance(column, bool) and -n <= column < n)
