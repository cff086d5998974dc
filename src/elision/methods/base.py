"""The one sentence: a method turns a batch in which some modalities are missing into log-probabilities of the label."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from elision.bank import BankEstimate
from elision.batch import Batch
from elision.errors import InputError
from elision.fusion import Fusion
from elision.likelihood import UNLABELLED, negative_log_likelihood, weighted_mean
from elision.measuring import Outlook
from elision.methods.across import ALONE, Across

ADDITIVE = "use addition or concatenation"


@dataclass(frozen=True)
class Claims:
    """Hold what a method says of itself: choices, tests and reports are made from it.

    Args:
        summary: what it does, in two lines, for a reader of a report.
        source: where it comes from.
        objectives: the objectives it can train; the first is its own.
        beside: further methods, in `METHODS`, whose models the objective "auto" averages with its own.
        refusals: fusion -> why it makes no sense with the method; every other fusion does.
        needs_features: why it cannot be trained end to end from frames and sound; "" where it can.
        needs_complete: what it wants complete training samples for; "" where it can do without.
        needs_labels: whether these must have a label to be of use.
        unweighted: why it takes no sample weights; "" where its loss and its banks count a batch's ``weights``.
    """

    summary: str
    source: str
    objectives: tuple[str, ...] = ("conditional",)
    beside: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    needs_features: str = ""
    needs_complete: str = ""
    needs_labels: bool = False
    unweighted: str = "it does not claim to count samples by their weights"

    def meant(self, objective: str) -> tuple[str, ...]:
        """Return the objectives that a choice means: "auto" is its own, "all" every one that it has."""
        return {"auto": self.objectives[:1], "all": self.objectives}.get(objective, (objective,))

    def check(self, name: str, fusion: str, objective: str) -> None:
        """Raise `InputError` with the reason unless the method can use this fusion and this objective."""
        if fusion in self.refusals:
            raise InputError(f"method {name!r} refuses fusion {fusion!r}: {self.refusals[fusion]}")
        if objective not in self.objectives:
            raise InputError(
                f"method {name!r} has no objective {objective!r}: choose from {', '.join(self.objectives)}"
            )


@dataclass(frozen=True)
class Ingredients:
    """Hold what every method is built from.

    Args:
        encoders: modality -> the module that gives its features, (n_m, ...) to (n_m, k).
        fusion: scores features against classes; holds the label embedding.
        log_prior: log R_Z, shape (K,).
        objective: one of the method's claimed objectives.
        bank: how to estimate the banks while training: "exact", "bank" or "batch".
        shapes: modality -> shape of a row, as the encoder takes it.
        across: reaches the other processes that train the same model, if there are any.
    """

    encoders: Mapping[str, nn.Module]
    fusion: Fusion
    log_prior: Tensor
    objective: str
    bank: str
    shapes: Mapping[str, Sequence[int]]
    across: Across = ALONE


@dataclass(frozen=True)
class Stage:
    """Describe one optimisation: most methods have one, an autoencoder that imputes first has two.

    Args:
        name: for progress and errors.
        parameters: what is optimised.
        samples: indices of the training samples that mini-batches are drawn from, shape (n,).
        loss: mini-batch to a scalar.
        validate: batch to the number that early stopping minimises, or None where the batch cannot tell: the stage
            then runs to its end.
        targets: the samples that mini-batches are drawn from, where they are not the training samples themselves.
        share: of the schedule's steps that the stage takes, in (0, 1].
        settle: makes the method ready to predict with its present parameters, where that takes more than having
            them; called before each validation and at the end, in evaluation mode and without gradient.
            ``settle(False)`` may use remembered features where encoding the whole bank again is dear, and may leave
            out what a finished model alone needs.
        bank: the estimate of the banks while training, if the stage has one: to be refreshed before the first step, in
            evaluation mode, and as often as the loop sees fit.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    samples: Tensor
    loss: Callable[[Batch], Tensor]
    validate: Callable[[Batch], float | None]
    targets: Batch | None = None
    share: float = 1.0
    settle: Callable[..., None] | None = None
    bank: BankEstimate | None = None


class Method(nn.Module, ABC):
    """A way to learn from samples that lack modalities.

    Subclasses are final, are built from `Ingredients` and options with defaults, and register whatever they learn as
    parameters and buffers: saving a method is saving its ``state_dict``.
    """

    claims: ClassVar[Claims]

    @abstractmethod
    def stages(self, train: Batch) -> Iterator[Stage]:
        """The optimisations that fit the method, in order; ``train`` holds all training samples.

        A generator: what stands between two stages runs when the first is done, so a stage can build on it.
        """

    @abstractmethod
    def log_posterior(self, batch: Batch) -> Tensor:
        """log Q(z | x_S) of every sample, each with its own pattern of modalities; shape (n, K)."""

    def log_evidence(self, batch: Batch) -> Tensor:
        """Return log Q(x_S) / prod R_m(x_m) of every sample, shape (n,).

        Raises:
            InputError: the method says nothing of what was observed; those that can be trained jointly do.
        """
        raise InputError(f"{type(self).__name__} has no evidence: fit method 'mle' with objective 'joint'")

    @property
    def remembered(self) -> Mapping[str, Tensor]:
        """modality -> what is kept of rows of its bank for `outlook`; {} where the method cannot say."""
        return {}

    def outlook(self, batch: Batch, measured: Mapping[str, Tensor]) -> Outlook:
        """Return Q(y, z | x_S) of every sample, y running over rows of what is `remembered` of missing modalities.

        Raises:
            InputError: the method says nothing of what would be observed.
        """
        raise InputError(
            f"{type(self).__name__} cannot say what would be measured: fit method 'mle', objective 'joint'"
        )

    def validate(self, batch: Batch) -> float | None:
        """Mean negative log-likelihood of the labelled samples, in nats; None if there are none."""
        labelled = batch.labels != UNLABELLED
        losses = negative_log_likelihood(self.log_posterior(batch), batch.labels)
        weights = None if batch.weights is None else batch.weights[labelled]
        return weighted_mean(losses, weights).item() if len(losses) else None
