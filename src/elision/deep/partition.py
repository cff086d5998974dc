"""Which samples of a store a training learns from, stops by and is judged on, and what it may see of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from elision.config import NONE, TrainConfig
from elision.data.missing import MECHANISMS, remove
from elision.data.pooled import pooled
from elision.data.segments import Segments
from elision.data.splits import PARTS, split
from elision.data.store import Store
from elision.deep.sampler import strata
from elision.errors import InputError
from elision.likelihood import log_label_prior

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Partition:
    """The samples of a training, after the split and after modalities were removed from its training part.

    Args:
        store: opened.
        train: training samples, labelled or not; indices into the store.
        validation: labelled samples, as the data has them.
        test: likewise.
        observed: modality -> which of the store's samples show it, shape (len(store),): fewer than the store's own in
            the training part.
    """

    store: Store
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    observed: Masks

    @classmethod
    def of(cls, store: Store, config: TrainConfig) -> "Partition":
        """Split and remove, keyed on the seed alone: the same for every method and on every process."""
        codes, parts = store.codes, store.parts
        if parts is None:
            if config.by_group and store.groups is None:
                raise InputError(f"{store.address} names no groups: train without by_group")
            parts = split(codes, store.groups if config.by_group else None, config.seed, store.classes)
        kept = (codes >= 0) | (parts == "train")
        train, validation, test = (np.flatnonzero((parts == part) & kept) for part in PARTS)
        observed = {m: mask.copy() for m, mask in store.observed.items()}
        if config.missing != NONE:
            shown = {m: mask[train] for m, mask in observed.items()}
            arrays = {} if config.mechanism == "mcar" else {m: a[train] for m, a in pooled(store).arrays.items()}
            drive = MECHANISMS[config.mechanism](arrays, config.missing, config.seed)
            lost = remove(shown, config.missing, config.rate, config.seed, drive)
            for m, mask in lost.items():
                observed[m][train] = mask
        result = cls(store, train, validation, test, observed)
        result._check()
        return result

    @property
    def log_prior(self) -> Tensor:
        """log R_Z of the labelled training samples, shape (K,), float64."""
        return log_label_prior(torch.from_numpy(self.store.codes[self.train]), len(self.store.classes))

    @property
    def strata(self) -> np.ndarray:
        """Of each training sample; see `elision.deep.sampler.strata`."""
        observed = np.stack([mask[self.train] for mask in self.observed.values()], axis=1)
        return strata(observed, self.store.codes[self.train] >= 0)

    def segments(self, samples: np.ndarray) -> Segments:
        """All windows of some samples, with what may be seen of them."""
        return Segments(self.store, samples, self.observed)

    def counts(self) -> dict[str, int]:
        """For the record: samples in each part, and how many training samples are complete."""
        complete = np.logical_and.reduce([mask[self.train] for mask in self.observed.values()])
        sizes = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: len(samples) for name, samples in sizes.items()} | {"complete": int(complete.sum())}

    def _check(self) -> None:
        classes = self.store.classes
        if len(classes) < 2:
            raise InputError(f"{self.store.address} shows {len(classes)} class(es): expected at least two")
        trained = np.unique(self.store.codes[self.train])
        untrained = np.setdiff1d(np.arange(len(classes)), trained)
        if len(untrained):
            raise InputError(
                f"class {str(classes[untrained[0]])!r} has no labelled training sample: add some, or remove it"
            )
        for name, samples in (("validation", self.validation), ("test", self.test)):
            if not len(samples):
                raise InputError(f"no labelled sample is left for {name}: expected some")
        for m, mask in self.observed.items():
            if not mask[self.train].any():
                raise InputError(f"no training sample shows modality {m!r}: remove it, or lower the rate")
