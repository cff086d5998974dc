"""The nearest package: iMML's classifiers for tabular modalities, `M3Care` and `MUSE` (imml on PyPI).

iMML gives Lightning modules without a validation loss, so the loop is here: Adam, batches of 64, up to 150 epochs, the
epoch with the best validation NLL, stopping after 12 without gain (with 30 and 6, MUSE was far from learnt). A missing
row goes in as zeros with its indicator set: with NaN in it MUSE's loss is NaN.
"""

import copy
import math

import numpy as np
import torch

from benchmarks.rivals import log_floored
from elision.evaluation import evaluate
from elision.inputs import Arrays, Samples, Standardizer
from elision.study.on_arrays import Parts

EPOCHS, BATCH, PATIENCE = 150, 64, 12


class IMML:
    """One of iMML's two tabular classifiers."""

    def __init__(self, name: str, learning_rate: float, seed: int) -> None:
        self.name, self.learning_rate, self.seed = name, learning_rate, seed

    def fit(self, parts: Parts) -> None:
        """Train, and keep the epoch of the best validation NLL."""
        torch.manual_seed(self.seed)
        self.standardizer = Standardizer.fit(parts.train.arrays)
        self.n_classes = len(parts.classes)
        known = np.flatnonzero(parts.train.codes >= 0)
        train = parts.train.take(known)
        self.model = self._build([a.shape[1] for a in train.arrays.values()])
        adam = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        best, state = math.inf, None
        for epoch in range(EPOCHS):
            self.model.train()
            for rows in torch.randperm(len(known)).split(BATCH):
                if len(rows) < 2:
                    continue
                adam.zero_grad()
                loss = self.model.training_step(self._batch(train.take(rows.numpy())))
                loss.backward()
                adam.step()
            logs = self.predict_log_proba(parts.validation.arrays)
            nll = evaluate(logs, parts.validation.codes).nll
            if nll < best:
                best, state, kept = nll, copy.deepcopy(self.model.state_dict()), epoch
            if state is not None and epoch - kept >= PATIENCE:
                break
        if state is None:
            raise FloatingPointError(f"imml's {self.name} predicted NaN in every epoch")
        self.model.load_state_dict(state)

    @torch.no_grad()
    def predict_log_proba(self, arrays: Arrays) -> np.ndarray:
        """All samples in one batch: both models compare the samples of a batch with each other."""
        self.model.eval()
        n = len(next(iter(arrays.values())))
        full = {m: arrays.get(m, np.broadcast_to(np.nan, (n, len(mean)))) for m, mean in self.standardizer.mean.items()}
        probabilities = self.model.predict_step(self._batch(Samples(full, np.zeros(n, dtype=int))))
        return log_floored(probabilities.double().numpy(), np.arange(self.n_classes), self.n_classes)

    def _build(self, widths: list[int]) -> torch.nn.Module:
        from imml.classify import MUSE, M3Care

        common = {"input_dim": widths, "modalities": ["tabular"] * len(widths), "output_dim": self.n_classes}
        return M3Care(vocab=[None], **common) if self.name == "M3Care" else MUSE(**common)

    def _batch(self, samples: Samples) -> tuple:
        batch = self.standardizer.batch(samples.arrays, samples.codes).to("cpu", torch.float32)
        rows = [torch.zeros(len(batch), x.shape[1]).index_copy(0, batch.rows[m], x) for m, x in batch.inputs.items()]
        if self.name == "M3Care":
            return rows, batch.labels, batch.observed
        return rows, batch.labels, ~batch.observed, torch.ones(len(batch), dtype=torch.bool)
