"""`elision train`."""

import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from elision.cli.app import Many, naming_choices, spell_out
from elision.config import Config, EncoderConfig, TableConfig, TrainConfig
from elision.errors import InputError

_BY_HAND = ("encoders", "options", "loggers")


def _described(config: type[Config]) -> dict[str, str]:
    """Return what a config's docstring says of each option."""
    text = config.__doc__.partition("Args:")[2]
    entries = re.findall(r"^ {8}(\w+): (.*?)(?=^ {8}\w+: |\Z)", text, re.S | re.M)
    return {name: spell_out(" ".join(words.split()).replace("in `", "among `")) for name, words in entries}


def _flags() -> type:
    """Make a dataclass of both configs' options, each None where it is not given; the help tells their defaults."""
    kinds = {TrainConfig: "recordings", TableConfig: "tables"}
    types: dict[str, Any] = {}
    for config, kind in kinds.items():
        described = _described(config)
        for f in fields(config):
            if f.name in _BY_HAND or f.name in types:
                continue
            others = [f2 for c in kinds if c is not config for f2 in fields(c) if f2.name == f.name]
            if not others:
                told = f"{described[f.name]} [default: {f.default}; {kind} only]"
            elif others[0].default == f.default:
                told = f"{described[f.name]} [default: {f.default}]"
            else:
                told = f"{described[f.name]} [default: {f.default}; of a table: {others[0].default}]"
            types[f.name] = Annotated[f.type | None, Parameter(help=told, show_default=False)]
    body = {"__module__": __name__, "__annotations__": types, **dict.fromkeys(types)}
    return dataclass(frozen=True)(type("Flags", (), body))


Flags = _flags()
_NOTHING_GIVEN = Flags()


@naming_choices
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
    """Train a classifier on a table of numbers, or networks and classifier together on a store of recordings.

    Writes config.json, data.json, model/, result.json and report.html into the run's folder, and for recordings
    log.csv and checkpoints. Stopped at any moment, it ends with --resume in the model that it would have been.

    Parameters
    ----------
    data
        A table (.csv, .parquet; see `elision compare --help`), "digits", or a store that `elision prepare` made: a
        folder, or an address such as s3://bucket/store.
    out
        Folder of the run.
    resume
        Folder of a run to go on with, in place of DATA and --out.
    config
        A config file, JSON or YAML, such as a run's config.json. Options beside it win.
    encoder
        MODALITY=NAME, such as visual=resnet18 audio=small-cnn, among `NETWORKS`; of a table among `ENCODERS` and auto
        (kernel and mlp, averaged), and one NAME for all modalities.
    weights
        MODALITY=WEIGHTS, pretrained ones by torchvision's name, such as visual=IMAGENET1K_V2.
    frozen
        Modalities whose network is not trained, only its projection.
    augment
        Modalities whose frames are shifted and mirrored at random in training.
    logger
        mlflow, tensorboard: beside log.csv, which is always written.
    """
    from elision.runs.doors import is_table

    if resume is not None and (out is not None or data is not None):
        raise InputError("--resume names the run's folder, which knows its data: leave DATA and --out out")
    if resume is not None:
        if not (resume / "config.json").is_file():
            raise InputError(f"{resume} holds no run to resume: expected the folder of a training that was begun")
        known: str = json.loads((resume / "data.json").read_text(encoding="utf-8"))["address"]
        folder, path = resume, config or resume / "config.json"
    elif out is not None and data is not None:
        known, folder, path = data, out, config
    else:
        raise InputError(
            "expected DATA and --out, a table or store and a folder for the run: elision train data.csv --out run; or "
            "--resume run"
        )
    if is_table(known):
        network = {"--weights": weights, "--frozen": frozen, "--augment": augment, "--logger": logger}
        wrong = next((flag for flag, value in network.items() if value), None)
        if wrong:
            raise InputError(f"{wrong} is for recordings, and {known} is a table")
        from elision.runs.doors import train as run

        _tell(run(known, folder, _table_config(path, options, encoder or (), known), resume is not None))
        return
    chosen = _changed(TrainConfig if path is None else TrainConfig.read(path), options, known)
    chosen = replace(chosen, **({"loggers": tuple(logger)} if logger else {}))
    chosen = replace(chosen, encoders=_encoders(chosen, encoder or (), weights or (), frozen or (), augment or ()))
    from elision.cli.progress import training
    from elision.deep import processes
    from elision.runs.doors import train as run

    with training() as report:
        result = run(known, folder, chosen, resume is not None, report=report)
    if processes.rank() > 0:  # each process comes here
        sys.exit(0 if result.finished else 130)
    for damaged in result.damaged:
        print(f"elision: checkpoint {damaged} is damaged and was passed over", file=sys.stderr)
    if not result.finished:
        command = shlex.join(["elision", "train", "--resume", str(result.folder)])
        print(f"Stopped at step {result.step}; go on with: {command}", file=sys.stderr)
        sys.exit(130)
    _tell(result)


def _tell(result: Any) -> None:
    from elision.cli.tables import show_assessment
    from elision.runs.report import REPORT

    show_assessment(result.values["test"])
    print(f"Model: {result.folder / 'model'}")
    print(f"Report: {result.folder / REPORT}")


def _changed(config: Any, options: Any, data: str) -> Any:
    """Return a config, or the default of a class, with the options that were given."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    names = {f.name for f in fields(config)}
    wrong = next((name for name in given if name not in names), None)
    if wrong:
        kinds = (
            ("a table", "recordings") if names == {f.name for f in fields(TableConfig)} else ("recordings", "a table")
        )
        flag = "--" + wrong.replace("_", "-")
        raise InputError(f"{flag} is for {kinds[1]}, and {data} is {kinds[0]}: leave it out")
    return config(**given) if isinstance(config, type) else replace(config, **given)


def _table_config(path: Path | None, options: Any, encoders: Iterable[str], data: str) -> TableConfig:
    config = _changed(TableConfig if path is None else TableConfig.read(path), options, data)
    chosen = dict(config.encoders) if isinstance(config.encoders, Mapping) else {}
    for pair in encoders:
        modality, equals, name = pair.partition("=")
        if not equals:
            return replace(config, encoders=pair)
        chosen[modality] = name
    return replace(config, encoders=chosen or config.encoders)


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
