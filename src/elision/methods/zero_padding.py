"""Zero padding: a missing modality contributes features of zero."""

from collections.abc import Iterator

from torch import Tensor

from elision.batch import Batch
from elision.likelihood import conditional_objective
from elision.methods.base import ADDITIVE, Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class ZeroPadding(Method):
    """The closed form of addition and concatenation with every c_m(z) = 0."""

    claims = Claims(
        summary="Puts zeros in the place of missing features and learns from all labelled samples: simple, and "
        "ignorant of how often each class shows the missing modality's features.",
        source="Ma, Xu, Huang, Zhang, arXiv 2108.10513, Section 4",
        refusals={
            "outer-product": "an outer product with a zero vector is zero, so the observed modality would be lost too: "
            + ADDITIVE
        },
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        self.model = ScoreModel(ingredients)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One, over the labelled samples."""
        model = self.model

        def loss(batch: Batch) -> Tensor:
            scores = model.scores(batch)
            return conditional_objective(scores, model.log_prior, batch.labels, model.across.mean, batch.weights)

        yield Stage("zero padding", list(model.parameters()), train.labelled, loss, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4) with zeros for the features of what is missing."""
        return self.model.log_posterior(batch)
