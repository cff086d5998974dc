"""AE1 and AE2: what their autoencoder sees, what it can impute, and that the two differ where they should."""

import numpy as np
import pytest
import torch
from torch import nn

import reference
from elision.batch import Batch
from elision.errors import InputError
from elision.fusion import Addition
from elision.likelihood import log_label_prior
from elision.methods.autoencoder import AE1, AE2, _random_patterns
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
    complete = batch.select(torch.arange(COMPLETE)).inputs.values()
    variances = torch.stack([rows.var(0, correction=0).mean() for rows in complete])
    assert torch.allclose(method.steps.variance, variances)  # imputations vary less, and do not change the unit


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


def three(n: int = 40, offset: float = 0.0) -> Batch:
    """Modalities of 2, 3 and 4 columns of different spread; three in ten samples are complete, a quarter unlabelled."""
    g = torch.Generator().manual_seed(1)
    values = {m: torch.randn(n, d, generator=g) * d + offset for m, d in (("a", 2), ("b", 3), ("c", 4))}
    observed = {m: torch.rand(n, generator=g) < 0.65 for m in values}
    return Batch.pack(values, observed, torch.where(torch.arange(n) % 4 == 3, -1, torch.arange(n) % 2))


def imputed(method, rows: list[np.ndarray], shown: np.ndarray) -> np.ndarray:
    """What the network makes of one sample: [rows, 0 where hidden; which modalities are shown] to all rows."""
    seen = [x if s else x * 0 for x, s in zip(rows, shown, strict=True)]
    given = torch.from_numpy(np.concatenate([*seen, shown]).astype(np.float32))
    return method.steps.imputer.network(given).detach().numpy()


def test_the_imputers_error_is_that_of_what_is_hidden_in_units_of_its_variance():
    """Mean over all hidden modalities of all complete samples; the variance is that of the targets, by column."""
    batch = three()
    complete = batch.select(batch.complete)
    method = build(AE1, batch)
    next(method.stages(batch))  # takes the variances
    shown = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0]])[np.arange(len(complete)) % 3].astype(bool)
    rows = [x.numpy() for x in complete.inputs.values()]
    errors = []
    for i in range(len(complete)):
        parts = np.split(imputed(method, [x[i] for x in rows], shown[i]), [2, 5])
        for m in np.flatnonzero(~shown[i]):
            errors.append(np.mean((parts[m] - rows[m][i]) ** 2) / rows[m].var(axis=0).mean())
    ours = method.steps.imputation_error(complete, torch.from_numpy(shown))
    assert ours.item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_the_imputer_is_validated_on_complete_samples_each_modality_in_turn_hidden():
    batch, held = three(), three(offset=2.0)
    method = build(AE1, batch)
    stage = next(method.stages(batch))
    complete = held.select(held.complete)
    patterns = [torch.tensor([[m != hidden for m in range(3)]]).expand(len(complete), 3) for hidden in range(3)]
    with torch.no_grad():
        expected = np.mean([method.steps.imputation_error(complete, p).item() for p in patterns])
        assert stage.validate(held) == pytest.approx(expected, rel=1e-6)
    assert stage.validate(held.select((~held.observed.all(1)).nonzero().squeeze(1))) is None


@pytest.mark.parametrize("kind", [AE1, AE2])
def test_an_imputer_of_gaps_learns_and_is_judged_by_what_training_lacks_alone(kind):
    """y is missing: the rows of the last layer that give x have no gradient, and the error is that of y given x."""
    batch = packed(*world(), "y")
    for impute, learns_x in (("gaps", False), ("anything", True)):
        method = build(kind, batch, impute=impute)
        stage = next(method.stages(batch))
        stage.loss(batch.select(stage.samples)).backward()
        moved = method.steps.imputer.network[-1].weight.grad.abs().sum(1) > 0
        assert moved[3:].all() and moved[:3].any() == learns_x
        complete = batch.select(batch.complete)
        alone = method.steps.imputation_error(complete, torch.tensor([[True, False]]).expand(len(complete), 2))
        with torch.no_grad():
            assert (stage.validate(batch) == pytest.approx(alone.item())) != learns_x
    with pytest.raises(InputError, match=f"impute of {kind.__name__.lower()}"):
        build(kind, batch, impute="all")


@pytest.mark.parametrize("n_modalities", [2, 3])
def test_every_part_of_a_sample_is_hidden_equally_often(n_modalities):
    """Of 2^M - 2 patterns, over 6,000 draws, up to 5 standard deviations of a count."""
    torch.manual_seed(0)
    patterns, counts = torch.unique(
        _random_patterns(6000, n_modalities, torch.device("cpu")), dim=0, return_counts=True
    )
    number = 2**n_modalities - 2
    assert len(patterns) == number and patterns.any(1).all() and not patterns.all(1).any()
    assert (counts - 6000 / number).abs().max() < 5 * (6000 / number * (1 - 1 / number)) ** 0.5


@pytest.mark.parametrize("kind", [AE1, AE2])
def test_the_classifier_learns_from_and_predicts_completed_samples(kind):
    """Of all labelled ones; rows by loops: observed ones as they are, the others from the network."""
    batch = three()
    method = build(kind, batch)
    stage = stages(method, batch)["classification"]
    model = method.steps.model
    assert stage.samples.tolist() == [i for i in range(40) if i % 4 != 3]
    (label,) = model.fusion.parameters()
    prior, posteriors = model.log_prior.exp().numpy(), []
    for i in range(len(batch)):
        shown = batch.observed[i].numpy()
        alone = batch.select(torch.tensor([i])).inputs
        rows = [x[0].numpy() if len(x) else np.zeros(x.shape[1]) for x in alone.values()]
        parts = np.split(imputed(method, rows, shown), [2, 5])
        filled = [x if s else p for x, s, p in zip(rows, shown, parts, strict=True)]
        features = [f(torch.from_numpy(x)).detach().numpy() for f, x in zip(model.encoders, filled, strict=True)]
        posteriors.append(reference.posterior(reference.score("addition", label.detach().numpy(), features), prior))
    np.testing.assert_allclose(method.log_posterior(batch).detach(), np.log(posteriors), atol=1e-4)
    expected = np.mean([-np.log(posteriors[i][batch.labels[i]]) for i in stage.samples])
    assert stage.targets.observed.all()
    assert stage.loss(stage.targets.select(stage.samples)).item() == pytest.approx(expected, rel=1e-4)


def test_the_rounds_of_self_training_share_one_stages_steps():
    batch = packed(*world(), "y")
    shares = [s.share for name, s in stages(build(AE2, batch, rounds=4), batch).items() if "self" in name]
    assert shares == [0.25] * 4


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
