"""Table 1's way: encoders of frames and spectrograms and the label layer trained together."""

import shutil
from pathlib import Path
from typing import Any

from elision.config import EncoderConfig, TrainConfig
from elision.deep.train import train
from elision.errors import TrainingError
from elision.run_folder import CONFIG
from elision.study.paper_run import PaperRun


def config_of(run: PaperRun) -> TrainConfig:
    """What `elision.deep.train` is to do for a run."""
    training, setting = run.training, run.setting
    options = dict(training.options)
    encoder = EncoderConfig(
        training.encoder, weights=options.pop("weights", None), augment=options.pop("augment", False)
    )
    given = {"epochs": training.max_epochs, "batch_size": training.batch_size, "learning_rate": training.learning_rate}
    return TrainConfig(
        method=setting.method,
        fusion=setting.fusion,
        objective=setting.objective,
        encoders=dict.fromkeys(run.modalities, encoder),
        n_features=training.n_features,
        missing=run.missing,
        rate=setting.rate,
        by_group=run.by_group,
        seed=run.seed,
        **options | {name: value for name, value in given.items() if value is not None},
    )


def train_and_assess(run: PaperRun) -> dict[str, Any]:
    """Train, or go on where an earlier attempt was stopped, and test; the weights are not kept."""
    folder = Path(run.folder) / run.key
    result = train(run.address, folder, config_of(run), resume=(folder / CONFIG).exists())
    if not result.finished:
        raise TrainingError(f"stopped at step {result.step}, and goes on from there when it is started again")
    values = result.values
    shutil.rmtree(folder)
    return {
        "n_train": values["samples"]["train"],
        "n_complete": values["samples"]["complete"],
        "metrics": values["test"]["metrics"],
        "confusion": values["test"]["confusion"],
        "classes": values["test"]["classes"],
        "seconds": values["seconds"],
        "best_steps": [values["best_step"]],
    }
