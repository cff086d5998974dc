"""A method's stage under Lightning's Trainer: steps, validation, checkpoints, and going on where it stopped."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from elision.batch import Batch
from elision.data.segments import collate
from elision.deep import processes
from elision.deep.assess import sample_posteriors
from elision.deep.build import build, fit_preparations, tune
from elision.deep.checkpoints import Checkpoint
from elision.deep.job import Job, Progress, Report
from elision.deep.rows import Reading, lazy_batch
from elision.deep.sampler import BatchOrder, deal
from elision.errors import TrainingError
from elision.evaluation import evaluate
from elision.rates import parameter_groups


class DeepModule(LightningModule):
    """Trains the one stage of a method; everything that chance decides is keyed on (seed, epoch, batch, process).

    Args:
        job: what to do.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job, self.config = job, job.config
        self.progress = Progress()
        self.stop_requested = False
        self.when_started: Callable[[], object] = lambda: None

    # What is trained

    def setup(self, stage: str) -> None:
        """The method, its stage, and this process's share of the samples; the processes have joined by now."""
        job, config = self.job, self.config
        self.method, self.encoders = build(
            config, job.parts.store.info.modalities, job.parts.log_prior, job.modules, processes.across()
        )
        if job.checkpoint is None:
            fit_preparations(self.encoders, job.parts, config.seed)
        tune(self.encoders, config)
        self.reading = Reading(self.trainer.strategy.root_device, config.workers)
        self.method.to(self.reading.device)
        n_parts = config.parts or processes.count()
        self.own_parts = [p for p in range(n_parts) if p % processes.count() == processes.rank()]
        dealt = deal(job.parts.strata, n_parts)
        own = np.isin(dealt, self.own_parts)
        self.segments = job.parts.segments(job.parts.train[own])
        self._stages = self.method.stages(lazy_batch(self.segments, self.reading))
        self.stage = next(self._stages)
        self.order = self._order(job.parts.strata[own], dealt[own], n_parts)
        if job.checkpoint is not None:
            self._restore(job.checkpoint)

    def _order(self, strata: np.ndarray, dealt: np.ndarray, n_parts: int) -> BatchOrder:
        width, config = len(self.segments.windows), self.config
        drawn = np.zeros(len(self.segments), dtype=bool)
        drawn[self.stage.samples.cpu().numpy()] = True
        return BatchOrder(
            strata=np.where(drawn, np.repeat(strata, width), -1),
            parts=np.repeat(dealt, width),
            n_parts=n_parts,
            batch_size=config.batch_size,
            total=processes.across().total(int(drawn.sum())),
            per_epoch=config.segments_per_epoch,
            seed=config.seed,
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Over what the stage trains; the rate is set at every step, see `learning_rate`."""
        config = self.config
        trained = [p for p in self.stage.parameters if p.requires_grad]
        if config.optimizer == "sgd":
            return torch.optim.SGD(trained, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
        groups = parameter_groups(self.method, trained, config.learning_rate, convolutions=False)
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)

    @property
    def n_steps(self) -> int:
        """Optimiser steps at most."""
        return self.config.epochs * math.ceil(self.order.n_batches / self.config.accumulate)

    def learning_rate(self, step: int) -> float:
        """Rises linearly over the warm-up, then falls to 0 by a cosine."""
        rise = math.ceil(self.config.warm_up * self.n_steps)
        if step < rise:
            return self.config.learning_rate * (step + 1) / rise
        return self.config.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(self.n_steps - rise, 1))) / 2

    # Steps

    def train_dataloader(self) -> DataLoader:
        """What is left of the present epoch."""
        self.batches = self.order.epoch(self.progress.epoch, self.own_parts)
        return DataLoader(
            self.segments,
            batch_sampler=[batch.tolist() for batch in self.batches[self.progress.batch :]],
            num_workers=self.config.workers,
            collate_fn=collate,
            generator=torch.Generator(),
            pin_memory=self.reading.device.type == "cuda",
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """As `Batch.to`."""
        return batch.to(device)

    def on_train_start(self) -> None:
        """Optimiser and remembered features as they were, or the first ones."""
        self.when_started()
        saved = self.job.checkpoint
        if saved is not None:
            self._restore_optimizer(saved)
            bank = {k: x for k, x in saved.tensors.items() if k.startswith(f"bank/{processes.rank()}/")}
            if bank:
                self.stage.bank.features = {k.split("/", 2)[2]: x.to(self.reading.device) for k, x in bank.items()}
        elif self.stage.bank:
            self._refresh()
        self._saved_at = self._clock = self._line_clock = time.monotonic()
        self._line_segments = 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Training mode, the step's rate, and its own draws."""
        self.method.train()
        for group in self.optimizers(use_pl_optimizer=False).param_groups:
            group["lr"] = self.learning_rate(self.progress.step) * group.get("factor", 1.0)
        _seed(self.config.seed, self.progress.epoch, self.progress.batch, processes.rank())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The stage's loss, in full precision behind the encoders."""
        with torch.autocast(self.reading.device.type, enabled=False):
            loss = processes.touch(self.stage.loss(batch), self.method.parameters())
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(self._explain(value))
        self.progress = replace(self.progress, loss=self.progress.loss + value, losses=self.progress.losses + 1)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Counts; a line of the log and a checkpoint where they are due; an end where one was asked for."""
        config, before = self.config, self.progress
        done = before.batch + 1
        stepped = done % config.accumulate == 0 or done == self.order.n_batches
        self.progress = replace(before, batch=done, step=before.step + stepped)
        self._line_segments += len(batch)
        if not stepped:
            return
        if self.progress.step % config.log_steps == 0:
            self._log_loss()
        if processes.any_of(self.stop_requested):
            self.stop_requested = self.trainer.should_stop = True
        if done < self.order.n_batches and (self.stop_requested or self._is_due()):
            self.save()

    def on_train_epoch_end(self) -> None:
        """Validation, the best weights, and a checkpoint; nothing where the epoch was cut short."""
        if self.progress.batch < self.order.n_batches:
            return
        nll, accuracy = self.validate()
        before, step = self.progress, self.progress.step
        if nll < before.best:
            if self.trainer.is_global_zero:
                self.job.folder.checkpoints.save_best(step, self.method.state_dict())
            before = replace(before, best=nll, best_step=step, stale=-1)
        after = replace(before, epoch=before.epoch + 1, batch=0, stale=before.stale + 1)
        patience = self.config.patience
        finished = after.epoch >= self.config.epochs or (patience > 0 and after.stale >= patience)
        self.progress = replace(after, finished=finished)
        self._tell({"validation_nll": nll, "validation_accuracy": accuracy})
        every = self.config.bank_refresh
        if self.stage.bank and every and not finished and self.progress.epoch % every == 0:
            self._refresh()
        self.save()
        if finished:
            self.trainer.should_stop = True

    # Validation

    def validate(self) -> tuple[float, float]:
        """(NLL in nats, accuracy) of the validation samples, their segments' posteriors averaged."""
        self.settle(exact=False)
        parts = self.job.parts
        where = (parts.store, parts.validation, parts.observed)
        logs = sample_posteriors(self.method, *where, self.reading, len(parts.classes))
        if not np.isfinite(logs).all():
            raise TrainingError(self._explain(math.nan))
        metrics = evaluate(logs, parts.store.codes[parts.validation])
        return metrics.nll, metrics.accuracy

    @torch.no_grad()
    def settle(self, exact: bool) -> None:
        """The banks of the present encoders, or of remembered features."""
        self.method.eval()
        if self.stage.settle:
            self.stage.settle(exact)

    def _refresh(self) -> None:
        self.method.eval()
        self.stage.bank.refresh()

    # Records

    def _is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        late = processes.any_of(self.trainer.is_global_zero and minutes >= self.config.checkpoint_minutes)
        return late or self.progress.step % self.config.checkpoint_steps == 0

    def save(self) -> None:
        """Write a checkpoint; every process takes part, the first one writes."""
        state = self.method.state_dict()
        if not all(x.isfinite().all() for x in state.values() if x.is_floating_point()):
            raise TrainingError(self._explain(math.nan))
        now = time.monotonic()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self._clock)
        self._clock = self._saved_at = now
        tensors = {f"model/{name}": x for name, x in state.items()} | self._optimizer_tensors()
        for m, features in (self.stage.bank.features if self.stage.bank else {}).items():
            gathered = processes.gather_parts(features)
            tensors |= {f"bank/{rank}/{m}": x for rank, x in enumerate(gathered)}
        values = {
            "progress": asdict(self.progress),
            "scaler": dict(self.trainer.precision_plugin.state_dict()),
            "fingerprint": self.job.parts.store.fingerprint(),
        }
        if self.trainer.is_global_zero:
            self.job.folder.checkpoints.save(Checkpoint(self.progress.step, tensors, values))

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.progress = Progress(**checkpoint.values["progress"])
        prefix = "model/"
        state = {k.removeprefix(prefix): x for k, x in checkpoint.tensors.items() if k.startswith(prefix)}
        self.method.load_state_dict({k: x.to(self.reading.device) for k, x in state.items()})

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        state = self.optimizers(use_pl_optimizer=False).state_dict()["state"]
        return {f"optimizer/{i}/{key}": x for i, entry in state.items() for key, x in entry.items() if x is not None}

    def _restore_optimizer(self, checkpoint: Checkpoint) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, x in checkpoint.tensors.items():
            kind, *rest = name.split("/")
            if kind == "optimizer":
                state.setdefault(int(rest[0]), {})[rest[1]] = x
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        if checkpoint.values["scaler"]:
            self.trainer.precision_plugin.load_state_dict(checkpoint.values["scaler"])

    def _log_loss(self) -> None:
        now, progress = time.monotonic(), self.progress
        speed = processes.across().total(self._line_segments) / max(now - self._line_clock, 1e-9)
        self._line_clock, self._line_segments = now, 0
        self.progress = replace(progress, loss=0.0, losses=0)
        values = {
            "loss": progress.loss / max(progress.losses, 1),
            "learning_rate": self.learning_rate(progress.step - 1),
            "samples_per_second": speed,
        }
        self._tell(values)

    def _tell(self, values: dict[str, float]) -> None:
        if not self.trainer.is_global_zero:
            return
        progress = self.progress
        spent = progress.seconds + time.monotonic() - self._clock
        left = (self.n_steps - progress.step) * spent / max(progress.step, 1)
        self.job.folder.log({"epoch": progress.epoch, "step": progress.step, **values, "seconds": spent})
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=progress.step)
        self.job.report(Report(progress.epoch, progress.step, self.n_steps, values, left))

    def _explain(self, value: float) -> str:
        width = len(self.segments.windows)
        number = min(self.progress.batch, len(self.batches) - 1)  # validation comes after the last one
        batch = self.batches[number]
        ids = np.unique(self.job.parts.store.ids[self.segments.samples[batch // width]]).tolist()
        kept = self.job.folder.checkpoints.latest()
        left = f"the checkpoint of step {kept.step} is kept" if kept else "there is no checkpoint yet"
        where = f"epoch {self.progress.epoch + 1}, batch {number + 1}"
        return (
            f"the loss became {value} in {where}, with samples {', '.join(ids)}: look at them, or lower learning_rate "
            f"(now {self.config.learning_rate}) or clip (now {self.config.clip}); {left}"
        )


def _seed(*keys: int) -> None:
    """Torch's generators, from all keys together."""
    torch.manual_seed(int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1))
