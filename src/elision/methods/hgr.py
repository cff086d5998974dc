"""Soft-HGR maximal correlation: features of the modalities and of the label that go together."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import sqrt

import torch
from torch import Tensor, nn

from elision.bank import Packed
from elision.batch import Batch
from elision.correlation import soft_hgr
from elision.errors import InputError, check_choice
from elision.likelihood import UNLABELLED, conditional_objective
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel

_FLOOR = 1e-6


class HGR(Method):
    """Correlates what each sample shows: every two of its modalities, and each of them with its label.

    loss = - sum over pairs of modalities of L(f_m, f_m')  - sum over modalities of L(f_m, e),
    each L over all samples that show both of its sides; e(z) in R^k is a label embedding of its own.

    The paper does not say how it then classifies. With ``rule="cross-entropy"`` the loss has a second term, the
    cross-entropy of phi(f) . h(z) on complete labelled samples, Eq. (4); a modality that is missing in prediction is
    averaged out over its bank. With ``rule="correlation"`` nothing is added, and
    P(z | x_S) is proportional to P(z) (1 + sum_{m in S} f_m . e(z)), features and embedding centred, floored at 1e-6.
    """

    claims = Claims(
        summary="Learns features of the modalities, and of the label, that are maximally correlated on whatever pairs "
        "a sample shows; complete samples also train the classifier.",
        source="L. Wang et al., AAAI 2019, arXiv 1811.08979, as a baseline of Ma et al., arXiv 2108.10513, Section 4",
        needs_complete="the classifier learns from complete labelled samples",
        unweighted="a correlation of weighted samples is not in the paper, and not defined here",
        needs_labels=True,
    )

    means: Tensor

    def __init__(self, ingredients: Ingredients, rule: str = "cross-entropy") -> None:
        super().__init__()
        check_choice("rule of hgr", rule, ("cross-entropy", "correlation"))
        self.by_correlation = rule == "correlation"
        self.model = ScoreModel(ingredients)
        n_classes, k = len(ingredients.log_prior), self.model.fusion.n_features
        self.label_features = nn.Parameter(torch.randn(n_classes, k) / sqrt(k))
        self.register_buffer("means", torch.zeros(len(self.model.modalities), k))

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One, over all samples."""
        model = self.model
        if not self.by_correlation and not (train.labels[train.complete] != UNLABELLED).any():
            raise InputError(
                "hgr trains its classifier on complete labelled samples, and there are none: "
                "use another method, or the option rule='correlation'"
            )

        def loss(batch: Batch) -> Tensor:
            batch = model.across.gather(replace(batch, inputs=model.encode(batch.inputs)))
            features = batch.inputs
            value = -self._correlation(features, batch)
            if self.by_correlation:
                return model.across.tie(value, features)
            complete = batch.complete
            shown = {m: f[batch.positions[m][complete]] for m, f in features.items()}
            rows = dict.fromkeys(shown, torch.arange(len(complete), device=complete.device))
            scores = model.fusion.scores(shown, rows, len(complete), model.marginals)
            value = value + conditional_objective(scores, model.log_prior, batch.labels[complete])
            return model.across.tie(value, features)

        parameters = [*model.encoders.parameters(), self.label_features]
        parameters += [] if self.by_correlation else [*model.fusion.parameters()]
        everything = torch.arange(len(train), device=train.labels.device)

        def settle(exact: bool = True) -> None:
            bank = model.encode_all(train.inputs)
            model.store_marginals(bank)
            for i, features in enumerate(bank.values()):
                self.means[i] = model.across.mean(features)

        yield Stage("correlation", parameters, everything, loss, self.validate, settle=settle)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Return log-posteriors by the rule chosen; shape (n, K)."""
        if not self.by_correlation:
            return self.model.log_posterior(batch)
        embedding = self.label_features - self.model.log_prior.exp() @ self.label_features
        features = self.model.encode(batch.inputs)
        correlation = torch.zeros(batch.size, len(embedding)).to(embedding)
        for m, mean in zip(self.model.modalities, self.means, strict=True):
            correlation = correlation.index_add(0, batch.rows[m], (features[m] - mean) @ embedding.T)
        ratio = (1 + correlation).clamp(min=_FLOOR)
        return torch.log_softmax(self.model.log_prior + ratio.log(), dim=1)

    def _correlation(self, features: Packed, batch: Batch) -> Tensor:
        total = self.label_features.new_zeros(())
        for a, b in combinations(self.model.modalities, 2):
            both = ((batch.positions[a] >= 0) & (batch.positions[b] >= 0)).nonzero().squeeze(1)
            total = total + soft_hgr(features[a][batch.positions[a][both]], features[b][batch.positions[b][both]])
        for m in self.model.modalities:
            labels = batch.labels[batch.rows[m]]
            known = labels != UNLABELLED
            total = total + soft_hgr(features[m][known], self.label_features[labels[known]])
        return total
