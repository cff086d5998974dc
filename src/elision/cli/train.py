"""`elision train`."""

import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from elision.cli.app import Many
from elision.config import EncoderConfig, TrainConfig
from elision.errors import InputError
from elision.registries import FUSIONS, METHODS

_BY_HAND = ("encoders", "options", "loggers")


def _described() -> dict[str, str]:
    """option -> what `TrainConfig` says of it."""
    text = TrainConfig.__doc__.partition("Args:")[2]
    entries = re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", text, re.S | re.M)
    told = {"`METHODS`": METHODS, "`FUSIONS`": FUSIONS}
    return {name: reduce(_spell_out, told.items(), " ".join(words.split())) for name, words in entries}


def _spell_out(text: str, registry: tuple[str, Iterable[str]]) -> str:
    return text.replace(f"in {registry[0]}", "among " + ", ".join(registry[1]))


def _flags() -> type:
    """A dataclass of `TrainConfig`'s options, each None where it is not given."""
    described = _described()
    types = {
        f.name: Annotated[f.type | None, Parameter(help=described[f.name], show_default=False)]
        for f in fields(TrainConfig)
        if f.name not in _BY_HAND
    }
    body = {"__module__": __name__, "__annotations__": types, **dict.fromkeys(types)}
    return dataclass(frozen=True)(type("Flags", (), body))


Flags = _flags()
_NOTHING_GIVEN = Flags()


def train(  # noqa: PLR0913
    data: str | None = None,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    config: Path | None = None,
    encoder: Many = None,
    weights: Many = None,
    frozen: Many = None,
    augment: Many = None,
    logger: Many = None,
    options: Annotated[Flags, Parameter(name="*")] = _NOTHING_GIVEN,
) -> None:
    """Train encoders, fusion and label layer together on a prepared store, from frames and sound.

    Writes config.json, log.csv, checkpoints, model and result.json into the run's folder. Stopped at any moment, it
    goes on exactly where it was with --resume.

    Parameters
    ----------
    data
        A store that `elision prepare` made: a folder, or an address such as s3://bucket/store.
    out
        Folder of the run.
    resume
        Folder of a run to go on with, in place of DATA and --out.
    config
        A config file, JSON or YAML, such as a run's config.json. Options beside it win.
    encoder
        MODALITY=NAME, such as visual=resnet18 audio=small-cnn: resnet18, resnet34, resnet50, vgg16, small-cnn, mlp.
    weights
        MODALITY=WEIGHTS, pretrained ones by torchvision's name, such as visual=IMAGENET1K_V2.
    frozen
        Modalities whose network is not trained, only its projection.
    augment
        Modalities whose frames are shifted and mirrored at random in training.
    logger
        mlflow, tensorboard: beside log.csv, which is always written.
    """
    from elision.deep import processes
    from elision.deep.train import train as run

    if resume is not None and (out is not None or data is not None):
        raise InputError("--resume names the run's folder, which knows its data: leave DATA and --out out")
    if resume is None and (out is None or data is None):
        raise InputError(
            "expected DATA and --out, a store and a folder for the run: elision train store --out run; or --resume run"
        )
    if resume is not None and not (resume / "config.json").is_file():
        raise InputError(f"{resume} holds no run to resume: expected the folder of a training that was begun")
    chosen = _config(resume / "config.json" if resume and config is None else config)
    chosen = replace(chosen, **_given(options), **({"loggers": tuple(logger)} if logger else {}))
    chosen = replace(chosen, encoders=_encoders(chosen, encoder or (), weights or (), frozen or (), augment or ()))
    from elision.cli.progress import training

    with training() as report:
        result = run(data, resume or out, chosen, resume is not None, report)
    if processes.rank() > 0:  # each process comes here
        sys.exit(0 if result.finished else 130)
    for damaged in result.damaged:
        print(f"elision: checkpoint {damaged} is damaged and was passed over", file=sys.stderr)
    if not result.finished:
        command = shlex.join(["elision", "train", "--resume", str(result.folder)])
        print(f"Stopped at step {result.step}; go on with: {command}", file=sys.stderr)
        sys.exit(130)
    from elision.cli.tables import show_assessment

    show_assessment(result.values["test"])
    print(f"Model: {result.folder / 'model'}")


def _config(path: Path | None) -> TrainConfig:
    return TrainConfig() if path is None else TrainConfig.read(path)


def _given(options: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if value is not None}


def _encoders(
    config: TrainConfig, names: Iterable[str], weights: Iterable[str], frozen: Iterable[str], augment: Iterable[str]
) -> dict[str, EncoderConfig]:
    """The config's encoders, changed as the flags say."""
    changes: dict[str, dict[str, Any]] = {}
    for flag, pairs, option in (("--encoder", names, "name"), ("--weights", weights, "weights")):
        for pair in pairs:
            modality, equals, value = pair.partition("=")
            if not (modality and equals and value):
                raise InputError(f"{flag} {pair}: expected MODALITY=NAME, such as visual=resnet18")
            changes.setdefault(modality, {})[option] = value
    for option, modalities in (("frozen", frozen), ("augment", augment)):
        for modality in modalities:
            changes.setdefault(modality, {})[option] = True
    known = dict(config.encoders)
    return known | {m: replace(known.get(m, EncoderConfig()), **change) for m, change in changes.items()}
