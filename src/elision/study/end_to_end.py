"""Runs on recordings: encoders of frames and spectrograms and the label layer trained together."""

import shutil
from dataclasses import replace
from pathlib import Path

from elision.config import EncoderConfig, TrainConfig
from elision.deep.train import train
from elision.errors import TrainingError
from elision.run_folder import CONFIG
from elision.study.results import Result
from elision.study.run import Run


def config_of(run: Run) -> TrainConfig:
    """Return what `elision.deep.train` is to do for a run."""
    training = run.training
    options = dict(training.options)
    encoder = EncoderConfig(
        training.encoders, weights=options.pop("weights", None), augment=options.pop("augment", False)
    )
    given = {"epochs": training.max_epochs, "batch_size": training.batch_size, "learning_rate": training.learning_rate}
    return TrainConfig(
        method=run.method,
        fusion=run.fusion,
        objective=run.objective,
        encoders={run.visual: encoder, "audio": encoder},
        n_features=training.n_features,
        missing=run.visual if run.missing == "visual" else run.missing,
        rate=run.rate,
        mechanism=run.mechanism,
        by_group=run.by_group,
        seed=run.seed,
        **options | {name: value for name, value in given.items() if value is not None},
    )


def by_deep_training(run: Run) -> Result:
    """Train, or go on where an earlier attempt was stopped, and test; the weights are not kept."""
    folder = Path(run.folder) / run.key
    ended = train(run.source, folder, config_of(run), resume=(folder / CONFIG).exists())
    if ended.test is None:
        raise TrainingError(f"stopped at step {ended.step}, and goes on from there when it is started again")
    shutil.rmtree(folder)
    removed = {"visual" if m == run.visual else m: metrics for m, metrics in ended.test.removed.items()}
    samples, seconds = ended.values["samples"], ended.values["seconds"]
    details = {"best_steps": [ended.values["best_step"]]}
    return Result(run, samples["train"], samples["complete"], replace(ended.test, removed=removed), seconds, details)
