"""`elision compare`: which method should I use on my data, and how well will it do?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elision.choices import OBJECTIVES
from elision.data.dataset import Dataset
from elision.data.formats import DETECTED, TableFormat
from elision.data.missing import ANY, LABELS, NONE
from elision.data.sources import load
from elision.data.splits import split
from elision.errors import InputError, check_choice
from elision.registries import ENCODERS, FUSIONS, MECHANISMS, METHODS
from elision.study.on_arrays import partition
from elision.study.plan import Plan
from elision.study.run import CLAIMS, RIVALS, UPPER_BOUND, Run, Training

EACH = "each"
ALL = "all"


@dataclass(frozen=True)
class Comparison:
    """Say what is compared; empty tuples and None mean the default for the data.

    Args:
        data: a name in `DATASETS`, or a table's path.
        methods: names in `METHODS`, and "upper-bound"; "all" means all of these.
        fusions: names in `FUSIONS`.
        objectives: "auto" (a method's own, and what the estimator averages with it), "all" (that a method has,
            averaged), "joint", "conditional".
        encoders: a name in `ENCODERS`, or "auto".
        missing: modalities to remove from training samples, one at a time; "each" (all of them), "any", or "none".
            Default: each for complete data, none for data that lacks modalities by itself.
        rates: shares of the training samples to remove them from.
        seeds: repetitions, each with its own split, missing samples and model.
        by_group: keep groups together when splitting; default: if the table has a column ``group``.
        mechanism: which samples lose it: "mcar" (at random), "mar" (depending on what remains observed), "mnar"
            (depending on what goes missing), "mnar-label" (depending on the class).
        unlabelled: shares of the training samples to remove the label from, beside what scikit-learn makes of the rest;
            then modalities are removed only if ``missing`` names some.
        class_weight: "balanced" makes all classes as heavy in training, however common; None counts samples.
        informative_missingness: whether the modalities that a sample shows tell of its class too.
        form: how a table is written, and which of its columns is what.
    """

    data: str
    methods: tuple[str, ...] = ("mle", "lower-bound", "zero-padding")
    fusions: tuple[str, ...] = ("addition",)
    objectives: tuple[str, ...] = ("auto",)
    encoders: str = "auto"
    missing: tuple[str, ...] = ()
    rates: tuple[float, ...] = (0.5, 0.8, 0.95)
    seeds: int = 3
    by_group: bool | None = None
    mechanism: str = "mcar"
    unlabelled: tuple[float, ...] = ()
    class_weight: str | None = None
    informative_missingness: bool = False
    form: TableFormat = DETECTED

    def __post_init__(self) -> None:
        if ALL in self.methods:
            object.__setattr__(self, "methods", (*METHODS, UPPER_BOUND))
        for what, values, choices in (
            ("method", self.methods, (*METHODS, UPPER_BOUND)),
            ("fusion", self.fusions, FUSIONS),
            ("objective", self.objectives, OBJECTIVES),
            ("encoder", (self.encoders,), ("auto", *ENCODERS)),
            ("mechanism", (self.mechanism,), MECHANISMS),
            ("class weight", (self.class_weight or "balanced",), ("balanced",)),
        ):
            for value in values:
                check_choice(what, value, choices)
        for rate in (*self.rates, *self.unlabelled):
            if not 0 < rate < 1:
                raise InputError(f"rate {rate} cannot be used: expected shares above 0 and below 1, such as 0.8")
        if self.seeds < 1:
            raise InputError(f"seeds is {self.seeds}: expected at least 1")


def plan_comparison(comparison: Comparison) -> Plan:
    """Check a comparison against its data, and list its runs. Nothing is trained yet.

    Its `Plan.about` tells what was ``skipped``: [what, why] of combinations that make no sense.
    """
    data = load(comparison.data, comparison.form)
    by_group = data.groups is not None if comparison.by_group is None else comparison.by_group
    if by_group and data.groups is None:
        raise InputError(f"{comparison.data} has no column {comparison.form.group!r}: add one, or split at random")
    if data.parts is None:
        for seed in range(comparison.seeds):
            split(data.codes, data.groups if by_group else None, seed, data.classes.tolist())
    lines, skipped = _lines(comparison, data.weights is not None)
    cells = _cells(comparison, data)
    if UPPER_BOUND in comparison.methods and (NONE, 0.0) in cells:
        skipped.append((f"{UPPER_BOUND}, data as it is", "what the data lacks by itself is not known"))
    estimator = {"class_weight": comparison.class_weight, "informative_missingness": comparison.informative_missingness}
    options = tuple((name, value) for name, value in estimator.items() if value)
    fingerprint, training = data.fingerprint(), Training(comparison.encoders, options=options)
    every = [
        Run(comparison.data, data.name, fingerprint, by_group, *line, training, missing, rate, seed,
            comparison.mechanism, form=comparison.form)
        for seed in range(comparison.seeds)
        for missing, rate in cells
        for line in lines
        if (line[0] != UPPER_BOUND or missing != NONE) and (line[0] not in RIVALS or missing == LABELS)
    ]  # fmt: skip
    runs = _with_complete_samples(every, skipped)
    if all(run.method == UPPER_BOUND for run in runs):
        raise InputError("nothing is left to compare: " + "; ".join(f"{what}: {why}" for what, why in skipped))
    settings = asdict(comparison) | {"data": data.name, "fingerprint": fingerprint}
    del settings["form"]  # of no account beside the fingerprint of what was read
    about = {"name": data.name, "facts": _facts(comparison, data, by_group), "skipped": skipped}
    return Plan("comparison", settings, about, runs)


def _facts(comparison: Comparison, data: Dataset, by_group: bool) -> dict[str, Any]:
    shares = {m: mask.mean() for m, mask in data.observed.items()}
    shown = [f"{m} ({np.prod(a.shape[1:])} numbers, {shares[m]:.0%} of samples)" for m, a in data.arrays.items()]
    at_random = "70 / 15 / 15 " + ("by whole groups" if by_group else "at random, stratified by class")
    own, seeds = "" if data.parts is not None else "split, ", comparison.seeds
    facts = {
        "Data": f"{data.name}: {len(data.labels):,} samples, {len(data.classes)} classes",
        "Modalities": "; ".join(shown),
        "Split": "as the column split says" if data.parts is not None else at_random,
        "Repetitions": f"{seeds} seed{'s' * (seeds != 1)}, each with its own {own}missing samples and models",
        "Encoders": comparison.encoders,
    }
    unlabelled = int((data.labels == "").sum())
    return facts | ({"Unlabelled": f"{unlabelled:,} samples"} if unlabelled else {})


def _with_complete_samples(runs: Sequence[Run], skipped: list[tuple[str, str]]) -> list[Run]:
    """Return the runs that have the complete training samples which their method wants; tell the others."""
    counts: dict[tuple, tuple[int, int]] = {}  # complete training samples, and those of them with a label
    kept, refused = [], defaultdict(list)
    for run in runs:
        claims, cell = CLAIMS[run.method], (run.missing, run.rate, run.seed)
        if claims.needs_complete and cell not in counts:
            part = partition(run)
            counts[cell] = int(part.complete.sum()), int((part.complete & (part.train.codes >= 0)).sum())
        if claims.needs_complete and not counts[cell][claims.needs_labels]:
            refused[run.setting, claims.needs_complete].append(str(run.seed))
        else:
            kept.append(run)
    skipped += [(what, f"{why}, and there are none (seed {', '.join(s)})") for (what, why), s in refused.items()]
    return kept


def _lines(comparison: Comparison, weighted: bool) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Return (method, fusion, objective) that make sense, and (what, why) of those that do not."""
    lines: list[tuple[str, str, str]] = []
    skipped: list[tuple[str, str]] = []
    for method in dict.fromkeys(comparison.methods):
        claims = CLAIMS[method]
        for fusion in dict.fromkeys(comparison.fusions):
            for objective in dict.fromkeys(comparison.objectives):
                try:
                    if claims.unweighted and (weighted or comparison.class_weight is not None):
                        raise InputError(f"it takes no weights: {claims.unweighted}")
                    for concrete in claims.meant(objective):
                        claims.check(method, fusion, concrete)
                    lines.append((method, fusion, objective))
                except InputError as error:
                    skipped.append((f"{method}, {fusion}, {objective}", str(error)))
    if all(method == UPPER_BOUND for method, *_ in lines):
        reasons = "; ".join(why for _, why in skipped) or f"{UPPER_BOUND} is a reference, not a method"
        raise InputError(f"nothing is left to compare: {reasons}")
    weighted = weighted or comparison.class_weight is not None
    able = [name for name, claims in RIVALS.items() if not (weighted and claims.unweighted)]
    rivals = [(name, lines[0][1], "auto") for name in able] if comparison.unlabelled else []
    return [*lines, *rivals], skipped


def _cells(comparison: Comparison, data: Dataset) -> list[tuple[str, float]]:
    """Return (missing, rate) of every column of the table."""
    default = (EACH,) if data.is_complete and len(data.arrays) > 1 else (NONE,)
    cells: list[tuple[str, float]] = [(LABELS, rate) for rate in comparison.unlabelled]
    if cells and LABELS in data.arrays:
        raise InputError(f"{data.name} has a modality {LABELS!r}, a word that --unlabelled keeps for itself: rename it")
    for missing in comparison.missing or (() if cells else default):
        check_choice("modality", missing, (EACH, ANY, NONE, *data.arrays))
        if missing == ANY and comparison.mechanism != "mcar":
            raise InputError(f"mechanism {comparison.mechanism!r} removes a modality that is named: --missing each")
        names = list(data.arrays) if missing == EACH else [missing]
        if missing != NONE and len(data.arrays) < 2:
            raise InputError(f"{data.name} has one modality only: nothing can be removed; use --missing none")
        cells += [(name, rate) for name in names for rate in (comparison.rates if name != NONE else (0.0,))]
    return list(dict.fromkeys(cells))
