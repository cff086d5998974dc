"""Maximum likelihood over everything that was observed: the method of the paper, and its joint extension."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from elision.bank import BANKS, Packed
from elision.batch import Batch
from elision.errors import InputError, check_choice
from elision.likelihood import conditional_objective, joint_objective, log_evidence
from elision.measuring import Outlook
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel


class MaximumLikelihood(Method):
    """A missing modality is averaged out over its bank, in training as in prediction.

    conditional, Eq. (2):  - mean over labelled samples of log Q(z | x_S)
    joint:                 the same - mean over all samples of the evidence of x_S

    The bank of a modality is every training sample that shows it; with ``bank_of="complete"`` only those that show
    all modalities, the narrower reading of the paper's "query all possible values of modality y on D_XYZ".
    """

    claims = Claims(
        summary="Fits one likelihood to everything observed: a missing modality is averaged out over the training "
        "samples that show it. The joint objective also explains the inputs, and learns from unlabelled samples.",
        source="Ma, Xu, Huang, Zhang, arXiv 2108.10513, Eq. (2)-(5); the joint objective goes beyond the paper",
        objectives=("joint", "conditional"),
        beside=("modality-dropout",),
        unweighted="",
    )

    def __init__(self, ingredients: Ingredients, bank_of: str = "all") -> None:
        super().__init__()
        check_choice("bank_of of mle", bank_of, ("all", "complete"))
        if bank_of == "complete" and ingredients.bank == "batch":
            raise InputError(
                "bank_of='complete' with bank='batch': a mini-batch may hold no complete sample; use 'exact'"
            )
        self.of_complete = bank_of == "complete"
        self.model = ScoreModel(ingredients)
        self.joint = ingredients.objective == "joint"
        self.bank = ingredients.bank

    def stages(self, train: Batch) -> Iterator[Stage]:
        """Yield one stage. Samples without a label count in the joint objective, and keep a remembered bank fresh."""
        model, across = self.model, self.model.across
        estimate = BANKS[self.bank](model.encode_all, train.inputs, scaled=self.joint, total=across.total)
        drawn_from = self._bank_of(train)

        def loss(batch: Batch) -> Tensor:
            features, bank, rows = estimate(model.encode, batch.inputs, batch.source)
            marginals = across.marginals(model.fusion, drawn_from(bank, rows))
            scores = model.fusion.scores(features, batch.rows, len(batch), marginals)
            if self.joint:
                empty = model.fusion.empty_scores(marginals)
                value = joint_objective(scores, empty, model.log_prior, batch.labels, across.mean, batch.weights)
            else:
                value = conditional_objective(scores, model.log_prior, batch.labels, across.mean, batch.weights)
            return across.tie(value, marginals)

        everything = torch.arange(len(train), device=train.labels.device)
        samples = everything if self.joint or self.bank == "bank" else train.labelled

        def settle(exact: bool = True) -> None:
            remembered = estimate.features and not exact
            bank = drawn_from(estimate.features if remembered else model.encode_all(train.inputs), {})
            model.store_marginals(bank)
            if exact and self.joint:  # the conditional objective leaves Q(y | x_S) undetermined
                model.remember(bank)

        yield Stage("likelihood", list(model.parameters()), samples, loss, self.validate, settle=settle, bank=estimate)

    def _bank_of(self, train: Batch) -> Callable[[Packed, Packed], Packed]:
        """Return what turns features of training rows, and which rows these are, into those of the bank."""
        if not self.of_complete:
            return train.weigh
        if not len(train.complete):
            raise InputError("bank_of='complete': no training sample shows every modality; use bank_of='all'")
        whole = train.observed.all(1)
        kept = {m: whole[rows] for m, rows in train.rows.items()}

        def complete(bank: Packed, rows: Packed) -> Packed:
            places = {m: rows.get(m, torch.arange(len(f), device=f.device)) for m, f in bank.items()}
            chosen = {m: places[m][kept[m][places[m]]] for m in bank}
            if not all(map(len, chosen.values())):
                raise InputError(
                    "bank_of='complete': a step drew no complete sample, so rare are they; use bank='exact', or "
                    "bank_of='all'"
                )
            return train.weigh({m: f[kept[m][places[m]]] for m, f in bank.items()}, chosen)

        return complete

    @property
    def remembered(self) -> dict[str, Tensor]:
        """modality -> what is kept of rows of its bank; see `outlook`."""
        return self.model.remembered

    def outlook(self, batch: Batch, measured: Packed) -> Outlook:
        """Return Q(y, z | x_S), y running over remembered rows; fitted by the joint objective only.

        Args:
            batch: samples that all lack what is measured.
            measured: modality -> rows of `remembered`, the same number for each.
        """
        return self.model.outlook(batch, measured)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4) and (5)."""
        return self.model.log_posterior(batch)

    def log_evidence(self, batch: Batch) -> Tensor:
        """log Q(x_S) / prod R_m(x_m), shape (n,); fitted by the joint objective only."""
        model = self.model
        return log_evidence(model.scores(batch), model.fusion.empty_scores(model.marginals), model.log_prior)
