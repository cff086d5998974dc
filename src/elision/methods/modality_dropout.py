"""Modality dropout: a learnt token in the place of what is missing, and of what is dropped to practise."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elision.batch import Batch
from elision.errors import InputError
from elision.likelihood import conditional_objective
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class ModalityDropout(Method):
    """Eq. (4) with a learnt token t_m in R^k for the features of a missing modality.

    In training each observed modality is dropped with probability ``rate`` as well, unless a sample would lose all.
    """

    claims = Claims(
        summary="Puts a learnt token in the place of missing features, and drops modalities at random in training so "
        "that the classifier gets used to it.",
        source="Neverova et al., ModDrop, IEEE TPAMI 38 (2016), with learnt tokens as in later transformers",
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients, rate: float = 0.3) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise InputError(f"rate of modality-dropout is {rate}: expected a probability in [0, 1)")
        self.rate = rate
        self.model = ScoreModel(ingredients)
        k = self.model.fusion.n_features
        self.tokens = nn.Parameter(torch.randn(len(self.model.modalities), k) / k**0.5)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One, over the labelled samples."""

        def loss(batch: Batch) -> Tensor:
            dropped = torch.rand(batch.observed.shape, device=batch.labels.device) < self.rate
            shown = batch.observed & ~dropped
            shown = torch.where(shown.any(1, keepdim=True), shown, batch.observed)
            scores, mean = self._scores(batch, shown), self.model.across.mean
            return conditional_objective(scores, self.model.log_prior, batch.labels, mean, batch.weights)

        yield Stage("modality dropout", list(self.parameters()), train.labelled, loss, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4), tokens for what is missing."""
        return torch.log_softmax(self.model.log_prior + self._scores(batch, batch.observed), dim=1)

    def _scores(self, batch: Batch, shown: Tensor) -> Tensor:
        """Scores with tokens wherever a modality is not ``shown``, (n, M)."""
        n = batch.size
        features = {}
        encoded = self.model.encode(batch.inputs)
        for i, (m, token) in enumerate(zip(self.model.modalities, self.tokens, strict=True)):
            dense = token.expand(n, -1).index_copy(0, batch.rows[m], encoded[m])
            features[m] = torch.where(shown[:, i, None], dense, token)
        rows = dict.fromkeys(features, torch.arange(n, device=batch.labels.device))
        return self.model.fusion.scores(features, rows, n, self.model.marginals)
