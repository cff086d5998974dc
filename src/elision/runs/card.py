"""The model card of a run: what it was trained on, how good it is for whom, its limits, and how to use it."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from elision.decisions.sets import needed
from elision.evaluation import Assessment
from elision.files import write_atomically
from elision.models import CLASSIFIER, kind_of
from elision.run_folder import MODEL, RunFolder
from elision.versions import versions

CARD = "MODEL.md"
FEW_TESTED, FEW_TRAINED = 100, 30
"""Test samples of a pattern, and training samples of a class, below which the card warns of them."""


def write_card(run: Path, assessed: Assessment) -> None:
    """Write MODEL.md into a finished run's folder; ``assessed``: its test part."""
    folder = RunFolder(run)
    told = [*_heading(folder, assessed), *_data(folder), *_metrics(assessed), *_limits(folder, assessed), *_use(folder)]
    write_atomically(run / CARD, "\n".join(told) + "\n")


def _heading(folder: RunFolder, assessed: Assessment) -> list[str]:
    data, config, m = folder.data.get("address", ""), folder.config, assessed.metrics
    of = "a table" if kind_of(folder.path / MODEL) == CLASSIFIER else "recordings"
    return [
        "---", "library_name: elision", "tags: [multimodal, missing-modality, classification]", "---", "",
        f"# {_plain(config.get('method', 'A model'))} on {_plain(Path(data).stem)}", "",
        f"It gives the probabilities of {len(assessed.classes)} classes for samples of {of} that show any of its "
        f"modalities; what a sample lacks is averaged out. On {m.n:,} test samples its first choice is right in "
        f"{100 * m.accuracy:.1f} %, at {m.nll:.3f} nats.",
    ]  # fmt: skip


def _data(folder: RunFolder) -> list[str]:
    counts, training, config = folder.result.get("samples", {}), folder.result.get("training", {}), folder.config
    n = counts.get("train", 0)
    told = ["", "## Data", "", f"Address: {_code(folder.data.get('address', ''))}  "]
    told += [f"Fingerprint: {_code(folder.data.get('fingerprint', ''))}", ""]
    complete = f"; {counts['complete']:,} of the training part show every modality" if "complete" in counts else ""
    parts = ", ".join(f"{size:,} {part}" for part, size in counts.items() if part != "complete")
    told += [f"Samples: {parts}{complete}. Split {training.get('split', '')} with seed {config.get('seed')}.", ""]
    if config.get("missing", "none") != "none":
        told += [
            f"For an experiment {_plain(config['missing'])} was taken away from a share of {config['rate']:g} of the "
            f"training samples ({_plain(config['mechanism'])}).", "",
        ]  # fmt: skip
    shown = training.get("modalities", {})
    told += _table(("modality", "training samples that show it", "share"),
                   ((m, f"{k:,}", f"{100 * k / max(n, 1):.1f} %") for m, k in shown.items()))  # fmt: skip
    told += _table(("class", "training samples"), ((c, f"{k:,}") for c, k in training.get("classes", {}).items()))
    if training.get("unlabelled"):
        told += [f"{training['unlabelled']:,} training samples have no label.", ""]
    return told


def _metrics(assessed: Assessment) -> list[str]:
    rows = (
        (name, f"{m.n:,}", f"{100 * m.accuracy:.1f} %", f"{m.nll:.3f}", f"{m.ece:.3f}", f"{m.brier:.3f}")
        for name, m in assessed.rows.items()
    )
    table = _table(("samples", "n", "accuracy", "NLL, nats", "ECE", "Brier"), rows)
    return ["## How good it is", "", f"Measured on: {_plain(assessed.samples)}, which decided nothing.", "", *table]


def _limits(folder: RunFolder, assessed: Assessment) -> list[str]:
    few = [f"{name} ({m.n})" for name, m in assessed.patterns.items() if m.n < FEW_TESTED]
    classes = folder.result.get("training", {}).get("classes", {})
    rare = [f"{name} ({k})" for name, k in classes.items() if k < FEW_TRAINED]
    told = [
        "It was judged on the same source of data as it was trained on: of others nothing is known.",
        "A pattern of modalities that no test sample shows was not judged at all.",
        "Which modalities are missing is taken to say nothing of the class, unless the data gave that as a column.",
    ]
    if few:
        told.append(f"Few test samples show just: {_plain(', '.join(few))}. Their figures are rough.")
    if rare:
        told.append(f"Few training samples have the class: {_plain(', '.join(rare))}.")
    if assessed.metrics.n < needed(0.9):
        told.append("The test part is too small to calibrate sets of classes that hold the truth nine times in ten.")
    else:
        told.append("Sets of classes were calibrated on the test part: they hold for new samples that are like it.")
    return ["## Limits", "", *(f"* {line}" for line in told), ""]


def _use(folder: RunFolder) -> list[str]:
    run, result = folder.path.name, folder.result
    table = kind_of(folder.path / MODEL) == CLASSIFIER
    files = "NEW.csv" if table else "CLIP.mp4"
    ask = "model.predict_proba(frame)  # a DataFrame; leave out, or blank, what is missing" if table else (
        f'list(elision.predict("{run}", ["{files}"]))')  # fmt: skip
    told = ["## How to use it", "", "```python", "import elision", "", f'model = elision.load("{run}")', ask, "```", ""]
    told += ["```", f"elision predict {run} {files}", f"elision evaluate {run}", f"elision serve {run}", "```", ""]
    told += ["## How it was made", ""]
    told += _table(("what", "version"), versions("torch", "numpy").items())
    if "seconds" in result:
        told += [f"Training took {result['seconds']:.1f} s. Its configuration, `config.json`:", ""]
    return [*told, "```json", json.dumps(folder.config, indent=1), "```"]


def _table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(_plain(str(cell)) for cell in row)} |" for row in rows]
    if not lines:
        return []
    edge = "".join(f"---{':' if i else ''}|" for i in range(len(heading)))
    return [f"| {' | '.join(heading)} |", f"|{edge}", *lines, ""]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return f"`` {' '.join(text.split())} ``" if "`" in text else f"`{' '.join(text.split())}`"
