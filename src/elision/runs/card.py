"""The card of a trained model: what it was trained on, how good it is for whom, its limits, and how to use it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Making:
    """Say how a model came to be.

    Args:
        data: "address" and "fingerprint" of what it was trained on, as far as they are known.
        config: what decided it, JSON; "method" names it, and "missing", "rate" and "mechanism" what was taken away.
        counts: part -> its samples; "complete": the training samples that show every modality.
        training: of the training samples, what `elision.data.partition.Partition.training_counts` gives.
        division: who was trained on and who judged it, in a sentence.
        use: lines of Python, and then of the shell, that use it.
        cautions: further limits, in sentences.
        seconds: that training took.
    """

    data: Mapping[str, str]
    config: Mapping[str, Any]
    counts: Mapping[str, int]
    training: Mapping[str, Any]
    division: str
    use: tuple[Sequence[str], Sequence[str]]
    cautions: Sequence[str] = ()
    seconds: float | None = None

    @classmethod
    def of_run(cls, path: Path) -> "Making":
        """Return that of a finished run."""
        folder, run = RunFolder(path), path.name
        result, config = folder.result, folder.config
        training = result.get("training", {})
        table = kind_of(path / MODEL) == CLASSIFIER
        files = "NEW.csv" if table else "CLIP.mp4"
        ask = f'list(elision.predict("{run}", ["{files}"]))'
        if table:
            ask = "model.predict_proba(frame)  # a DataFrame; leave out, or blank, what is missing"
        python = ["import elision", "", f'model = elision.load("{run}")', ask]
        shell = [f"elision predict {run} {files}", f"elision evaluate {run}", f"elision serve {run}"]
        division = f"Split {training.get('split', '')} with seed {config.get('seed')}."
        return cls(folder.data, config, result.get("samples", {}), training, division, (python, shell),
                   seconds=result.get("seconds"))  # fmt: skip


def write_card(folder: Path, assessed: Assessment, made: Making) -> None:
    """Write MODEL.md into the folder of a run or a comparison, which holds the model.

    Args:
        folder: in which it is written.
        assessed: how good the model is on samples that decided nothing.
        made: how it came to be.
    """
    of = "a table" if kind_of(folder / MODEL) == CLASSIFIER else "recordings"
    told = [
        *_heading(made, of, assessed), *_data(made), *_metrics(assessed), *_limits(made, assessed), *_use(made),
    ]  # fmt: skip
    write_atomically(folder / CARD, "\n".join(told) + "\n")


def _heading(made: Making, of: str, assessed: Assessment) -> list[str]:
    name, m = Path(made.data.get("address", "")).stem, assessed.metrics
    return [
        "---", "library_name: elision", "tags: [multimodal, missing-modality, classification]", "---", "",
        f"# {_plain(made.config.get('method', 'A model'))} on {_plain(name)}", "",
        f"It gives the probabilities of {len(assessed.classes)} classes for samples of {of} that show any of its "
        f"modalities; what a sample lacks is averaged out. On {m.n:,} test samples its first choice is right in "
        f"{100 * m.accuracy:.1f} %, at {m.nll:.3f} nats.",
    ]  # fmt: skip


def _data(made: Making) -> list[str]:
    counts, training, config = made.counts, made.training, made.config
    n = counts.get("train", 0)
    told = ["", "## Data", "", f"Address: {_code(made.data.get('address', ''))}  "]
    told += [f"Fingerprint: {_code(made.data.get('fingerprint', ''))}", ""]
    complete = f"; {counts['complete']:,} of the training part show every modality" if "complete" in counts else ""
    parts = ", ".join(f"{size:,} {part}" for part, size in counts.items() if part != "complete")
    told += [f"Samples: {parts}{complete}. {made.division}", ""]
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
    on = f"Measured on: {_plain(assessed.samples)}, which decided nothing of its training."
    return ["## How good it is", "", on, "", *table]


def _limits(made: Making, assessed: Assessment) -> list[str]:
    few = [f"{name} ({m.n})" for name, m in assessed.patterns.items() if m.n < FEW_TESTED]
    rare = [f"{name} ({k})" for name, k in made.training.get("classes", {}).items() if k < FEW_TRAINED]
    told = [
        "It was judged on the same source of data as it was trained on: of others nothing is known.",
        "A pattern of modalities that no test sample shows was not judged at all.",
        "Which modalities are missing is taken to say nothing of the class, unless the data gave that as a column.",
        *made.cautions,
    ]
    if few:
        told.append(f"Few test samples show just: {_plain(', '.join(few))}. Their figures are rough.")
    if rare:
        told.append(f"Few training samples have the class: {_plain(', '.join(rare))}.")
    if assessed.metrics.n < needed(0.9):
        told.append("Too few samples judged it to calibrate sets of classes that hold the truth nine times in ten.")
    else:
        told.append(
            "Sets of classes were calibrated on the samples that judged it: they hold for new ones that are like these."
        )
    return ["## Limits", "", *(f"* {line}" for line in told), ""]


def _use(made: Making) -> list[str]:
    python, shell = made.use
    told = ["## How to use it", "", "```python", *python, "```", "", "```", *shell, "```", "", "## How it was made", ""]
    told += _table(("what", "version"), versions("torch", "numpy").items())
    if made.seconds is not None:
        told += [f"Training took {made.seconds:.1f} s. Its configuration, `config.json`:", ""]
    return [*told, "```json", json.dumps(made.config, indent=1), "```"]


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
