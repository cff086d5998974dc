"""What decides a training, as one frozen value that is written beside the run and can be given back."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from elision.data.formats import DETECTED, TableFormat
from elision.data.missing import NONE
from elision.errors import InputError, check_choice
from elision.files import write_atomically
from elision.kinds import KINDS
from elision.registries import FUSIONS, MECHANISMS, METHODS, NETWORKS

OWN = "own"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")
LOGGERS = ("mlflow", "tensorboard")
ACCELERATORS = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class Config:
    """Decide a run of either kind of data, as far as both are alike; it is written beside the run, to be given back.

    Args:
        method: the method, in `METHODS`; those that need features of numbers are for tables only.
        fusion: the fusion of the modalities, in `FUSIONS`.
        options: parameters of the method, by name.
        n_features: number k of features into which each modality is encoded.
        missing: modality to remove from training samples, "any" (from each a random part), or "none".
        rate: share of the training samples that lose it, in [0, 1].
        mechanism: which training samples lose it, in `MECHANISMS`. "mcar" is at random, "mar" depends on what remains
            observed, "mnar" on what goes missing, "mnar-label" on the class.
        by_group: whether groups are kept together when splitting; None is yes where the data names some. Used only
            where the data does not come split.
        seed: seed of the split, of what goes missing, of the model, and of every draw in training.
    """

    method: str = "mle"
    fusion: str = "addition"
    options: Mapping[str, Any] = field(default_factory=dict)
    n_features: int = 32
    missing: str = NONE
    rate: float = 0.0
    mechanism: str = "mcar"
    by_group: bool | None = None
    seed: int = 0

    INDIFFERENT: ClassVar[tuple[str, ...]] = ()
    """What may change when a run is resumed: it does not change what is learnt."""

    def __post_init__(self) -> None:
        check_choice("mechanism", self.mechanism, MECHANISMS)
        if not isinstance(self.rate, (int, float)) or isinstance(self.rate, bool) or not 0 <= self.rate <= 1:
            raise InputError(f"rate is {self.rate!r}: expected a share between 0 and 1")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON, YAML or TOML file, such as the config.json of a run."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist: expected a config file, JSON, YAML or TOML") from error
        return cls.of(_parse(path, text), str(path))

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "the config") -> Self:
        """Make a config of plain values; what is not given has its default."""
        if not isinstance(values, Mapping):
            raise InputError(f"{where} holds a {type(values).__name__}: expected names and values")
        names = [f.name for f in fields(cls)]
        unknown = set(values) - set(names)
        if unknown:
            raise InputError(f"{where} has no option {min(unknown)!r}: it has {', '.join(names)}")
        return cls(**cls.parse(values, where))

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the values as the constructor takes them."""
        return dict(values)

    def write(self, path: Path) -> None:
        """Write the config as JSON; `read` gives it back."""
        write_atomically(path, json.dumps(asdict(self), indent=1) + "\n")

    def differences(self, other: Self) -> list[str]:
        """Return what would be learnt differently: "name: ours, not theirs", one line each."""
        ours, theirs = asdict(self), asdict(other)
        names = [f.name for f in fields(self) if f.name not in self.INDIFFERENT]
        return [f"{name}: {ours[name]!r}, not {theirs[name]!r}" for name in names if ours[name] != theirs[name]]


@dataclass(frozen=True)
class TableConfig(Config):
    """Decide a training on a table of numbers: `elision.MultimodalClassifier` on the table's own split.

    Args:
        objective: what the method maximises: "joint", "conditional", "all" that it has, averaged, or "auto": its own,
            and for mle joint averaged with the method modality-dropout.
        encoders: in `ENCODERS`, or "auto": kernel and mlp, averaged; one name for all modalities, or modality -> name.
        rank: rank of the outer product's label tensor; None is full rank for two modalities, k for more.
        bank: how the marginal of missing features is estimated in training: "auto", "exact", "bank" (features
            remembered from earlier batches), or "batch" (those of the batch alone).
        max_steps: largest number of optimiser steps; None is 20 passes over the samples, at least 200
            steps and at most 4,000.
        batch_size: samples per step; None is all of them at once up to 4,096 samples, 256 beyond.
        learning_rate: Adam's learning rate at its peak.
        weight_decay: L2 regularisation.
        patience: validations (30 in all) without improvement after which a stage stops.
        class_weight: "balanced" makes all classes as heavy, however common; None counts samples.
        informative_missingness: whether the modalities that a sample shows tell of its class too, as far as validation
            bears that out. Only for samples that lose modalities in prediction as those in training did.
        impute: what a blank takes in a row that shows others of its modality: "mean", that of training; "knn", the mean
            of the 5 nearest training rows; "iterative", what ridge regressions on its other numbers say.
        device: where it is computed: "cpu", "cuda", or "auto", which is a GPU if there is one.
        data: which column of the table is what, and how it is written; predictions from new tables go by it too.
    """

    objective: str = "auto"
    encoders: str | Mapping[str, str] = "auto"
    rank: int | None = None
    bank: str = "auto"
    max_steps: int | None = None
    batch_size: int | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    patience: int = 8
    class_weight: str | None = None
    informative_missingness: bool = False
    impute: str = "mean"
    device: str = "auto"
    data: TableFormat = DETECTED

    INDIFFERENT: ClassVar[tuple[str, ...]] = ("device",)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the values, with data as `TableFormat`."""
        return {**values, "data": TableFormat.of(values.get("data", {}), where)}


@dataclass(frozen=True)
class EncoderConfig:
    """Choose how a modality is encoded.

    Args:
        name: in `NETWORKS`, "auto" (small-cnn, or mlp for numbers), or "own": a module handed to `train`.
        weights: pretrained ones by torchvision's name; None starts from nothing.
        frozen: the backbone is not trained, only the projection to k features.
        augment: frames are shifted and mirrored at random in training.
    """

    name: str = "auto"
    weights: str | None = None
    frozen: bool = False
    augment: bool = False

    def __post_init__(self) -> None:
        check_choice("encoder", self.name, ("auto", OWN, *NETWORKS))


@dataclass(frozen=True)
class TrainConfig(Config):
    """Decide a training from recordings.

    Args:
        objective: what the method maximises: "joint" or "conditional". None is the method's first, since an average
            over objectives would cost a training for each.
        encoders: modality -> how it is encoded; those left out are "auto".
        bank: how the marginal of missing features is estimated in training: "bank" (features remembered from earlier
            batches) or "batch" (those of the batch alone).
        bank_refresh: epochs after which all remembered features are computed again; 0 is never.
        epochs: largest number of epochs.
        segments_per_epoch: segments drawn in an epoch, over all processes; None is all of them.
        batch_size: segments per batch, over all processes.
        accumulate: batches per optimiser step.
        optimizer: "adamw" or "sgd" (momentum 0.9).
        learning_rate: learning rate after warm-up, from which it falls to 0 along a cosine.
        weight_decay: weight decay of the optimiser.
        warm_up: share of the steps over which the learning rate rises from 0, in [0, 1).
        clip: largest norm of the gradient, to which longer ones are scaled down; 0 does not clip.
        patience: validations without improvement after which training stops; 0 is never.
        precision: "32-true", "bf16-mixed", "16-mixed" or "64-true". The mixed ones are for the encoders alone: the
            likelihood and the bank stay in float32.
        channels_last: whether images lie in memory with their channels last, which can be faster on GPUs.
        compile: whether encoders are compiled by torch.compile.
        shares: number of shares into which the samples are dealt, each with its part of every batch. One process may
            take all shares, or n processes one each, and they learn the same. None is the number of processes.
        accelerator: "auto", "cpu" or "gpu".
        devices: training processes on this machine, one per GPU where there are GPUs.
        num_nodes: number of machines.
        workers: loader processes per training process.
        checkpoint_steps: optimiser steps between checkpoints.
        checkpoint_minutes: minutes between checkpoints.
        log_steps: optimiser steps per line of log.csv.
        loggers: "mlflow" and "tensorboard", beside log.csv, which is always written.
    """

    objective: str | None = None
    encoders: Mapping[str, EncoderConfig] = field(default_factory=dict)
    n_features: int = 128
    bank: str = "bank"
    bank_refresh: int = 0
    epochs: int = 20
    segments_per_epoch: int | None = None
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.05
    clip: float = 1.0
    patience: int = 5
    precision: str = "32-true"
    channels_last: bool = False
    compile: bool = False
    shares: int | None = None
    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    workers: int = 0
    checkpoint_steps: int = 200
    checkpoint_minutes: float = 10.0
    log_steps: int = 10
    loggers: tuple[str, ...] = ()

    INDIFFERENT: ClassVar[tuple[str, ...]] = (
        "workers", "loggers", "checkpoint_steps", "checkpoint_minutes", "log_steps",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective is None and self.method in METHODS:
            object.__setattr__(self, "objective", METHODS[self.method].claims.objectives[0])
        object.__setattr__(self, "loggers", tuple(self.loggers))
        _check(self)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the values, with encoders as `EncoderConfig`."""
        encoders = values.get("encoders", {})
        try:
            made = {m: e if isinstance(e, EncoderConfig) else EncoderConfig(**e) for m, e in encoders.items()}
        except (TypeError, AttributeError) as error:
            raise InputError(f"{where}: encoders are {encoders!r}: expected modality -> name, weights, ...") from error
        return {**values, "encoders": made}

    def resolve(self, kinds: Mapping[str, str]) -> "TrainConfig":
        """Return the config with an encoder for every modality, "auto" made concrete; ``kinds``: modality -> kind."""
        unknown = set(self.encoders) - set(kinds)
        if unknown:
            raise InputError(f"an encoder is given for {min(unknown)!r}: the data has {', '.join(kinds)}")
        chosen = {m: self.encoders.get(m, EncoderConfig()) for m in kinds}
        named = {m: replace(e, name=KINDS[kinds[m]].encoder) if e.name == "auto" else e for m, e in chosen.items()}
        return replace(self, encoders=named)


_COUNTS = ("n_features", "epochs", "batch_size", "accumulate", "devices", "num_nodes", "checkpoint_steps", "log_steps")
_FROM_ZERO = ("bank_refresh", "weight_decay", "warm_up", "clip", "patience", "workers", "learning_rate")
_CHOICES = {
    "method": METHODS, "fusion": FUSIONS, "precision": PRECISIONS, "bank": ("bank", "batch"),
    "accelerator": ACCELERATORS, "optimizer": ("adamw", "sgd"), "objective": ("joint", "conditional"),
}  # fmt: skip


def _check(config: TrainConfig) -> None:
    for name, choices in _CHOICES.items():
        check_choice(name, getattr(config, name), choices)
    for name in config.loggers:
        check_choice("logger", name, LOGGERS)
    claims = METHODS[config.method].claims
    claims.check(config.method, config.fusion, config.objective or claims.objectives[0])
    if claims.needs_features:
        raise InputError(f"method {config.method!r} is not trained end to end: {claims.needs_features}")
    for name in (*_COUNTS, *(n for n in ("segments_per_epoch", "shares") if getattr(config, n) is not None)):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name} is {value!r}: expected a whole number, 1 or more")
    for name in _FROM_ZERO:
        value = getattr(config, name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise InputError(f"{name} is {value!r}: expected a number, 0 or more")
    if config.warm_up > 1:
        raise InputError(f"warm_up is {config.warm_up}: expected a share between 0 and 1")


def _parse(path: Path, text: str) -> Any:
    try:
        if path.suffix.lower() in (".yaml", ".yml"):
            import yaml

            return yaml.safe_load(text) or {}
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except Exception as error:  # each parser has its own
        raise InputError(f"{path} is neither JSON nor (.yaml) YAML nor (.toml) TOML: {error}") from error
