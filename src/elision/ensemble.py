"""Several models of one data set: trained, weighed by a validation set, asked together."""

import copy
import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elision.bank import Rows, choose_bank
from elision.batch import Batch
from elision.encoders import Encoder, Frozen, Unchanged
from elision.errors import InputError
from elision.fusion import Fusion
from elision.likelihood import log_label_prior, negative_log_likelihood
from elision.methods import Method
from elision.methods.base import Ingredients
from elision.methods.score import ScoreModel
from elision.models import read_model, write_model
from elision.plain import revived
from elision.registries import ENCODERS, METHODS
from elision.stacking import PatternWeights, fit_temperature, patterns_to_weigh, stacking_weights, tempered
from elision.training import History, Schedule, seeded, train

EncoderChoice = str | nn.Module
_PREDICT_ROWS = 1024
_MAPPED_NUMBERS = 2**27
"""What a frozen map returns is kept up to so many numbers, 512 MB; beyond, it is computed as rows are asked for."""


@dataclass(frozen=True)
class Specification:
    """Say what one member is.

    Args:
        method: the method's class.
        fusion: the fusion's class.
        objective: "joint" or "conditional".
        encoders: modality -> a name in `ENCODERS`, or a module of the user's own.
        n_features: k.
        rank: of the outer product's label tensor; None is its default.
        bank: "auto", "exact", "bank" or "batch".
        options: the method's own, by name.
    """

    method: type[Method]
    fusion: type[Fusion]
    objective: str
    encoders: Mapping[str, EncoderChoice]
    n_features: int
    rank: int | None
    bank: str
    options: Mapping[str, Any]

    @property
    def method_name(self) -> str:
        """Return the method's name in `METHODS`, or its class where it is the user's own."""
        return next((name for name in METHODS if METHODS[name] is self.method), self.method.__name__)

    @property
    def encoder_names(self) -> dict[str, str]:
        """modality -> the encoder's name, or its class where it is the user's own."""
        return {m: e if isinstance(e, str) else type(e).__name__ for m, e in self.encoders.items()}


@dataclass(frozen=True)
class Extent:
    """Hold what of the training data decides a model's sizes.

    Args:
        shapes: modality -> shape of a row.
        rows: modality -> observed training rows.
        n_classes: K.
    """

    shapes: Mapping[str, tuple[int, ...]]
    rows: Mapping[str, int]
    n_classes: int

    @property
    def bank(self) -> str:
        """Return what `auto` means for a bank of this extent."""
        numbers = sum(n * math.prod(self.shapes[m]) for m, n in self.rows.items())
        return choose_bank(max(self.rows.values()), numbers)

    @classmethod
    def of(cls, train: Batch, n_classes: int) -> "Extent":
        """The extent of a training set."""
        shapes = {m: tuple(x.shape[1:]) for m, x in train.inputs.items()}
        return cls(shapes, {m: len(x) for m, x in train.inputs.items()}, n_classes)


@dataclass(frozen=True)
class MappedRows(Rows):
    """Hold rows of a training set and a frozen map, which is applied to those that are asked for.

    Args:
        rows: shape (n_m, ...).
        frozen: fitted.
    """

    rows: Tensor
    frozen: Frozen

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        """Return some of the rows, mapped."""
        return self.frozen(self.rows[index])

    def split(self, size: int, /) -> Iterator[Tensor]:
        """Yield the rows, mapped, in order."""
        return (self.frozen(rows) for rows in self.rows.split(size))


@dataclass
class Member:
    """One model: frozen maps, and a method on what they return."""

    specification: Specification
    extent: Extent
    frozen: Mapping[str, Frozen]
    method: Method

    @classmethod
    def build(cls, specification: Specification, extent: Extent, log_prior: Tensor, seed: int) -> "Member":
        """Untrained; all draws are keyed on ``seed``."""
        with seeded(seed):
            encoders = {m: _build_encoder(m, specification, extent) for m in specification.encoders}
            fusion = specification.fusion(
                list(encoders), extent.n_classes, specification.n_features, rank=specification.rank
            )
            ingredients = Ingredients(
                encoders={m: e.trained for m, e in encoders.items()},
                fusion=fusion,
                log_prior=log_prior.float(),
                objective=specification.objective,
                bank=extent.bank if specification.bank == "auto" else specification.bank,
                shapes={m: e.shape for m, e in encoders.items()},
            )
            method = specification.method(ingredients, **specification.options)
        return cls(specification, extent, {m: e.frozen for m, e in encoders.items()}, method)

    @property
    def bank(self) -> str:
        """Return how the banks were estimated while training: "auto" resolved."""
        return self.extent.bank if self.specification.bank == "auto" else self.specification.bank

    @property
    def precision(self) -> torch.dtype:
        """Return what to predict in: float64 on a CPU, unless a user's module may make float32 tensors by itself."""
        named = all(isinstance(encoder, str) for encoder in self.specification.encoders.values())
        on_cpu = next(self.method.parameters()).device.type == "cpu"
        return torch.float64 if named and on_cpu else torch.float32

    def map(self, batch: Batch[Tensor]) -> Batch:
        """Apply the frozen maps to a batch's rows; where that would fill the memory, once rows are asked for."""
        inputs: dict[str, Rows] = {}
        for m, rows in batch.inputs.items():
            frozen = self.frozen[m]
            many = len(rows) and len(rows) * frozen(rows[:1]).numel() > _MAPPED_NUMBERS
            whole = self.bank == "exact" or self.specification.method.claims.needs_features
            if isinstance(frozen, Unchanged):
                inputs[m] = rows
            elif many and not whole:
                inputs[m] = MappedRows(rows, frozen)
            else:
                inputs[m] = torch.cat([frozen(piece) for piece in rows.split(_PREDICT_ROWS)])
        return replace(batch, inputs=inputs)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Member":
        """Move it, in place, to another device, and the method to another precision."""
        for frozen in self.frozen.values():
            frozen.to(device)  # in its own precision: the whitening of a kernel may be ill-conditioned
        self.method.to(device, dtype)
        return self


class KeptMembers:
    """Trained members in a folder, so that a fit that was stopped does not train them again.

    One is used only where everything that decides it is the same: its first parameters, the samples, how it is trained.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def train(self, name: str, member: Member, data: tuple[Batch, Batch | None], how: tuple[Any, ...]) -> list[History]:
        """Do what `elision.training.train` does, or read what it did before.

        Args:
            name: of the member's folder.
            member: its method is changed in place.
            data: training samples, and validation samples.
            how: the further arguments of `elision.training.train`: schedule, seed, histories to follow, progress.
        """
        path, method = self.folder / name, member.method
        origin = _origin(member, data, how[:3])
        try:
            saved = read_model(path)
        except InputError:  # there is none, or it is not what was written
            saved = None
        if saved is not None and saved.description["origin"] == origin:
            method.load_state_dict(saved.tensors)
            method.eval()
            return revived(list[History], saved.description["histories"])
        histories = train(method, *data, *how)
        shutil.rmtree(path, ignore_errors=True)
        description = {"origin": origin, "histories": [asdict(history) for history in histories]}
        write_model(path, "member", description, method.state_dict())
        return histories


def _origin(member: Member, data: tuple[Batch, Batch | None], how: tuple[Any, ...]) -> str:
    """Return a hash of everything that decides a training."""
    digest = hashlib.sha256(repr((member.specification, member.bank, how)).encode())
    tensors = dict(member.method.state_dict())
    for part, batch in zip(("train", "validation"), data, strict=True):
        if batch is not None:
            rows = {m: x.rows if isinstance(x, MappedRows) else x for m, x in batch.inputs.items()}
            tensors |= {f"{part}/{m}": x for m, x in rows.items()}
            tensors |= {f"{part}/{m}/rows": x for m, x in batch.rows.items()} | {f"{part}/labels": batch.labels}
            tensors |= {} if batch.weights is None else {f"{part}/weights": batch.weights}
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def fit_members(
    specifications: Sequence[Specification],
    data: tuple[Batch, Batch | None],
    n_classes: int,
    schedule: Schedule,
    seed: int,
    progress: Callable[[Specification, str, float], None],
    kept: KeptMembers | None = None,
) -> tuple[list[Member], list[list[History]]]:
    """Train one member per specification.

    Args:
        specifications: what to train.
        data: training and, for early stopping, validation samples.
        n_classes: K.
        schedule: how to optimise.
        seed: of the first member; each further one adds 1.
        progress: called with the member's specification, the stage's name and the fraction done.
        kept: where members are kept once they are trained, and taken from.

    Returns:
        The members, and for each the history of each of its stages.
    """
    training, validation = data
    extent = Extent.of(training, n_classes)
    log_prior = log_label_prior(training.labels, n_classes, training.weights)
    device = training.labels.device
    members, histories, mapped = [], [], {}
    for i, specification in enumerate(specifications):
        member = Member.build(specification, extent, log_prior, seed + i)
        member.method.to(device, torch.float32)
        key = tuple((m, e if isinstance(e, str) else id(e)) for m, e in specification.encoders.items())
        if key not in mapped:
            for m, frozen in member.frozen.items():
                frozen.to(device).fit(training.inputs[m], seed)
            held = validation and validation.map(member.frozen)
            mapped[key] = (member.frozen, member.map(training), held)
        member.frozen, train_batch, validation_batch = mapped[key]
        how = schedule, seed + i, None, partial(progress, specification)
        both = train_batch, validation_batch
        histories.append(kept.train(f"member-{i}", member, both, how) if kept else train(member.method, *both, *how))
        members.append(member)
    return members, histories


def continue_members(
    members: Sequence[Member],
    histories: Sequence[Sequence[History]],
    everything: Batch,
    schedule: Schedule,
    seed: int,
    progress: Callable[[Specification, str, float], None],
    kept: KeptMembers | None = None,
) -> None:
    """Train members further, in place, on samples of which some only stopped and weighed them before.

    Each stage goes on from its best parameters for half as many steps as it took to these, at half the rate. Frozen
    maps stay as they are.

    Args:
        members: trained.
        histories: for each member the history of each of its stages.
        everything: all samples.
        schedule: by which they were trained.
        seed: of the first member; each further one adds 1.
        progress: called with the member's specification, the stage's name and the fraction done.
        kept: where members are kept once they are trained, and taken from.
    """
    schedule = replace(schedule, learning_rate=schedule.learning_rate / 2)
    mapped: dict[int, Batch] = {}
    for i, (member, stages) in enumerate(zip(members, histories, strict=True)):
        for model in member.method.modules():
            if isinstance(model, ScoreModel):
                model.log_prior.copy_(log_label_prior(everything.labels, len(model.log_prior), everything.weights))
        if id(member.frozen) not in mapped:
            mapped[id(member.frozen)] = member.map(everything)
        further = [replace(h, n_steps=n, best_step=n) for h in stages for n in [math.ceil(h.best_step / 2)]]
        data, how = (mapped[id(member.frozen)], None), (schedule, seed + i, further)
        how = *how, partial(progress, member.specification)
        if kept:
            kept.train(f"member-{i}", member, data, how)
        else:
            train(member.method, *data, *how)


@torch.no_grad()
def log_posteriors(members: Sequence[Member], batch: Batch) -> Tensor:
    """Every member's log Q(z | x_S), shape (members, n, K)."""
    return _over_rows(members, batch, lambda method, rows: method.log_posterior(rows))


@torch.no_grad()
def log_evidences(members: Sequence[Member], batch: Batch) -> Tensor:
    """Every member's log-evidence, shape (members, n); the members must have been trained by the joint objective."""
    return _over_rows(members, batch, lambda method, rows: method.log_evidence(rows))


@torch.no_grad()
def fit_weights(
    members: Sequence[Member], observed: Tensor, held: Batch, log_prior: Tensor
) -> tuple[PatternWeights, Tensor]:
    """Temper and weigh the members on a validation set: as it is, and reduced to each pattern of modalities.

    Args:
        members: trained.
        observed: modalities that the training samples show, shape (n, M), bool.
        held: the validation set; for a pattern the samples that show all of it serve, the rest of them hidden.
        log_prior: log R_Z, shape (K,).

    Returns:
        The weights, and the tempered log Q(z_i | x_i) of each labelled validation sample as it is, shape
        (members, n_labelled).
    """
    labelled = held.select(held.labelled)
    mapped = {id(member.frozen): labelled.map(member.frozen) for member in members}
    log_prior = log_prior.to(held.labels.device)

    def fit(samples: Tensor, hidden: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights, temperatures, and the tempered members' log-likelihoods."""
        counts = None if labelled.weights is None else labelled.weights[samples]
        likelihoods, temperatures = [], []
        for member in members:
            batch = reduce(Batch.without, hidden, mapped[id(member.frozen)].select(samples))
            logs = member.method.log_posterior(batch) if len(samples) else log_prior.new_zeros(0, len(log_prior))
            temperature = fit_temperature(logs, batch.labels, log_prior, counts=counts)
            after = tempered(logs, log_prior, logs.new_full((len(logs),), temperature))
            temperatures.append(temperature)
            likelihoods.append(-negative_log_likelihood(after, batch.labels).double().cpu())
        stacked = torch.stack(likelihoods)
        weights = stacking_weights(stacked, counts=None if counts is None else counts.cpu())
        return weights, torch.tensor(temperatures, dtype=torch.float64), stacked

    patterns = patterns_to_weigh(observed)
    fitted = []
    for pattern in patterns.to(held.labels.device):
        samples = labelled.observed[:, pattern].all(1).nonzero().squeeze(1)
        hidden = [m for m, shown in zip(held.modalities, pattern.tolist(), strict=True) if not shown]
        fitted.append(fit(samples, hidden))
    general = fit(torch.arange(len(labelled), device=held.labels.device), ())
    weights, temperatures = (torch.stack(parts) for parts in list(zip(*fitted, strict=True))[:2])
    return PatternWeights(patterns, weights, general[0], temperatures, general[1]), general[2]


def _over_rows(members: Sequence[Member], batch: Batch, function: Callable[[Method, Batch], Tensor]) -> Tensor:
    chunks = []
    for samples in torch.arange(len(batch), device=batch.labels.device).split(_PREDICT_ROWS):
        rows = batch.select(samples)
        mapped = {id(member.frozen): member.frozen for member in members}
        inputs = {key: rows.map(frozen) for key, frozen in mapped.items()}
        chunks.append(torch.stack([function(member.method, inputs[id(member.frozen)]) for member in members]))
    return torch.cat(chunks, dim=1)


def _build_encoder(modality: str, specification: Specification, extent: Extent) -> Encoder:
    choice, k = specification.encoders[modality], specification.n_features
    shape = extent.shapes[modality]
    if isinstance(choice, str):
        return ENCODERS[choice](shape, extent.rows[modality], k)
    module = copy.deepcopy(choice).cpu().float()
    try:
        with torch.no_grad():
            features = module.eval()(torch.zeros(2, *shape))
    except Exception as error:
        raise InputError(f"the encoder of modality {modality!r} cannot take rows of shape {shape}: {error}") from error
    if features.shape != (2, k):
        raise InputError(
            f"the encoder of modality {modality!r} turns 2 rows of shape {shape} into {tuple(features.shape)}: "
            f"expected (2, {k}); return n_features={k} numbers a row, or set n_features"
        )
    return Encoder(Unchanged(), module, tuple(shape))
