"""The paper's lower bound: what is learnt from complete samples alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from elision.batch import Batch
from elision.errors import InputError
from elision.likelihood import conditional_objective
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class LowerBound(Method):
    """Eq. (4) on complete labelled samples. R_Z is that of all labelled samples, so no class has probability zero.

    A modality that is missing in prediction is averaged out over the complete samples: the rest was thrown away. What
    comes before a method, standardising and a kernel's landmarks, still looks at all observed rows.
    """

    claims = Claims(
        summary="Learns from complete samples only and throws the others away: what missing data costs if nothing is "
        "done about it.",
        source="Ma, Xu, Huang, Zhang, arXiv 2108.10513, Eq. (4) and Section 4",
        needs_complete="it learns from complete labelled samples alone",
        needs_labels=True,
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        self.model = ScoreModel(ingredients)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """One, over the complete labelled samples."""
        model = self.model
        samples = torch.from_numpy(np.intersect1d(train.complete.cpu(), train.labelled.cpu())).to(train.labels.device)
        if len(samples) == 0:
            raise InputError(
                "lower-bound learns from complete labelled samples, and the training data has none: "
                "use another method, such as mle"
            )
        bank = train.select(samples)

        def loss(batch: Batch) -> Tensor:
            scores = model.fusion.scores(model.encode(batch.inputs), batch.rows, len(batch), model.marginals)
            return conditional_objective(scores, model.log_prior, batch.labels, model.across.mean, batch.weights)

        def settle(exact: bool = True) -> None:
            model.store_marginals(bank.weigh(model.encode_all(bank.inputs)))

        yield Stage("complete samples", list(model.parameters()), samples, loss, self.validate, settle=settle)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4); Eq. (5) over the complete samples where a modality is missing."""
        return self.model.log_posterior(batch)
