"""What every call of an estimator does with X: a dict of arrays or a table becomes one array per modality."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from elision.alignment import (
    Splittable,
    as_frame,
    by_name,
    check_rows,
    frame_numbers,
    holds_texts,
    known_columns,
    unnamed_frame,
)
from elision.categories import Categories, learn_categories, one_hot, tell_unseen
from elision.errors import InputError, check_choice, quoted, warn
from elision.inputs import check_finite, observed_rows, read_arrays, resolve_columns


class ReadsModalities:
    """A mixin that reads X by what the first X showed: modalities, shapes, names of columns, categories.

    The estimator has the parameter ``modalities``, and learns `unseen_modalities_` itself.
    """

    modalities: Mapping[str, Any] | None
    modalities_: tuple[str, ...]
    unseen_modalities_: tuple[str, ...]
    categories_: dict[str, Categories]
    _columns: dict[str, Sequence[Hashable]]
    _shapes: dict[str, tuple[int, ...]]

    def _read(self, X: Any, reset: bool) -> dict[str, np.ndarray]:
        """X as one array per modality; ``reset`` learns the modalities and shapes, else they are checked."""
        X = X.arrays if isinstance(X, Splittable) else as_frame(X, "X")
        if not isinstance(X, dict):
            return self._read_table(X, reset)
        if self.modalities is not None:
            raise InputError(
                "X is a dict, and modalities says which columns of a table belong together: leave modalities out"
                if reset
                else "X is a dict, and the model was fitted on a table: give a table with the columns that are known"
            )
        X = {m: as_frame(values, f"modality {m!r}") for m, values in X.items()}
        check_rows({f"modality {m!r}": values for m, values in X.items()})
        frames = {m: values for m, values in X.items() if isinstance(values, pd.DataFrame)}
        if reset:
            for name in ("n_features_in_", "feature_names_in_"):
                vars(self).pop(name, None)
            self._columns = {m: list(frame.columns) for m, frame in frames.items()}
            self.categories_ = {}
        else:
            known = {m: self._columns[m] for m in frames if m in self._columns}
            X = X | {m: by_name(frames[m], names, f"modality {m!r}") for m, names in known.items()}
        arrays = read_arrays({m: self._numbers(m, values, reset) for m, values in X.items()})
        return self._complete(arrays, reset)

    def _numbers(self, m: str, values: Any, reset: bool) -> Any:
        """Return the numbers of a modality whose columns have kinds, one column per category; others as they are."""
        known = {} if reset else self.categories_.get(m, {})
        if not isinstance(values, pd.DataFrame):
            if not (known or holds_texts(values)):
                return values
            values = unnamed_frame(values, self._columns.get(m, ()))
        if reset:
            self.categories_[m] = known = learn_categories(values)
        codes = self._codes(values, known, f"modality {m!r}", reset)
        return one_hot(codes, [known.get(c) for c in values.columns])

    def _codes(self, frame: pd.DataFrame, categories: Categories, where: str, reset: bool) -> np.ndarray:
        """Return a frame's numbers and codes, shape (n, d); values that training did not show are said."""
        codes = frame_numbers(frame, where, categories, trained=not reset)
        unseen = tell_unseen(frame, categories, where)
        if unseen:
            warn(unseen)
        return codes

    def _read_table(self, X: Any, reset: bool) -> dict[str, np.ndarray]:
        if not reset and not hasattr(self, "n_features_in_"):
            raise InputError(
                f"X is a {type(X).__name__}, and the model was fitted on a dict of arrays: "
                f"give a dict, such as {dict.fromkeys(self.modalities_, '...')}"
            )
        if reset:
            self._columns = {}
        known = {} if reset else {name: own for held in self.categories_.values() for name, own in held.items()}
        frame, named = X, isinstance(X, pd.DataFrame)
        if named and self.modalities is not None and (reset or self._columns):
            frame = self._named_table(X, reset)
        elif named and not any(isinstance(name, str) for name in X.columns):
            frame = X.set_axis(range(X.shape[1]), axis=1)
        elif not named and (known or holds_texts(X)):
            frame = unnamed_frame(X, () if reset else vars(self).get("feature_names_in_", ()))
        elif not named and getattr(X, "dtype", np.dtype(float)).kind in "mM":
            raise InputError("X holds dates: expected numbers, such as days since a date")
        if isinstance(frame, pd.DataFrame):
            known = learn_categories(frame) if reset else known
            values = self._codes(frame, known, "X", reset)
            frame = pd.DataFrame(values, index=frame.index, columns=frame.columns) if named else values
        table = np.asarray(validate_data(self, frame, reset=reset, dtype=np.float64, ensure_all_finite=False))
        names: list[Any] = list(getattr(self, "feature_names_in_", range(table.shape[1])))
        check_finite(table, "X", names)
        if self._columns:
            place = {name: i for i, name in enumerate(names)}
            columns = {m: np.array([place[str(c)] for c in own]) for m, own in self._columns.items()}
        else:
            columns = resolve_columns(self.modalities, names)
        own_names = {m: np.array(names, dtype=object)[c].tolist() for m, c in columns.items()}
        if reset:
            used = set().union(*(self._columns or columns).values())
            self._tell_unused([c for c in (X.columns if self._columns else range(len(names))) if c not in used], names)
        arrays = {m: one_hot(table[:, c], [known.get(name) for name in own_names[m]]) for m, c in columns.items()}
        if reset:
            self.categories_ = {m: {c: known[c] for c in own if c in known} for m, own in own_names.items()}
        return self._complete(arrays, reset)

    def _tell_unused(self, unused: Sequence[Hashable], names: Sequence[Any]) -> None:
        """Say what may be a mistake in ``modalities``: columns that it does not name, or that it was forgotten."""
        if self.modalities is None and len(names) > 1:
            warn(
                f"modalities is not given, so that the {len(names)} columns of X are one modality: say which belong "
                "together, modalities={name: columns}; {'x': slice(None)} if they all do"
            )
        elif unused:
            warn(f"X has columns that modalities does not name, left out: {quoted(unused, 8)}")

    def _named_table(self, X: pd.DataFrame, reset: bool) -> pd.DataFrame:
        """Return the columns of a frame that the modalities name, in the order of the training table, names as text.

        ``reset`` learns which they are.
        """
        if reset:
            positions = resolve_columns(self.modalities, list(X.columns), unnamed=False)
            self._columns = {m: X.columns[chosen].tolist() for m, chosen in positions.items()}
        texts = {name: str(name) for names in self._columns.values() for name in names}
        if len(set(texts.values())) < len(texts):
            raise InputError("X has columns whose names differ by type alone, such as 1 and '1': rename them")
        if reset:
            wanted = pd.DataFrame(X[[name for name in X.columns if name in texts]])
        else:
            named = {text: name for name, text in texts.items()}
            wanted = known_columns(X, self._columns)[[named[text] for text in vars(self)["feature_names_in_"]]]
        return wanted.set_axis([texts[c] for c in wanted.columns], axis=1)

    def _complete(self, arrays: dict[str, np.ndarray], reset: bool) -> dict[str, np.ndarray]:
        """The known modalities in order, those that are not there missing everywhere; ``reset`` learns which."""
        if reset:
            self.modalities_ = tuple(arrays)
            self._shapes = {m: a.shape[1:] for m, a in arrays.items()}
        n_samples = len(next(iter(arrays.values())))
        unseen = () if reset else self.unseen_modalities_
        shown = [m for m in unseen if m in arrays and observed_rows(arrays[m]).any()]
        if shown:
            warn(f"no training sample showed {named_modalities(shown)}: it is ignored")
        for m, values in ((m, values) for m, values in arrays.items() if m not in unseen):
            check_choice("modality", m, self.modalities_)
            if values.shape[1:] != self._shapes[m]:
                raise InputError(
                    f"modality {m!r} has rows of shape {values.shape[1:]}: expected {self._shapes[m]}, as in training"
                )
        return {m: arrays.get(m, np.broadcast_to(np.nan, (n_samples, *self._shapes[m]))) for m in self.modalities_}


def named_modalities(names: Sequence[str]) -> str:
    """Return names for a message: "modality 'a'", or "modalities 'a', 'b'"."""
    return f"modalit{'ies' if len(names) > 1 else 'y'} {', '.join(map(repr, names))}"
