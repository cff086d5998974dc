"""`elision train`."""

import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from elision.cli.app import Many, address_with_features, naming_choices, spell_out
from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen, assessment_table
from elision.config import Config, EncoderConfig, TableConfig, TrainConfig
from elision.errors import InputError
from elision.parallel import Watcher

_BY_HAND = ("encoders", "options", "loggers", "data")


def _described(config: type[Config]) -> dict[str, str]:
    """Return what the docstrings of a config and of its base say of each option."""
    texts = [(inspect.getdoc(c) or "").partition("Args:")[2] for c in (Config, config)]
    entries = [e for text in texts for e in re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w+: |\Z)", text, re.S | re.M)]
    return {name: _as_help(" ".join(words.split())) for name, words in entries}


def _as_help(text: str) -> str:
    return spell_out((text[:1].upper() + text[1:]).replace("in `", "one of `"))


def _flags() -> type:
    """Make a dataclass of both configs' options, each None where it is not given; the help tells their defaults."""
    recordings, table = ({f.name: f for f in fields(c) if f.name not in _BY_HAND} for c in (TrainConfig, TableConfig))
    of_recordings, of_table = _described(TrainConfig), _described(TableConfig)
    options: list[tuple[str, Any, None]] = []
    for name, option in (table | recordings).items():
        text, default = (of_table | of_recordings)[name], option.default
        if name not in table:
            told = f"{text} [default: {default}; recordings only]"
        elif name not in recordings:
            told = f"{text} [default: {default}; tables only]"
        else:
            other = "" if of_table[name] == text else f" Of a table: {of_table[name]}"
            told = f"{text}{other} [default: {default}{_unless_same(default, table[name].default)}]"
        options.append((name, Annotated[option.type | None, Parameter(help=told, show_default=False)], None))
    return make_dataclass("Flags", options, frozen=True, namespace={"__module__": __name__})


def _unless_same(default: Any, of_table: Any) -> str:
    return "" if default == of_table else f"; of a table: {of_table}"


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
    extractor: Many = None,
    logger: Many = None,
    options: Annotated[Flags, Parameter(name="*")] = _NOTHING_GIVEN,
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on a table of numbers, or networks and classifier together on a store of recordings.

    Writes config.json, data.json, model/, result.json and report.html into the run's folder, and for recordings
    log.csv and checkpoints. Stopped at any moment, it can be continued with --resume, and gives the same model.

    Parameters
    ----------
    data
        A table (see `elision compare --help`), a data set that comes with Elision (`DATASETS`), or a
        store that `elision prepare` made: a folder, or an address such as s3://bucket/store.
    out
        Folder in which the run is written.
    resume
        Folder of a run to continue, in place of DATA and --out.
    config
        A JSON, YAML or TOML file of options, such as a run's config.json; its section data tells the columns of a
        table: label, id, group, split, modalities, ... Options on the command line take precedence.
    encoder
        MODALITY=NAME, such as visual=resnet18 audio=small-cnn: for recordings one of `NETWORKS`, or auto, which is
        small-cnn, or mlp for numbers. For a table one of `ENCODERS`, or auto, which is kernel and mlp, averaged; a
        NAME alone is for all modalities. Default: auto.
    weights
        MODALITY=WEIGHTS: pretrained weights by torchvision's name, such as visual=IMAGENET1K_V2. Recordings only.
    frozen
        Modalities whose network stays as it is: only its projection to the features is trained. Recordings only.
    augment
        Modalities whose frames are shifted and mirrored at random in training. Recordings only.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION, such as visual=mine:faces: a function of your own from uint8 pictures (n,
        windows, height, width, 3) to features (n, d), which are trained on in their place, and kept for the next time.
        Recordings only.
    logger
        mlflow and tensorboard, beside log.csv, which is always written. Recordings only.
    """
    from elision.runs.doors import is_table
    from elision.runs.doors import train as run

    if resume is not None and (out is not None or data is not None or extractor):
        raise InputError("--resume names the run's folder, which knows its data: leave DATA, --out and --extractor out")
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
        network = {"--weights": weights, "--frozen": frozen, "--augment": augment, "--extractor": extractor,
                   "--logger": logger}  # fmt: skip
        wrong = next((flag for flag, value in network.items() if value), None)
        if wrong:
            raise InputError(f"{wrong} is for recordings, and {known} is a table")
        for_table = _table_config(path, options, encoder or (), known)
        for_table = replace(for_table, data=for_table.data.changed(table.reading))
        _tell(Screen(as_json, quiet), run(known, folder, for_table, resume is not None))
        return
    if table.flag:
        raise InputError(f"{table.flag} is for a table, and {known} is a store of recordings: leave it out")
    known = address_with_features(known, extractor, quiet)
    chosen = _changed(TrainConfig if path is None else TrainConfig.read(path), options, known)
    chosen = replace(chosen, **({"loggers": tuple(logger)} if logger else {}))
    chosen = replace(chosen, encoders=_encoders(chosen, encoder or (), weights or (), frozen or (), augment or ()))
    from elision.deep import processes
    from elision.study.watch import watching

    planned: list[int] = []
    with watching(what="steps", news=True, quiet=quiet) as watch:
        result = run(known, folder, chosen, resume is not None, report=_reporting(watch, planned))
    if processes.rank() > 0:  # each process comes here
        sys.exit(0 if result.finished else 130)
    for damaged in result.damaged:
        print(f"elision: checkpoint {damaged} is damaged and was passed over", file=sys.stderr)
    if not result.finished:
        command = shlex.join(["elision", "train", "--resume", str(result.folder)])
        print(f"Stopped at step {result.step}; go on with: {command}", file=sys.stderr)
        sys.exit(130)
    if planned and result.step < planned[-1] and not quiet:
        print(
            f"Stopped early, at step {result.step} of {planned[-1]}: validation had not improved for {chosen.patience} "
            "epochs (--patience); the best parameters are kept",
            file=sys.stderr,
        )
    _tell(Screen(as_json, quiet), result)


def _reporting(watch: Watcher, planned: list[int]) -> Callable[[Any], None]:
    """Return what tells a watcher of a training's log: its loss, validation, speed, and time left.

    ``planned`` takes how many steps there are to be.
    """
    known: dict[str, float] = {}
    parts = {
        "loss": "loss {:.3f}", "validation_accuracy": "validation accuracy {:.1%}", "validation_nll": "NLL {:.3f}",
        "samples_per_second": "{:.0f} segments/s",
    }  # fmt: skip

    def show(report: Any) -> None:
        planned[:] = [report.steps]
        known.update(report.values)
        told = [text.format(known[name]) for name, text in parts.items() if name in known]
        watch(report.step, report.steps, [", ".join(told)], report.seconds_left)

    return show


def _tell(screen: Screen, result: Any) -> None:
    from elision.runs.report import REPORT

    screen.show(assessment_table(result.test))
    screen.say(f"Model: {result.folder / 'model'}")
    screen.give({"folder": str(result.folder)} | result.values)
    screen.say(f"Report: {result.folder / REPORT}")


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
