"""Autoencoder imputation, then classification: the paper's AE1 and AE2."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from elision.bank import Packed
from elision.batch import Batch
from elision.errors import InputError, check_choice
from elision.likelihood import conditional_objective
from elision.methods.base import Claims, Ingredients, Method, Stage
from elision.methods.score import ScoreModel

HIDDEN, CODE = 128, 64
_NEEDS_COMPLETE = "the autoencoder learns from complete samples"


class Imputer(nn.Module):
    """An autoencoder from whatever a sample shows to every modality: (x_1, ..., x_M, which are shown) to all x_m.

    It works on rows behind the encoders' frozen parts ("extracted features"), flattened.

    Args:
        sizes: modality -> numbers in a row.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        total = sum(sizes.values())
        self.network = nn.Sequential(
            nn.Linear(total + len(sizes), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CODE), nn.ReLU(),
            nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, total),
        )  # fmt: skip

    def forward(self, rows: Tensor, shown: Tensor) -> Tensor:
        """Rows (n, sum of sizes), of which only what is ``shown`` (n, M) is read, to rows of all modalities."""
        return self.network(torch.cat([torch.where(self.spread(shown), rows, 0), shown.to(rows)], dim=1))

    def spread(self, shown: Tensor) -> Tensor:
        """(n, M) to (n, sum of sizes)."""
        sizes = torch.tensor(list(self.sizes.values()), device=shown.device)
        return shown.repeat_interleave(sizes, dim=1)


class ImputeThenClassify(nn.Module):
    """An imputer, and Eq. (4) on what it completes.

    Args:
        name: of the method, for messages.
        ingredients: of the classifier.
        impute: a name in `IMPUTED`.
    """

    variance: Tensor

    def __init__(self, name: str, ingredients: Ingredients, impute: str) -> None:
        super().__init__()
        check_choice(f"impute of {name}", impute, IMPUTED)
        self.name, self.impute = name, impute
        self.model = ScoreModel(ingredients)
        self.shapes = dict(ingredients.shapes)
        self.imputer = Imputer({m: prod(shape) for m, shape in self.shapes.items()})
        self.register_buffer("variance", torch.ones(len(self.shapes)))

    def complete(self, batch: Batch) -> Batch:
        """The samples, imputed where they lack a modality; observed rows are kept as they are."""
        with torch.no_grad():
            imputed = self.imputer(self.dense(batch), batch.observed)
        parts = imputed.split(list(self.imputer.sizes.values()), dim=1)
        return batch.fill({m: part.view(-1, *self.shapes[m]) for m, part in zip(self.shapes, parts, strict=True)})

    def dense(self, batch: Batch) -> Tensor:
        """Flattened rows of all modalities side by side, 0 where one is missing; shape (n, sum of sizes)."""
        zeros = self.model.log_prior.new_zeros
        return torch.cat(
            [
                zeros(batch.size, size).index_copy(0, batch.rows[m], batch.inputs[m].flatten(1))
                for m, size in self.imputer.sizes.items()
            ],
            dim=1,
        )

    def imputation_error(self, batch: Batch, shown: Tensor) -> Tensor:
        """Mean squared error of what is not ``shown`` (n, M), in each modality's variance; complete samples."""
        truth = self.dense(batch)
        squares = (self.imputer(truth, shown) - truth).square().split(list(self.imputer.sizes.values()), dim=1)
        errors = torch.stack([s.mean(1) for s in squares], dim=1) / self.variance
        hidden = ~shown
        return (errors * hidden).sum() / hidden.sum()

    def measure_variance(self, complete: Packed) -> None:
        """The unit of each modality's error: the variance of its rows in complete samples, not of what is imputed."""
        variances = [x.flatten(1).var(0, correction=0).mean() for x in complete.values()]
        self.variance.copy_(torch.stack(variances).clamp(min=1e-12))

    def fit_imputer(
        self, targets: Batch, samples: Tensor, name: str, gaps: Tensor | None = None, share: float = 1.0
    ) -> Stage:
        """Hide a part of each of the ``samples`` of ``targets``, which are complete, and learn what it was.

        What stays is a random row of ``gaps``, patterns (n, M), or without them any proper part.
        """

        def loss(batch: Batch) -> Tensor:
            if gaps is None:
                shown = _random_patterns(len(batch), len(self.shapes), batch.labels.device)
            else:
                shown = gaps[torch.randint(len(gaps), (len(batch),))]
            return self.imputation_error(batch, shown)

        def validate(batch: Batch) -> float | None:
            complete = batch.select(batch.complete)
            if not len(complete):
                return None
            each = ~torch.eye(len(self.shapes), dtype=torch.bool, device=batch.labels.device)
            patterns = each if gaps is None else gaps.unique(dim=0)
            errors = [self.imputation_error(complete, p.expand(len(complete), -1)) for p in patterns]
            return float(sum(errors) / len(errors))

        return Stage(name, list(self.imputer.parameters()), samples, loss, validate, targets=targets, share=share)

    def fit_classifier(self, train: Batch, validate: Callable[[Batch], float | None]) -> Stage:
        """Eq. (2) on samples that are completed once: the imputer learns no further."""

        def loss(batch: Batch) -> Tensor:
            return conditional_objective(self.model.scores(batch), self.model.log_prior, batch.labels)

        parameters, completed = list(self.model.parameters()), self.complete(train)
        return Stage("classification", parameters, train.labelled, loss, validate, targets=completed)

    def stages(self, train: Batch, rounds: int, validate: Callable[[Batch], float | None]) -> Iterator[Stage]:
        """The autoencoder on complete samples, then ``rounds`` times on all completed ones; the classifier."""
        if len(train.modalities) < 2:
            why = "imputes a modality from the others, and there is one only"
            raise InputError(f"{self.name} {why}: use another method")
        complete, gaps = train.complete, IMPUTED[self.impute](train)
        if not len(complete):
            raise InputError(f"{self.name}: {_NEEDS_COMPLETE}, and there are none: use another method")
        self.measure_variance(train.select(complete).inputs)
        yield self.fit_imputer(train, complete, "autoencoder", gaps)
        everything = torch.arange(len(train), device=train.labels.device)
        for i in range(rounds):
            yield self.fit_imputer(self.complete(train), everything, f"self-training {i + 1}", gaps, 1 / rounds)
        yield self.fit_classifier(train, validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Eq. (4) on completed samples."""
        return self.model.log_posterior(self.complete(batch))


class AE1(Method):
    """The autoencoder learns from complete samples alone, imputes once, and a classifier learns from the result.

    It learns to impute any part of a sample from the rest; with ``impute="gaps"`` only what training samples lack from
    what they show, as the paper's does, which then says little of other patterns.
    """

    claims = Claims(
        summary="Trains an autoencoder on complete samples to impute what the others lack, then a classifier on the "
        "completed data: two steps, of which the first knows nothing of the classes.",
        source="AE1 of Ma et al., arXiv 2108.10513, Section 4",
        needs_complete=_NEEDS_COMPLETE,
        needs_features="it imputes rows of extracted features, and would have to draw whole frames and spectrograms "
        "here: extract features with a frozen encoder first",
        unweighted="the autoencoder counts every complete sample alike",
    )

    def __init__(self, ingredients: Ingredients, impute: str = "anything") -> None:
        super().__init__()
        self.steps = ImputeThenClassify("ae1", ingredients, impute)

    def stages(self, train: Batch) -> Iterator[Stage]:
        """The autoencoder on complete samples; the classifier on all labelled ones."""
        return self.steps.stages(train, 0, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Impute, then Eq. (4)."""
        return self.steps.log_posterior(batch)


class AE2(Method):
    """Train as `AE1` does, then let the autoencoder go on with its own imputations among the targets (self-training).

    The ``rounds`` share the steps of one stage; each imputes anew first. As every stage, each keeps its best parameters
    by the validation samples, here the error of imputing complete ones: where self-training makes that worse from its
    first steps on, as it often does, little is left of it.
    """

    claims = replace(
        AE1.claims,
        summary="As ae1, but the autoencoder then trains itself further on all samples, its own imputations among the "
        "targets, before the classifier learns.",
        source="AE2 of Ma et al., arXiv 2108.10513, Section 4",
    )

    def __init__(self, ingredients: Ingredients, rounds: int = 3, impute: str = "anything") -> None:
        super().__init__()
        self.steps = ImputeThenClassify("ae2", ingredients, impute)
        if rounds < 1:
            raise InputError(f"rounds of ae2 is {rounds}: expected at least 1")
        self.rounds = rounds

    def stages(self, train: Batch) -> Iterator[Stage]:
        """The autoencoder on complete samples, then on all completed ones, several times; the classifier."""
        return self.steps.stages(train, self.rounds, self.validate)

    def log_posterior(self, batch: Batch) -> Tensor:
        """Impute, then Eq. (4)."""
        return self.steps.log_posterior(batch)


def _gaps(train: Batch) -> Tensor | None:
    """Return what each incomplete sample shows, shape (n, M), bool; None where all are complete."""
    return train.observed[~train.observed.all(1)] if len(train.complete) < len(train) else None


IMPUTED: dict[str, Callable[[Batch], Tensor | None]] = {"anything": lambda train: None, "gaps": _gaps}
"""What an autoencoder learns to impute -> training samples to the patterns that it is to be imputed from."""


def _random_patterns(n: int, n_modalities: int, device: torch.device) -> Tensor:
    """Draw for each sample a non-empty proper subset of the modalities; shape (n, M), bool."""
    codes = torch.randint(1, 2**n_modalities - 1, (n, 1), device=device)
    return (codes >> torch.arange(n_modalities, device=device) & 1).bool()
