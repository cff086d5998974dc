"""A data set as methods see it: arrays with NaN for what is missing, labels, and what a split must respect."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from elision.alignment import frame_numbers
from elision.categories import Levels, learn_categories, one_hot
from elision.files import sha256_of
from elision.inputs import observed_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Dataset:
    """Samples of several modalities.

    Args:
        name: for tables and figures.
        arrays: modality -> numbers, or places among ``levels``, shape (n, ...); a row of NaN alone is missing.
        labels: class names; "" where there is no label; shape (n,), str.
        groups: samples of one group stay together in a split, shape (n,), or None.
        parts: "train", "val" or "test" where the split is given, shape (n,), or None.
        ids: a name of each sample, shape (n,), str; None numbers them from 1.
        columns: modality -> a name of each of its numbers; None makes them of the modality and their positions.
        levels: column of categories -> their names.
        weights: how many samples each one counts as in training, 0 or more, shape (n,); None counts each as one.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray
    groups: np.ndarray | None = None
    parts: np.ndarray | None = None
    ids: np.ndarray | None = None
    columns: Mapping[str, Sequence[str]] | None = None
    levels: Mapping[str, Levels] = field(default_factory=dict)
    weights: np.ndarray | None = None

    def weights_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the weights of some samples, or None where each counts as one."""
        return None if self.weights is None else self.weights[rows]

    @property
    def observed(self) -> dict[str, np.ndarray]:
        """modality -> which samples show it, shape (n,), bool."""
        return {m: observed_rows(a) for m, a in self.arrays.items()}

    @property
    def is_complete(self) -> bool:
        """True if every sample shows every modality."""
        return all(mask.all() for mask in self.observed.values())

    @property
    def classes(self) -> np.ndarray:
        """The distinct labels, sorted."""
        return np.unique(self.labels[self.labels != ""])

    @property
    def codes(self) -> np.ndarray:
        """Index of each label in `classes`, -1 where there is none; shape (n,)."""
        return np.where(self.labels == "", -1, np.searchsorted(self.classes, self.labels))

    def frame(self, observed: Mapping[str, np.ndarray] | None = None) -> "pd.DataFrame":
        """Return numbers and categories as one table, its index the ids; NaN where ``observed`` hides a modality.

        Args:
            observed: modality -> which samples may show it, shape (n,); None hides nothing.
        """
        import pandas as pd

        names = np.arange(1, len(self.labels) + 1).astype(str) if self.ids is None else self.ids
        blocks = []
        for m, values in self.arrays.items():
            flat = values.reshape(len(values), -1)
            shown = flat if observed is None else np.where(observed[m][:, None], flat, np.nan)
            blocks.append(pd.DataFrame(shown, index=names, columns=self.named_columns[m]))
        table = pd.concat(blocks, axis=1)
        for column, levels in self.levels.items():
            codes = table[column].fillna(-1).astype(int)
            table[column] = pd.Categorical.from_codes(codes, list(levels.values), ordered=levels.ordered)
        return table

    def encoded(self, rows: np.ndarray, observed: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Return arrays of numbers alone: categories as some rows show them, one column each, others missing.

        Args:
            rows: positions of the training samples.
            observed: modality -> which samples may show it there, shape (n,); None hides nothing.
        """
        if not self.levels:
            return dict(self.arrays)
        known, names, table = learn_categories(self.frame(observed).iloc[rows]), self.named_columns, self.frame()
        return {
            m: one_hot(frame_numbers(table[names[m]], m, known), [known.get(c) for c in names[m]]) for m in self.arrays
        }

    @property
    def named_columns(self) -> dict[str, list[str]]:
        """modality -> the columns of `frame` that are its numbers."""
        if self.columns is not None:
            return {m: list(names) for m, names in self.columns.items()}
        sizes = {m: a.reshape(len(a), -1).shape[1] for m, a in self.arrays.items()}
        return {m: [f"{m}.{i}" for i in range(size)] for m, size in sizes.items()}

    def features(self) -> Mapping[str, np.ndarray]:
        """Return the numbers of each sample by modality, categories as one column each."""
        return self.encoded(np.arange(len(self.labels)))

    def fingerprint(self) -> str:
        """Return a hash of all content, to tell results of one data set from those of another."""
        content = [repr(sorted(self.levels.items())).encode()] if self.levels else []
        for m, values in self.arrays.items():
            content += [f"{m}{values.shape}".encode(), np.ascontiguousarray(values, dtype=np.float64).tobytes()]
        for column in (self.labels, self.groups, self.parts, *(() if self.weights is None else (self.weights,))):
            content.append(repr(None if column is None else column.tolist()).encode())
        return sha256_of(b"".join(content))[:16]


def pattern_counts(observed: Mapping[str, np.ndarray]) -> dict[tuple[str, ...], int]:
    """Return how many samples show just these modalities, the most frequent first; ``observed``: of each, (n,) bool."""
    rows = zip(*observed.values(), strict=True)
    counts = Counter(tuple(m for m, shown in zip(observed, row, strict=True) if shown) for row in rows)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
