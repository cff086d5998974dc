"""What the likelihood methods share: encoders, a fusion, the label prior, and the banks' marginals once trained."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from elision.bank import Packed, Rows
from elision.batch import Batch
from elision.likelihood import log_posterior
from elision.measuring import Outlook
from elision.methods.base import Ingredients

_ENCODE_ROWS = 1024
REMEMBERED = 10_000
"""Rows of a modality's bank, at most, that a trained model keeps to say what measuring it is worth."""


class ScoreModel(nn.Module):
    """s_S(z) for any pattern S, and the posterior that follows.

    Buffers ``marginal_<i>`` hold what the fusion needs to average modality i out: K numbers for addition and
    concatenation, the bank's features for the outer product. Buffers ``remembered_<i>`` hold what `Fusion.outlook`
    needs of up to 10,000 rows of its bank, K numbers a row under addition. A trained model needs no training data.
    """

    log_prior: Tensor

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        self.modalities = tuple(ingredients.encoders)
        self.encoders = nn.ModuleList(ingredients.encoders.values())
        self.fusion = ingredients.fusion
        self.across = ingredients.across
        self.register_buffer("log_prior", ingredients.log_prior)
        for i in range(len(self.modalities)):
            self.register_buffer(f"marginal_{i}", torch.zeros_like(ingredients.log_prior))
            self.register_buffer(f"remembered_{i}", ingredients.log_prior.new_zeros(0))

    @property
    def marginals(self) -> dict[str, Tensor]:
        """modality -> its stored marginal; zeros, as in zero padding, until `store_marginals` is called."""
        return {m: getattr(self, f"marginal_{i}") for i, m in enumerate(self.modalities)}

    @property
    def remembered(self) -> dict[str, Tensor]:
        """modality -> what is kept of rows of its bank, (N_m, ...); of no rows until `remember` is called."""
        return {m: getattr(self, f"remembered_{i}") for i, m in enumerate(self.modalities)}

    def encode(self, inputs: Packed) -> dict[str, Tensor]:
        """Features of packed rows, (n_m, ...) to (n_m, k); an encoder is not run on no rows."""
        none = self.log_prior.new_zeros(0, self.fusion.n_features)
        return {
            m: f(inputs[m]) if inputs[m].shape[0] else none for m, f in zip(self.modalities, self.encoders, strict=True)
        }

    def encode_all(self, inputs: Mapping[str, Rows]) -> dict[str, Tensor]:
        """Return features of a training set's rows, up to a thousand at a time; in memory or not."""
        none = self.log_prior.new_zeros(0, self.fusion.n_features)
        return {
            m: torch.cat([none, *(f(rows) for rows in inputs[m].split(_ENCODE_ROWS) if len(rows))])
            for m, f in zip(self.modalities, self.encoders, strict=True)
        }

    @torch.no_grad()
    def store_marginals(self, bank: Packed) -> None:
        """Keep the marginals of the banks' features, modality -> (N_m, k)."""
        for i, marginal in enumerate(self.across.marginals(self.fusion, bank).values()):
            setattr(self, f"marginal_{i}", marginal)

    @torch.no_grad()
    def remember(self, bank: Packed) -> None:
        """Keep what `outlook` needs of the banks' features, modality -> (N_m, k), of a fixed random part of many.

        Where several processes train together, each has its share of all that is kept.
        """
        for i, (m, features) in enumerate(bank.items()):
            total = self.across.total(len(features))
            most = len(features) * min(REMEMBERED, total) // max(total, 1)
            order = torch.randperm(len(features), generator=torch.Generator().manual_seed(i))
            kept = features[order[:most].sort().values.to(features.device)]
            rows = self.across.rows(self.fusion.remember({m: kept})[m])
            setattr(self, f"remembered_{i}", torch.cat(rows))

    def outlook(self, batch: Batch, measured: Packed) -> Outlook:
        """Return Q(y, z | x_S), y running over remembered rows of modalities that all samples lack."""
        features = self.encode(batch.inputs)
        return self.fusion.outlook(features, batch.rows, len(batch), self.marginals, self.log_prior, measured)

    def scores(self, batch: Batch) -> Tensor:
        """s_S(z) with the stored marginals, shape (n, K)."""
        return self.fusion.scores(self.encode(batch.inputs), batch.rows, batch.size, self.marginals)

    def log_posterior(self, batch: Batch) -> Tensor:
        """log Q(z | x_S) with the stored marginals, shape (n, K)."""
        return log_posterior(self.scores(batch), self.log_prior)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        indices = range(len(self.modalities))
        for name in [f"{kept}_{i}" for kept in ("marginal", "remembered") for i in indices]:
            if prefix + name in state_dict:  # a stored bank has as many rows as its training set had
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args)
