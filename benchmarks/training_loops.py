"""What Lightning's Trainer and Fabric add to a fit of a few seconds, against the plain loop of `elision.training`.

    pip install "lightning!=2.6.2,!=2.6.3"
    python -m benchmarks.training_loops

The same method, data, optimiser, schedule and number of steps and validations in all three; no checkpoints, no
logger, no progress bar in any.
"""

import logging
import time
import warnings

import torch

from benchmarks.timing import compare, machine
from elision.batch import Batch
from elision.fusion import Addition
from elision.likelihood import log_label_prior
from elision.methods.base import Ingredients
from elision.methods.mle import MaximumLikelihood
from elision.training import Schedule, train

SAMPLES, COLUMNS, CLASSES, STEPS, VALIDATIONS = 800, 64, 6, 300, 30


def case() -> tuple[MaximumLikelihood, Batch, Batch]:
    torch.manual_seed(0)
    labels = torch.arange(SAMPLES) % CLASSES
    values = {m: torch.randn(SAMPLES, COLUMNS) + labels[:, None] / 4 for m in ("x", "y")}
    observed = {"x": torch.ones(SAMPLES, dtype=torch.bool), "y": torch.rand(SAMPLES) < 0.2}
    batch = Batch.pack(values, observed, labels)
    encoders = {m: torch.nn.Linear(COLUMNS, 32) for m in values}
    parts = Ingredients(
        encoders,
        Addition(list(values), CLASSES, 32),
        log_label_prior(labels, CLASSES).float(),
        "joint",
        "exact",
        dict.fromkeys(values, (COLUMNS,)),
    )
    return MaximumLikelihood(parts), batch, batch.select(torch.arange(150))


def optimiser(parameters) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    adam = torch.optim.Adam(parameters, lr=5e-3, weight_decay=1e-4)
    return adam, torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=STEPS, pct_start=0.1)


def plain() -> None:
    method, batch, validation = case()
    train(method, batch, validation, Schedule(max_steps=STEPS, patience=10**6), seed=0)


def fabric() -> None:
    from lightning.fabric import Fabric

    method, batch, validation = case()
    [stage] = method.stages(batch)
    runner = Fabric(accelerator="cpu", devices=1)
    adam, rate = optimiser(stage.parameters)
    _, adam = runner.setup(method, adam)
    for step in range(1, STEPS + 1):
        adam.zero_grad()
        runner.backward(stage.loss(batch))
        adam.step()
        rate.step()
        if step % (STEPS // VALIDATIONS) == 0:
            with torch.no_grad():
                stage.settle()
                stage.validate(validation)


def trainer() -> None:
    import lightning

    method, batch, validation = case()
    [stage] = method.stages(batch)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.method = method

        def training_step(self, batch, _):
            return stage.loss(batch)

        def on_validation_epoch_start(self) -> None:
            stage.settle()

        def validation_step(self, batch, _) -> None:
            self.log("nll", stage.validate(batch), batch_size=len(batch))

        def configure_optimizers(self):
            adam, rate = optimiser(stage.parameters)
            return {"optimizer": adam, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def loader(one: Batch, times: int) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader([one] * times, batch_size=None)

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=STEPS,
        val_check_interval=STEPS // VALIDATIONS,
        num_sanity_val_steps=0,
        **quiet,
    ).fit(Module(), loader(batch, STEPS), loader(validation, 1))


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    started = time.perf_counter()
    import lightning  # noqa: F401

    imported = time.perf_counter() - started
    times = compare({"plain": plain, "fabric": fabric, "trainer": trainer}, repeats=5)
    print(machine())
    print(f"{STEPS} steps on {SAMPLES} samples, {VALIDATIONS} validations")
    print(f"import lightning: {imported:.1f} s once a process")
    for name, seconds in times.items():
        print(f"  {name:8s} {seconds:.2f} s   {seconds / times['plain']:.2f} x plain")


if __name__ == "__main__":
    main()
