"""`train`: from a store to a saved model, and on from wherever it stopped."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, Strategy
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

from elision.config import TrainConfig
from elision.data.store import Store
from elision.decisions.sets import Calibration
from elision.deep import processes
from elision.deep.assess import Scored, assess
from elision.deep.build import Modules
from elision.deep.job import Job, Report
from elision.deep.loop import DeepLoop
from elision.deep.model import save_model
from elision.deep.partition import StorePartition
from elision.errors import InputError, TrainingError
from elision.run_folder import CONFIG, MODEL, RunFolder, RunResult


def train(
    data: str | Path | None,
    out: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    report: Callable[[Report], None] = lambda _: None,
    modules: Modules | None = None,
) -> RunResult:
    """Train a method on a store; on several processes if the config says so, or torchrun started several.

    Writes config.json, data.json, log.csv, checkpoints/, and at the end model/ and result.json into ``out``. SIGTERM
    and Ctrl-C stop it at the next step with a checkpoint.

    Args:
        data: a store's folder or address; None with ``resume``: where it was.
        out: folder of the run, not used before unless ``resume``.
        config: None is the default, or with ``resume`` that of the run.
        resume: go on from the last whole checkpoint, or from the start if there is none.
        report: called for each line of the log, on the first process.
        modules: the user's own encoders, for the modalities that the config encodes by "own".

    Raises:
        InputError: data, config and folder do not go together.
        TrainingError: the loss is no longer a number, or memory ran out.
    """
    folder, first = RunFolder(Path(out)), processes.rank() == 0
    with ExitStack() as stack:
        if first:
            folder.check(resume)
        saved = TrainConfig.read(folder.path / CONFIG) if resume else None
        store = Store(data or _address(folder, resume))
        config = (config or saved or TrainConfig()).resolve({m: v.kind for m, v in store.info.modalities.items()})
        _check_machine(config)
        partition = StorePartition.of_store(store, config)  # before anything is written
        if first:
            stack.enter_context(folder.locked())
        checkpoint = None
        if saved:
            folder.check_same(saved, config, str(store.address), store.fingerprint())
            checkpoint = folder.checkpoints.latest()
            if first:
                folder.checkpoints.set_aside()
        if first:
            folder.begin(config, str(store.address), store.fingerprint())
            folder.cut_log(checkpoint.step if checkpoint else 0)
        loop = _fit(Job(config, partition, folder, modules or {}, checkpoint, report))
        values = _finish(loop) if loop.progress.finished else {}
    damaged = tuple(folder.checkpoints.damaged)
    return RunResult(folder.path, values, loop.progress.finished, loop.progress.step, damaged)


def _fit(job: Job) -> DeepLoop:
    config = job.config
    with _quiet(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        loggers = _loggers(config, job.folder)
        fabric = Fabric(
            accelerator=_accelerator(config),
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=_strategy(config),
            precision="16-mixed" if config.precision == "16-mixed" else "32-true",
            loggers=loggers,
        )
        fabric.launch()
        try:
            loop = DeepLoop(job, fabric)
            with _stopping(loop):
                loop.train()
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise TrainingError(
                f"out of memory: lower batch_size (now {config.batch_size}) and raise accumulate (now "
                f"{config.accumulate}), or use precision bf16-mixed, a smaller encoder, or frames prepared smaller"
            ) from error
        for logger in loggers:
            logger.finalize("success")
    return loop


def _finish(loop: DeepLoop) -> dict[str, Any]:
    """The best weights, their banks computed once more, the test, and the model's folder; on every process."""
    job, method, device = loop.job, loop.method, loop.reading.device
    best = job.folder.checkpoints.best(loop.progress.best_step)
    if best is None:
        raise InputError(f"{job.folder.path} lost the weights of its best step: train again")
    with _quiet():
        method.load_state_dict({name: x.to(device) for name, x in best.items()})
        method.to(device)
        loop.settle(exact=True)
        partition = job.partition
        scored: list[Scored] = []
        assessed = assess(method, partition.store, partition.test, partition.observed, loop.reading, scored=scored)
    # The test part decided nothing, so that sets which it calibrates hold for new samples, though not for itself.
    calibration = Calibration.of(*map(np.concatenate, zip(*scored, strict=True)))
    values = {
        "test": asdict(assessed),
        "validation": {"nll": loop.progress.best},
        "best_step": loop.progress.best_step,
        "step": loop.progress.step,
        "epochs": loop.progress.epoch,
        "seconds": loop.progress.seconds,
        "samples": partition.counts(),
        "training": partition.training_counts(),
        "config": asdict(loop.config),
    }
    if processes.rank() == 0:
        save_model(method, loop.config, partition.store.info, job.folder.path / MODEL, calibration)
        job.folder.finish(values)
    return values


def _address(folder: RunFolder, resume: bool) -> str:
    if not resume:
        raise InputError("no data is given: expected the folder of a store")
    return folder.begun_on("address")


def _accelerator(config: TrainConfig) -> str:
    if config.accelerator == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    return config.accelerator


def _check_machine(config: TrainConfig) -> None:
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.accelerator == "gpu" and not found:
        raise InputError("a GPU is asked for and torch finds none here: use accelerator cpu, or install torch for it")
    if _accelerator(config) == "gpu" and config.devices > found:
        raise InputError(f"{config.devices} GPUs are asked for, and torch finds {found}: lower devices")
    if config.precision == "16-mixed" and _accelerator(config) == "cpu":
        raise InputError("precision 16-mixed needs a GPU: on a CPU use bf16-mixed or 32-true")
    n_processes = config.devices * config.num_nodes
    if config.shares is not None and config.shares % n_processes:
        raise InputError(f"shares is {config.shares}: expected a multiple of the {n_processes} processes")


def _strategy(config: TrainConfig) -> Strategy | str:
    if config.devices * config.num_nodes == 1:
        return "auto"
    backend = "nccl" if _accelerator(config) == "gpu" else "gloo"
    return DDPStrategy(process_group_backend=backend)


def _loggers(config: TrainConfig, folder: RunFolder) -> list[Logger]:
    path = folder.path.resolve()
    made = {
        "mlflow": lambda: MLFlowLogger(path.name, tracking_uri=f"sqlite:///{path / 'mlflow.db'}"),
        "tensorboard": lambda: TensorBoardLogger(path, name="tensorboard", version=""),
    }
    found: list[Logger] = []
    for name in config.loggers:
        try:
            found.append(made[name]())
            found[-1].log_hyperparams({})  # connects, or says what is missing
        except Exception as error:  # each package has errors of its own
            raise InputError(
                f"logger {name!r} cannot be used: {error}; install elision[mlflow] or tensorboard"
            ) from error
    return found


@contextmanager
def _stopping(loop: DeepLoop) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask for an end after the present step; a second Ctrl-C is the usual one."""

    def ask(number: int, frame: object) -> None:
        loop.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    try:
        for number in numbers:
            signal.signal(number, ask)
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice, which is for people who wrote the loop themselves."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch.distributed")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
