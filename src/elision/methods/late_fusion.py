"""Late fusion: one classifier per modality, their log-posteriors added, the prior counted once."""

from collections.abc import Iterator

from torch import Tensor

from elision.batch import Batch
from elision.likelihood import conditional_objective
from elision.methods.base import ADDITIVE, Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class LateFusion(Method):
    """log P(z | x_S) = log P(z) + sum_{m in S} (log P(z | x_m) - log P(z)) + const.

    Each log P(z | x_m) = log_softmax(log P(z) + f_m . h_m(z)) is trained by its own cross-entropy, on the labelled
    samples that show m: alone under concatenation; under addition the modalities share the label embedding h. Their sum
    is the score of zero padding; only what is trained differs.
    """

    claims = Claims(
        summary="Trains one classifier per modality on the samples that have it, and adds their log-posteriors, the "
        "prior counted once: it takes the modalities as independent given the label.",
        source="Product of experts; Kittler et al., On combining classifiers, IEEE TPAMI 20 (1998)",
        refusals={"outer-product": "it adds log-posteriors, which an outer product does not: " + ADDITIVE},
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        self.model = ScoreModel(ingredients)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One: the sum of the modalities' own losses."""
        model = self.model

        def loss(batch: Batch) -> Tensor:
            features = model.encode(batch.inputs)
            total = model.log_prior.new_zeros(())
            for m, rows in batch.rows.items():
                alone = {m: features[m]} | {other: f[:0] for other, f in features.items() if other != m}
                scores = model.fusion.scores(alone, _only(m, batch), len(batch), model.marginals)
                weights = None if batch.weights is None else batch.weights[rows]
                total = total + conditional_objective(
                    scores[rows], model.log_prior, batch.labels[rows], model.across.mean, weights
                )
            return total

        yield Stage("one classifier per modality", list(model.parameters()), train.labelled, loss, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Zero for what is missing: a modality that was not seen says nothing."""
        return self.model.log_posterior(batch)


def _only(modality: str, batch: Batch) -> dict[str, Tensor]:
    return {m: rows if m == modality else rows[:0] for m, rows in batch.rows.items()}
