"""AE1 and AE2: what their autoencoder sees, what it can impute, and that the two differ where they should."""

import pytest
import torch
from torch import nn

from elision.batch import Batch
from elision.errors import InputError
from elision.fusion import Addition
from elision.likelihood import log_label_prior
from elision.methods import AE1, AE2
from elision.methods.base import Ingredients
from elision.training import Schedule, train

N, COMPLETE = 240, 60


def world(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """y = tanh(A x): each modality is a function of the other, and the class is the sign of x_1."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, 3, generator=generator)
    mixing = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
    return {"x": x, "y": torch.tanh(x @ mixing / 2)}, (x[:, 0] > 0).long()


def packed(values: dict[str, torch.Tensor], labels: torch.Tensor, missing: str | None) -> Batch:
    observed = {m: torch.arange(N) < (COMPLETE if m == missing else N) for m in values}
    return Batch.pack(values, observed, labels)


def build(kind, batch: Batch, **options):
    torch.manual_seed(0)
    shapes = {m: tuple(x.shape[1:]) for m, x in batch.inputs.items()}
    encoders = {m: nn.Linear(shape[0], 4) for m, shape in shapes.items()}
    prior = log_label_prior(batch.labels, 2).float()
    return kind(Ingredients(encoders, Addition(list(shapes), 2, 4), prior, "conditional", "exact", shapes), **options)


def stages(method, batch: Batch) -> dict:
    """The stages by name, each trained for a moment: the next one may build on it."""
    seen = {}
    for stage in method.stages(batch):
        seen[stage.name] = stage
        optimizer = torch.optim.Adam(stage.parameters, lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            stage.loss((stage.targets or batch).select(stage.samples)).backward()
            optimizer.step()
    return seen


@pytest.mark.parametrize("missing", ["x", "y"])
@pytest.mark.parametrize("kind", [AE1, AE2])
def test_the_first_autoencoder_sees_complete_samples_only(kind, missing):
    batch = packed(*world(), missing)
    first = stages(build(kind, batch), batch)["autoencoder"]
    assert first.samples.tolist() == list(range(COMPLETE))


def test_only_ae2_goes_on_with_all_samples_and_its_own_imputations():
    batch = packed(*world(), "y")
    assert list(stages(build(AE1, batch), batch)) == ["autoencoder", "classification"]
    method = build(AE2, batch, rounds=2)
    seen = stages(method, batch)
    assert list(seen) == ["autoencoder", "self-training 1", "self-training 2", "classification"]
    second = seen["self-training 1"]
    assert second.samples.tolist() == list(range(N))
    assert torch.equal(second.targets.inputs["y"][:COMPLETE], batch.inputs["y"])  # what was observed stays as it is
    assert len(second.targets.inputs["y"]) == N
    assert not torch.equal(second.targets.inputs["y"], seen["self-training 2"].targets.inputs["y"])


def test_what_ae1_learns_does_not_depend_on_incomplete_samples_and_what_ae2_learns_does():
    values, labels = world()
    other = {m: torch.cat([v[:COMPLETE], v[COMPLETE:].flip(0) * 2]) for m, v in values.items()}

    def imputer(kind, values):
        batch = packed(values, labels, "y")
        method = build(kind, batch)
        torch.manual_seed(1)
        stages(method, batch)
        return torch.cat([p.flatten() for p in method.steps.imputer.parameters()])

    first, second = (packed(v, labels, "y").select(torch.arange(COMPLETE)) for v in (values, other))
    assert torch.equal(first.inputs["x"], second.inputs["x"])
    assert torch.equal(*(imputer(AE1, v) for v in (values, other)))
    assert not torch.equal(*(imputer(AE2, v) for v in (values, other)))


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["x", "y"])
@pytest.mark.parametrize("kind", [AE1, AE2])
def test_a_modality_that_is_a_function_of_the_other_is_imputed(kind, missing):
    """In units of its variance (the mean imputes with error 1): 60 complete samples of a smooth map of 3 numbers."""
    values, labels = world()
    batch = packed(values, labels, missing)
    method = build(kind, batch)
    train(method, batch, None, Schedule(max_steps=1500, learning_rate=1e-2), seed=0)
    truth = values[missing][COMPLETE:]
    imputed = method.steps.complete(batch).inputs[missing][COMPLETE:]
    error = (imputed - truth).square().mean() / values[missing].var(0, correction=0).mean()
    assert error < 0.1
    correct = (method.log_posterior(batch).argmax(1) == labels).float().mean()
    assert correct > 0.9


def test_any_pattern_of_three_modalities_is_completed():
    torch.manual_seed(0)
    values = {m: torch.randn(30, d) for m, d in (("a", 2), ("b", 3), ("c", 4))}
    observed = {m: torch.rand(30) < 0.6 for m in values}
    for mask in observed.values():
        mask[:3] = True
    batch = Batch.pack(values, observed, torch.arange(30) % 2)
    complete = build(AE1, batch).steps.complete(batch)
    assert complete.observed.all()
    for m in values:
        assert torch.equal(complete.inputs[m][observed[m]], values[m][observed[m]])


@pytest.mark.parametrize("kind", [AE1, AE2])
def test_without_complete_samples_or_a_second_modality_it_is_refused(kind):
    values, labels = world()
    batch = packed(values, labels, "y").select(torch.arange(COMPLETE, N))
    with pytest.raises(InputError, match="complete samples"):
        next(build(kind, batch).stages(batch))
    alone = Batch.pack({"x": values["x"]}, {"x": torch.ones(N, dtype=torch.bool)}, labels)
    with pytest.raises(InputError, match="one only"):
        next(build(kind, alone).stages(alone))


def test_ae2_refuses_no_rounds():
    batch = packed(*world(), "y")
    with pytest.raises(InputError, match="at least 1"):
        build(AE2, batch, rounds=0)
