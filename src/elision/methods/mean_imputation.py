"""Mean imputation: a missing modality takes the mean of those observed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from elision.batch import Batch
from elision.likelihood import conditional_objective, weighted_mean
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class MeanImputation(Method):
    """Eq. (4) on samples completed by the mean observed training row (behind the encoder's frozen part, if any)."""

    claims = Claims(
        summary="Fills a missing modality with the mean of the training samples that show it (of their kernel "
        "features, under a kernel), then learns as if all were complete: the imputer that most pipelines start with.",
        source="Standard practice; scikit-learn's SimpleImputer",
        needs_features="the mean of many frames is a grey blur that stands for none of them: use zero-padding, or "
        "extract features first",
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        self.model = ScoreModel(ingredients)
        for i in range(len(self.model.modalities)):
            self.register_buffer(f"mean_{i}", None)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One, over the labelled samples."""
        for i, m in enumerate(self.model.modalities):
            x = train.inputs[m]
            weights = None if train.weights is None else train.weights[train.rows[m]].view(-1, *[1] * (x.dim() - 1))
            setattr(self, f"mean_{i}", weighted_mean(x, weights))

        def loss(batch: Batch) -> Tensor:
            scores = self._scores(batch)
            return conditional_objective(scores, self.model.log_prior, batch.labels, weights=batch.weights)

        yield Stage("mean imputation", list(self.model.parameters()), train.labelled, loss, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4) of the completed samples."""
        return torch.log_softmax(self.model.log_prior + self._scores(batch), dim=1)

    def _scores(self, batch: Batch) -> Tensor:
        means = {m: getattr(self, f"mean_{i}") for i, m in enumerate(self.model.modalities)}
        return self.model.scores(batch.fill({m: mean.expand(batch.size, *mean.shape) for m, mean in means.items()}))

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for i in range(len(self.model.modalities)):
            if prefix + f"mean_{i}" in state_dict:
                setattr(self, f"mean_{i}", torch.empty_like(state_dict[prefix + f"mean_{i}"]))
        super()._load_from_state_dict(state_dict, prefix, *args)
