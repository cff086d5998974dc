"""Which samples a run learns from, stops by and is judged on, and what it may see of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from elision.data.missing import LABELS, NONE, hide_labels, remove
from elision.data.splits import PARTS, split
from elision.errors import InputError
from elision.likelihood import UNLABELLED
from elision.registries import MECHANISMS

if TYPE_CHECKING:
    from elision.data.dataset import Dataset
    from elision.data.store import Store


@dataclass(frozen=True)
class Removal:
    """Say what is taken away from training samples before anything is learnt.

    Args:
        missing: the modality to remove, "any" (a random part of what a sample shows), "none", or "labels": then the
            training and validation samples are one part, of which a share loses its labels.
        rate: share of the training samples that lose it, in [0, 1].
        mechanism: which of them, a name in `MECHANISMS`.
    """

    missing: str = NONE
    rate: float = 0.0
    mechanism: str = "mcar"


@dataclass(frozen=True, eq=False)
class Partition:
    """The samples of a run, after the split and after modalities were removed from the training part.

    Args:
        codes: class index of each sample of the data, -1 where there is no label; shape (n,).
        classes: names of the class indices; shape (K,).
        train: training samples, labelled or not; indices, increasing.
        validation: labelled samples, as the data has them.
        test: likewise.
        observed: modality -> which of the data's samples show it, shape (n,): fewer than the data's own in the
            training part.
        split: what decided who is in which part, for people.
    """

    codes: np.ndarray
    classes: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    observed: Mapping[str, np.ndarray]
    split: str

    @classmethod
    def of(
        cls, data: "Dataset | Store", seed: int, by_group: bool | None = None, removal: Removal = Removal()
    ) -> "Partition":
        """Split and remove, keyed on the seed alone: the same for every method and in every process.

        Groups are kept together if ``by_group``, and with None where the data names some.

        Raises:
            InputError: the data cannot be split so, or has no such modality.
        """
        codes, parts, how = data.codes, data.parts, "as the data says"
        if parts is None:
            if by_group and data.groups is None:
                raise InputError(f"{data.name} names no groups, such as speakers: split it sample by sample")
            groups = None if by_group is False else data.groups
            parts = split(codes, groups, seed, data.classes.tolist())
            how = "sample by sample" if groups is None else "by whole groups"
        observed = {m: mask.copy() for m, mask in data.observed.items()}
        of_labels = removal.missing == LABELS and LABELS not in observed
        if of_labels:
            held = parts == "test"
            parts = np.where(held, parts, "train")
            codes = np.where(held, codes, hide_labels(np.where(held, UNLABELLED, codes), removal.rate, seed))
        kept = (codes != UNLABELLED) | (parts == "train")
        train, validation, test = (np.flatnonzero((parts == part) & kept) for part in PARTS)
        if removal.missing != NONE and not of_labels:
            shown = {m: mask[train] for m, mask in observed.items()}
            looked_at = {} if removal.mechanism == "mcar" else {m: a[train] for m, a in data.features().items()}
            drive = MECHANISMS[removal.mechanism](looked_at, codes[train], removal.missing, seed)
            for m, mask in remove(shown, removal.missing, removal.rate, seed, drive).items():
                observed[m][train] = mask
        return cls(codes, data.classes, train, validation, test, observed, how)

    @cached_property
    def complete(self) -> np.ndarray:
        """Which training samples show every modality; shape (len(train),), bool."""
        return np.logical_and.reduce([mask[self.train] for mask in self.observed.values()])

    def counts(self) -> dict[str, int]:
        """Return how many samples are in each part, and how many training samples are complete."""
        sizes = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: len(samples) for name, samples in sizes.items()} | {"complete": int(self.complete.sum())}

    def training_counts(self) -> dict[str, Any]:
        """Return of the training part: "classes" and "modalities", each name -> samples; "unlabelled"; its "split"."""
        codes = self.codes[self.train]
        numbers = np.bincount(codes[codes != UNLABELLED], minlength=len(self.classes)).tolist()
        return {
            "classes": dict(zip(map(str, self.classes), numbers, strict=True)),
            "modalities": {m: int(mask[self.train].sum()) for m, mask in self.observed.items()},
            "unlabelled": int((codes == UNLABELLED).sum()),
            "split": self.split,
        }

    def check(self, validated: bool = True) -> None:
        """Raise `InputError` unless a classifier of all classes and modalities can be trained and judged on it.

        Args:
            validated: whether a validation part is needed.
        """
        if len(self.classes) < 2:
            raise InputError(f"the data shows {len(self.classes)} class(es): expected at least two")
        untrained = np.setdiff1d(np.arange(len(self.classes)), self.codes[self.train])
        if len(untrained):
            raise InputError(
                f"class {str(self.classes[untrained[0]])!r} has no labelled training sample in this split: add samples "
                "of it, or remove it"
            )
        for name, samples in (("validation", self.validation), ("test", self.test)):
            if not len(samples) and (validated or name == "test"):
                raise InputError(f"no labelled sample is left for {name}: expected some")
        for m, mask in self.observed.items():
            if not mask[self.train].any():
                raise InputError(f"no training sample shows modality {m!r}: remove it, or lower the rate")
