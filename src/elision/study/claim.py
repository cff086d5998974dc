"""`elision reproduce claim`: the paper's methods beside the joint objective, on any data with several modalities."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from elision.data.formats import DETECTED, TableFormat
from elision.data.partition import Partition
from elision.data.sources import load
from elision.errors import InputError, check_choice
from elision.registries import METHODS
from elision.study.paper import ROWS, SEEDS, TABLE1
from elision.study.plan import Plan
from elision.study.protocol import LEAST_STEPS
from elision.study.run import BY_GROUP, Run, Training
from elision.study.sources import check_speakers, count_groups

CLAIM = "claim"
LINES = {line: row.title for line, row in ROWS.items()} | {
    ("late-fusion", "conditional"): "late fusion (not in the paper)"
}
"""(method, objective) -> what its row is called, in the order of the rows."""
RATES = (0.8, 0.9, 0.95, 0.5)
"""Shares of the training samples that lack a modality, the most telling first."""
TRAINING = Training("mlp", 32, way="segments", options=(("selection", "best"),))
CHOICES = {
    "Split": "70 / 15 / 15; stratified by class when by video (sample by sample), by whole speakers (groups) "
    "otherwise, validation too; a new one for each seed, the same for every method; the data's own split goes before",
    "Missing modality": "exactly the stated share of the training samples, drawn anew for each seed and the same for "
    "every method, the fewer among the more; validation and test are as the data has them",
    "Training": f"MLP encoders, k = 32, Adam by fan-in, {LEAST_STEPS} steps (20 epochs if that is more) for each stage "
    "of each method; the parameters of the best validation value of each stage are kept",
    "Sum over what is missing": "over all training samples that show it, complete or not",
}


def plan_claim(
    data: Sequence[str],
    split: str = "both",
    seeds: int | None = None,
    only: Sequence[str] = (),
    limit: int | None = None,
    form: TableFormat = DETECTED,
) -> Plan:
    """Check the data, and list the runs, so that a study that was stopped is a smaller one. Nothing is trained.

    All of the first seed come first, of them those of addition, and of those the columns of `RATES` in that order.

    Args:
        data: tables, stores or names in `DATASETS`.
        split: "video", "speaker" or "both".
        seeds: of each setting; None is the paper's five.
        only: runs whose title contains one of these; () is all.
        limit: at most so many runs; None is all.
        form: how tables are read.

    Raises:
        InputError: the data cannot be split so, or shows one modality only.
    """
    check_choice("split", split, BY_GROUP)
    for name, value in (("seeds", seeds), ("limit", limit)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}: expected 1 or more")
    found = []
    for entry in data:
        address = str(Path(entry).absolute()) if Path(entry).exists() else entry
        known = load(address, form)
        if len(known.arrays) < 2:
            raise InputError(f"{entry} has one modality only, {', '.join(known.arrays)}: expected two or more")
        check_speakers(entry, split, count_groups(known.groups))
        for by_group in BY_GROUP[split]:
            for seed in range(seeds or SEEDS):
                Partition.of(known, seed, by_group).check()
        if any(known.name == other.name for _, other, _ in found):
            raise InputError(f"two of the data sets are called {known.name!r}: rename one of the files")
        found.append((address, known, known.fingerprint()))
    runs = [
        Run(address, known.name, fingerprint, by_group, method, fusion, objective, TRAINING, missing, rate, seed,
            table=CLAIM, form=form)
        for seed in range(seeds or SEEDS)
        for fusion in TABLE1.blocks
        for rate in RATES
        for address, known, fingerprint in found
        for by_group in BY_GROUP[split]
        for missing in known.arrays
        for method, objective in LINES
        if fusion not in METHODS[method].claims.refusals
    ]  # fmt: skip
    chosen = [run for run in runs if not only or any(text in run.title for text in only)]
    if not chosen:
        raise InputError(f"no run is called {' or '.join(only)}: titles are such as {runs[0].title!r}")
    settings = {
        "data": {known.name: f"{len(known.labels):,} samples, {len(known.classes)} classes" for _, known, _ in found},
        "fingerprints": {known.name: fingerprint for _, known, fingerprint in found},
        "training": asdict(TRAINING),
    }
    return Plan(CLAIM, settings, {"choices": CHOICES}, chosen[:limit])
