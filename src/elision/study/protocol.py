"""What the paper leaves open, and what is chosen for it: the training of each table, and the words of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from elision.study.features import EXTRACTORS, STAND_INS, Extractor
from elision.study.run import END_TO_END, Training

NO_WEIGHTS = "none"
_KEPT = {
    "last": "the last parameters of each stage are kept, and validation decides nothing",
    "best": "the parameters of the best validation value of each stage are kept",
}


LEAST_STEPS = 300
"""Of a training on features that counts no epochs."""


@dataclass(frozen=True)
class Protocol:
    """Decide how all settings are carried out.

    Args:
        training: table -> how each of its methods is trained.
        extractors: of Table 2, by name.
        seeds: runs of each setting.
    """

    training: Mapping[str, Training]
    extractors: Mapping[str, Extractor]
    seeds: int


PAPER = Protocol(
    training={
        "table1": Training(
            "resnet50", 128, max_epochs=20, batch_size=64, learning_rate=1e-4, way=END_TO_END,
            options=(("weights", "IMAGENET1K_V2"),),
        ),
        "table2": Training("mlp", 32, way="segments", options=(("selection", "last"),)),
    },
    extractors=EXTRACTORS,
    seeds=5,
)  # fmt: skip
"""For the paper's data."""

STAND_IN = Protocol(
    training={
        "table1": Training(
            "small-cnn", 32, max_epochs=12, batch_size=32, learning_rate=2e-3, way=END_TO_END,
            options=(("patience", 0), ("checkpoint_minutes", 60.0), ("checkpoint_steps", 10**6)),
        ),
        "table2": Training("mlp", 32, max_epochs=20, batch_size=64, way="segments", options=(("selection", "last"),)),
    },
    extractors=STAND_INS,
    seeds=1,
)  # fmt: skip
"""For drawn faces: small enough for two cores."""


def changed(
    protocol: Protocol, max_epochs: int | None = None, encoder: str | None = None, weights: str | None = None
) -> Protocol:
    """Return a protocol with other epochs for both tables, another encoder of Table 1 or other weights, if given.

    Weights called "none" are random ones.
    """
    training = dict(protocol.training)
    if max_epochs is not None:
        training = {table: replace(t, max_epochs=max_epochs) for table, t in training.items()}
    first = training["table1"]
    options = dict(first.options)
    if weights is not None:
        options["weights"] = weights
    if options.get("weights") == NO_WEIGHTS or (encoder and weights is None):
        options.pop("weights", None)
    training["table1"] = replace(first, encoders=encoder or first.encoders, options=tuple(options.items()))
    return replace(protocol, training=training)


def choices(protocol: Protocol, tables: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what the paper leaves open -> what was chosen, for the report.

    Args:
        protocol: of the runs.
        tables: that are run.
        parameters: table -> what its store was prepared with, as its manifest says; {} where there is no store.
    """
    found = [
        ("Split", "70 / 15 / 15; stratified by class when by video, by whole speakers otherwise; a new one for each "
         "seed, the same for every method"),
        ("Missing modality", "exactly the stated share of the training videos, drawn anew for each seed and the same "
         "for every method, the fewer among the more; validation and test are complete"),
        ("Sum over what is missing", "over all training samples that show it, complete or not"),
        ("Deviation", "of the sample, over runs (n - 1)"),
    ]  # fmt: skip
    for table in tables:
        if table in protocol.training:
            found += [(f"Table {table[-1]}: {what}", text) for what, text in _of_table(protocol, table)]
            found += [(f"Table {table[-1]}: {what}", text) for what, text in _of_store(parameters.get(table) or {})]
    return dict(found)


def _of_table(protocol: Protocol, table: str) -> list[tuple[str, str]]:
    training = protocol.training[table]
    options = dict(training.options)
    if table == "table1":
        from elision.config import TrainConfig

        values = vars(TrainConfig()) | options
        start = f"from the weights {values['weights']}" if values.get("weights") else "from random weights"
        return [
            ("encoders", f"{training.encoders} for frames and for spectrograms, {start}; k = {training.n_features}"),
            ("training", f"{values['optimizer']}, peak rate {training.learning_rate}, batches of {training.batch_size} "
             f"segments, {training.max_epochs} epochs at most, warm-up and cosine, weight decay "
             f"{values['weight_decay']}; the weights of the best validation NLL are tested"),
            ("bank", f"{values['bank']}: last features of all training segments"),
        ]  # fmt: skip
    extractors = "; ".join(f"{name}: {e.summary}" for name, e in protocol.extractors.items())
    epochs = (
        f"{training.max_epochs} epochs"
        if training.max_epochs
        else f"{LEAST_STEPS} steps, or 20 epochs if that is more,"
    )
    return [
        ("fusion", "addition: the paper does not say which"),
        ("extractors", extractors),
        ("training", f"on features: encoder {training.encoders}, k = {training.n_features}, Adam, peak rate "
         f"{training.learning_rate or 5e-3}, {epochs} for each stage of each method (AE1 has two, AE2 a third for its "
         f"self-training), no early end; {_KEPT[options.get('selection', 'best')]}"),
    ]  # fmt: skip


def _of_store(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = parameters.get("settings") or {}
    own = [("features", f"{m} by {e['name']}") for m, e in (settings.get("extractors") or {}).items()]
    if "mel" not in settings:
        return own
    mel = ", ".join(f"{name} {value}" for name, value in settings["mel"].items())
    crop = settings["crop"] or "none: the whole picture, its middle square"
    return [
        ("segments", f"{settings['windows']} of {settings['seconds']} s, evenly spread; their posteriors are averaged"),
        ("frames", f"{settings['size']} pixels a side; face cropping: {crop}"),
        ("log-mel", mel),
        *own,
    ]
