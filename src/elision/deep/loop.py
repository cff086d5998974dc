"""The loop over recordings: processes, precision, checkpoints, and going on where it stopped."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from elision.batch import Batch
from elision.checkpoints import Checkpoint
from elision.config import TrainConfig
from elision.data.segments import collate
from elision.deep import processes
from elision.deep.assess import sample_posteriors
from elision.deep.build import build, fit_preparations, tune
from elision.deep.job import DeepProgress, Job, Report
from elision.deep.rows import Reading, lazy_batch
from elision.deep.sampler import BatchOrder, deal
from elision.errors import TrainingError
from elision.evaluation import evaluate
from elision.methods.base import Method, Stage
from elision.rates import parameter_groups
from elision.training import Loop


class DeepLoop(Loop[DeepProgress]):
    """Train the one stage of a method; everything that chance decides is keyed on (seed, epoch, batch, process).

    Args:
        job: what to do.
        fabric: launched: the processes have joined.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        self.job, self.config, self.fabric = job, job.config, fabric
        config, saved = job.config, job.checkpoint
        method, self.encoders = build(
            config, job.partition.store.info.modalities, job.partition.log_prior, job.modules, processes.across()
        )
        if saved is None:
            fit_preparations(self.encoders, job.partition, config.seed)
        tune(self.encoders, config)
        self.reading = Reading(fabric.device, config.workers)
        method.to(self.reading.device)
        n_shares = config.shares or processes.count()
        self.own_shares = [s for s in range(n_shares) if s % processes.count() == processes.rank()]
        dealt = deal(job.partition.strata, n_shares)
        own = np.isin(dealt, self.own_shares)
        self.segments = job.partition.segments(job.partition.train[own])
        self._stages = method.stages(lazy_batch(self.segments, self.reading))
        stage = next(self._stages)
        self.order = self._order(stage, job.partition.strata[own], dealt[own])
        every = math.ceil(self.order.n_batches / config.accumulate)
        progress = DeepProgress(**saved.values["progress"]) if saved else DeepProgress()
        optimizer = _optimizer(method, stage, config)
        super().__init__(method, stage, optimizer, config.epochs * every, every, config.patience, progress)
        self.model, self._stepper = fabric.setup(_Loss(method, stage), optimizer)
        self.stop_requested = False
        self._clock = self._saved_at = self._line_clock = time.monotonic()
        self._line_segments = 0
        if saved:
            self._restore(saved)

    def _order(self, stage: Stage, strata: np.ndarray, dealt: np.ndarray) -> BatchOrder:
        width, config = len(self.segments.windows), self.config
        drawn = np.zeros(len(self.segments), dtype=bool)
        drawn[stage.samples.cpu().numpy()] = True
        return BatchOrder(
            strata=np.where(drawn, np.repeat(strata, width), -1),
            shares=np.repeat(dealt, width),
            batch_size=config.batch_size,
            total=processes.across().total(int(drawn.sum())),
            per_epoch=config.segments_per_epoch,
            seed=config.seed,
        )

    def train(self) -> None:
        """Take all steps that are left."""
        if self.job.checkpoint is None:
            self.refresh()
        self._clock = self._saved_at = self._line_clock = time.monotonic()
        self.run()

    # Steps

    def steps(self) -> Iterator[Iterable[Batch]]:
        """Yield those of the present epoch that are left, then those of the epochs to come."""
        while True:
            self.batches = self.order.epoch(self.progress.epoch, self.own_shares)
            left = [batch.tolist() for batch in self.batches[self.progress.batch :]]
            loader = iter(
                DataLoader(
                    self.segments,
                    batch_sampler=left,
                    num_workers=self.config.workers,
                    collate_fn=collate,
                    generator=torch.Generator(),
                    pin_memory=self.reading.device.type == "cuda",
                )
            )
            for _ in range(0, len(left), self.config.accumulate):
                yield self._batches_of_a_step(loader)

    def _batches_of_a_step(self, loader: Iterator[Batch]) -> Iterator[Batch]:
        for batch in islice(loader, self.config.accumulate):
            _seed(self.config.seed, self.progress.epoch, self.progress.batch, processes.rank())
            yield batch.to(self.reading.device)
            self.progress = replace(self.progress, batch=self.progress.batch + 1)

    def learning_rate(self, step: int) -> float:
        """Return what rises linearly over the warm-up, then falls to 0 by a cosine."""
        rise = math.ceil(self.config.warm_up * self.n_steps)
        if step < rise:
            return self.config.learning_rate * (step + 1) / rise
        return self.config.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(self.n_steps - rise, 1))) / 2

    def set_rate(self, step: int) -> None:
        """Set the step's rate, of each group of weights its own share."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step) * group.get("factor", 1.0)

    def learn(self, batch: Batch) -> None:
        """Add the gradient of the batch's share of the step; processes exchange theirs in the step's last batch."""
        done, accumulate = self.progress.batch + 1, self.config.accumulate
        last = done % accumulate == 0 or done == self.order.n_batches
        with self.fabric.no_backward_sync(self.model, enabled=not last):
            loss = self.model(lambda: batch)
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(self._explain(value))
            self.fabric.backward(loss / accumulate)
        self._line_segments += len(batch)
        self.progress = replace(self.progress, loss=self.progress.loss + value, losses=self.progress.losses + 1)

    def take_step(self) -> None:
        """Clip the gradient and take the step, unscaled where precision wants it."""
        if self.config.clip:
            self.fabric.clip_gradients(self.model, self._stepper, max_norm=self.config.clip, error_if_nonfinite=False)
        self._stepper.step()

    def after_step(self) -> None:
        """Write a line of the log and a checkpoint where they are due; end where an end was asked for."""
        if self.progress.step % self.config.log_steps == 0:
            self._log_loss()
        self.stop = processes.any_of(self.stop_requested)
        if self.progress.batch < self.order.n_batches and (self.stop or self._is_late()):
            self.save()

    # Validation

    def validate(self) -> float:
        """Return the NLL of the validation samples in nats, their segments' posteriors averaged."""
        self.settle(exact=False)
        partition = self.job.partition
        where = (partition.store, partition.validation, partition.observed)
        logs = sample_posteriors(self.method, *where, self.reading, len(partition.classes))
        if not np.isfinite(logs).all():
            raise TrainingError(self._explain(math.nan))
        metrics = evaluate(logs, partition.store.codes[partition.validation])
        self._validated = {"validation_nll": metrics.nll, "validation_accuracy": metrics.accuracy}
        return metrics.nll

    def keep(self) -> None:
        """Write the weights as the best so far."""
        if self.fabric.is_global_zero:
            self.job.folder.checkpoints.save_best(self.progress.step, self.method.state_dict())

    def after_validation(self) -> None:
        """End the epoch: a line of the log, remembered features anew where that is due, a checkpoint."""
        self.progress = replace(self.progress, epoch=self.progress.epoch + 1, batch=0)
        self._tell(self._validated)
        every = self.config.bank_refresh
        if every and not self.progress.finished and self.progress.epoch % every == 0:
            self.refresh()
        self.save()

    # Records

    def _is_late(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        late = processes.any_of(self.fabric.is_global_zero and minutes >= self.config.checkpoint_minutes)
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
            "scaler": dict(self.fabric.strategy.precision.state_dict()),
            "fingerprint": self.job.partition.store.fingerprint(),
        }
        if self.fabric.is_global_zero:
            self.job.folder.checkpoints.save(Checkpoint(self.progress.step, tensors, values))

    def _restore(self, checkpoint: Checkpoint) -> None:
        def saved(prefix: str) -> dict[str, Tensor]:
            named = {k.removeprefix(prefix): x for k, x in checkpoint.tensors.items() if k.startswith(prefix)}
            return {k: x.to(self.reading.device) for k, x in named.items()}

        self.method.load_state_dict(saved("model/"))
        remembered = saved(f"bank/{processes.rank()}/")
        if self.stage.bank and remembered:
            self.stage.bank.features = remembered
        state: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for name, x in saved("optimizer/").items():
            index, key = name.split("/", 1)
            like = parameters[int(index)]
            if x.shape == like.shape:  # a fused step takes for granted that both lie in memory alike, channels last too
                x = torch.empty_like(like, dtype=x.dtype).copy_(x)
            state.setdefault(int(index), {})[key] = x
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        if checkpoint.values["scaler"]:
            self.fabric.strategy.precision.load_state_dict(checkpoint.values["scaler"])

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        state = self.optimizer.state_dict()["state"]
        return {f"optimizer/{i}/{key}": x for i, entry in state.items() for key, x in entry.items() if x is not None}

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
        if not self.fabric.is_global_zero:
            return
        progress = self.progress
        spent = progress.seconds + time.monotonic() - self._clock
        left = (self.n_steps - progress.step) * spent / max(progress.step, 1)
        self.job.folder.log({"epoch": progress.epoch, "step": progress.step, **values, "seconds": spent})
        for logger in self.fabric.loggers:
            logger.log_metrics(values, step=progress.step)
        self.job.report(Report(progress.epoch, progress.step, self.n_steps, values, left))

    def _explain(self, value: float) -> str:
        width = len(self.segments.windows)
        number = min(self.progress.batch, len(self.batches) - 1)  # validation comes after the last one
        batch = self.batches[number]
        ids = np.unique(self.job.partition.store.ids[self.segments.samples[batch // width]]).tolist()
        kept = self.job.folder.checkpoints.latest()
        left = f"the checkpoint of step {kept.step} is kept" if kept else "there is no checkpoint yet"
        where = f"epoch {self.progress.epoch + 1}, batch {number + 1}"
        return (
            f"the loss became {value} in {where}, with samples {', '.join(ids)}: look at them, or lower learning_rate "
            f"(now {self.config.learning_rate}) or clip (now {self.config.clip}); {left}"
        )


class _Loss(nn.Module):
    """Give the stage's loss as a module's output, which is what data parallel training waits for."""

    def __init__(self, method: Method, stage: Stage) -> None:
        super().__init__()
        self.method, self.stage = method, stage

    def forward(self, batch: Callable[[], Batch]) -> Tensor:
        """Return the loss, in full precision behind the encoders.

        Args:
            batch: returns it; Lightning would cast and copy what it can look into.
        """
        taken = batch()
        with torch.autocast(taken.labels.device.type, enabled=False):
            return processes.touch(self.stage.loss(taken), self.method.parameters())


def _optimizer(method: Method, stage: Stage, config: TrainConfig) -> torch.optim.Optimizer:
    trained = [p for p in stage.parameters if p.requires_grad]
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
    groups = parameter_groups(method, trained, config.learning_rate, convolutions=False)
    fused = config.precision != "16-mixed"  # a fused step unscales gradients itself, which clipping cannot wait for
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=fused)


def _seed(*keys: int) -> None:
    """Torch's generators, from all keys together."""
    torch.manual_seed(int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1))
