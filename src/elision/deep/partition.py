"""A partition of a store, with what training from recordings needs of it."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from elision.config import TrainConfig
from elision.data.partition import Partition, Removal
from elision.data.segments import Segments
from elision.data.store import Store
from elision.deep.sampler import strata
from elision.likelihood import log_label_prior


@dataclass(frozen=True, eq=False)
class StorePartition(Partition):
    """The samples of a training from recordings.

    Args:
        store: opened; the other fields are those of a `Partition` of it.
    """

    store: Store

    @classmethod
    def of_store(cls, store: Store, config: TrainConfig) -> "StorePartition":
        """Split a store and remove modalities as the config says.

        Raises:
            InputError: it cannot be split so, or no classifier of all its classes and modalities can be trained.
        """
        removal = Removal(config.missing, config.rate, config.mechanism)
        partition = Partition.of(store, config.seed, config.by_group, removal)
        partition.check()
        return cls(**{f.name: getattr(partition, f.name) for f in fields(Partition)}, store=store)

    @property
    def log_prior(self) -> Tensor:
        """log R_Z of the labelled training samples, shape (K,), float64."""
        return log_label_prior(torch.from_numpy(self.codes[self.train]), len(self.classes))

    @property
    def strata(self) -> np.ndarray:
        """The stratum of each training sample; see `elision.deep.sampler.strata`."""
        observed = np.stack([mask[self.train] for mask in self.observed.values()], axis=1)
        return strata(observed, self.codes[self.train] >= 0)

    def segments(self, samples: np.ndarray) -> Segments:
        """Return all windows of some samples, with what may be seen of them."""
        return Segments(self.store, samples, self.observed)
