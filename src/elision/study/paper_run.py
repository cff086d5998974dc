"""A run of one of the paper's settings: what decides its result, and where results are."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elision.errors import InputError
from elision.study import folders
from elision.study.paper import Setting

SPLITS = {False: "by video", True: "by speaker"}
"""Whether the split keeps groups together -> what it is called."""
VISUAL_NAMES = ("visual", "face", "video", "image", "frames")
"""What data may call the paper's visual modality."""
RUNS = "runs"


@dataclass(frozen=True)
class Training:
    """How every method of a table is trained: the same for all of them.

    Args:
        encoder: of each modality; a name in `ENCODERS` (Table 2), or in `NETWORKS` (Table 1).
        n_features: k.
        max_epochs: passes over the training samples; None is the default of the table's training loop.
        batch_size: segments per step; None is that loop's default.
        learning_rate: at its peak; None is that loop's default.
        options: further ones of the table's training loop, (name, value).
    """

    encoder: str
    n_features: int
    max_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class PaperRun:
    """Everything that decides a result, and where things lie, which does not.

    Args:
        setting: the cell of the table.
        seed: of the split, of what goes missing, and of the model.
        by_group: split by speaker, not by video.
        data: the data set's name.
        fingerprint: of its content, extractor included.
        training: how.
        visual: the data's name of the paper's visual modality.
        address: of the data; not part of the run's identity.
        folder: for checkpoints; not part of the run's identity.
    """

    setting: Setting
    seed: int
    by_group: bool
    data: str
    fingerprint: str
    training: Training
    visual: str
    address: str
    folder: str = ""

    @property
    def key(self) -> str:
        """The same wherever data and results lie."""
        identity = {k: v for k, v in asdict(self).items() if k not in ("address", "folder")}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """For progress, and for ``--only``."""
        return f"{self.setting.title}, {SPLITS[self.by_group]}, seed {self.seed}"

    @property
    def modalities(self) -> tuple[str, str]:
        """The data's names of visual and audio."""
        return self.visual, "audio"

    @property
    def missing(self) -> str:
        """The data's name of what is missing."""
        return self.visual if self.setting.missing == "visual" else self.setting.missing


def kind(run: PaperRun) -> tuple[str, str, str]:
    """Runs of one kind take about as long as each other."""
    return run.setting.table, run.setting.method, run.setting.extractor


def visual_name(names: Iterable[str], source: str) -> str:
    """The data's name of the paper's visual modality.

    Raises:
        InputError: the data has no sound, or no picture.
    """
    names = list(names)
    visual = next((name for name in VISUAL_NAMES if name in names), None)
    if "audio" not in names or visual is None:
        raise InputError(
            f"{source} has the modalities {', '.join(names)}: the paper's tables need 'audio', "
            f"and one called {', '.join(VISUAL_NAMES[:-1])} or {VISUAL_NAMES[-1]}"
        )
    return visual


def read_results(out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(results, failures) of a grid's folder, in a stable order; a result that was changed is a failure."""
    keys = sorted(folder.name for folder in (out / RUNS).glob("[!.]*"))
    read = [folders.read(out / RUNS, key, key) for key in keys]
    return [result for result, _ in read if result], [failure for _, failure in read if failure]
