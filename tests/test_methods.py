"""What every method promises, over METHODS x fusions x objectives; and identities 1, 5 and 8 through whole methods."""

import io

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import reference
from elision.bank import BANKS
from elision.batch import Batch
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.likelihood import conditional_objective, negative_log_likelihood
from elision.registries import FUSIONS, METHODS
from elision.training import Schedule, train
from worlds import CASES, GRID, MISSING, make_method, make_samples, make_world

BRIEF = Schedule(max_steps=6, batch_size=9)
OBJECTIVES = sorted({objective for m in METHODS.values() for objective in m.claims.objectives})
COMPLETE_ONLY = ("lower-bound", "ae1", "ae2", "hgr")
"""Where every sample lacks something, these refuse (or, hgr, have a classifier that nothing trains)."""
SITUATIONS = [
    (*choice, missing)
    for choice in GRID
    for missing in ("none", "some", "all")
    if not (missing == "all" and choice[0] in COMPLETE_ONLY)
]
BANKED = [(*choice, bank) for choice in GRID for bank in (BANKS if choice[0] == "mle" else ["exact"])]

choices = pytest.mark.parametrize("choice", GRID, ids="-".join)
situations = pytest.mark.parametrize("situation", SITUATIONS, ids="-".join)
banked = pytest.mark.parametrize("choice", BANKED, ids="-".join)
counts = pytest.mark.parametrize("n_modalities", [2, 3])


def packed(*args, **kwargs):
    return Batch.pack(*make_samples(*args, **kwargs))


def losses(method, train, batch=None, seed=0):
    """The loss of every stage in turn on a batch, or on all the samples that the stage draws from."""
    torch.manual_seed(seed)
    for stage in method.stages(train):
        yield stage.loss((stage.targets or train).select(stage.samples) if batch is None else batch)


def loss_and_gradients(method, train):
    total = 0
    for loss in losses(method, train):
        loss.backward()
        total = total + loss.detach()
    return [total, *(p.grad for p in method.parameters())]


def fitted(choice, batch, **kwargs):
    method = make_method(*choice, **kwargs)
    train(method, batch, packed(seed=5, n_modalities=len(batch.modalities)), BRIEF, seed=3)
    return method


# Contracts


@counts
@situations
def test_the_loss_is_finite_and_reaches_every_parameter(situation, n_modalities):
    *choice, missing = situation
    batch = packed(missing, n_modalities=n_modalities)
    loss, *gradients = loss_and_gradients(make_method(*choice, n_modalities=n_modalities), batch)
    assert loss.isfinite()
    assert all(g is not None and g.isfinite().all() and g.abs().max() > 0 for g in gradients)


@choices
def test_every_parameter_is_optimised_in_some_stage(choice):
    """A gradient alone moves nothing."""
    method = make_method(*choice)
    optimised = {id(p) for stage in method.stages(packed()) for p in stage.parameters}
    assert {name for name, p in method.named_parameters() if id(p) not in optimised} == set()


@situations
def test_row_order_is_irrelevant(situation):
    *choice, missing = situation
    dense = make_samples(missing)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shuffled = Batch.pack(*({m: x[order] for m, x in d.items()} for d in dense[:2]), dense[2][order])
    batch = Batch.pack(*dense)
    method = fitted(choice, batch)
    assert_close(method.log_posterior(shuffled), method.log_posterior(batch)[order], rtol=0, atol=1e-12)
    one, other = (list(losses(make_method(*choice), batch, seed=seed)) for seed in (0, 1))
    if one == other:  # no draw for each row, which another order would give to another sample
        ours, expected = (loss_and_gradients(make_method(*choice), b) for b in (shuffled, batch))
        assert_close(ours, expected, rtol=1e-10, atol=1e-13)


@counts
@situations
def test_posteriors_are_distributions_for_every_pattern(situation, n_modalities):
    *choice, missing = situation
    posteriors = fitted(choice, packed(missing, n_modalities=n_modalities), n_modalities=n_modalities).log_posterior(
        packed("some", seed=7, n_modalities=n_modalities)
    )
    assert posteriors.shape == (24, 3)
    assert_close(posteriors.exp().sum(1), torch.ones(24, dtype=torch.float64), rtol=0, atol=1e-14)


@choices
def test_a_saved_state_gives_a_fresh_method_the_same_predictions(choice):
    """Label prior and banks included; training leaves dropout off."""
    method = fitted(choice, packed(), dropout=0.5)
    fresh = make_method(*choice, dropout=0.5, seed=9, labels=torch.tensor([0, 0, 1, 2])).eval()
    batch, file = packed(seed=7), io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh.log_posterior(batch), method.log_posterior(batch))


@banked
def test_the_same_seed_gives_the_same_model_bit_for_bit(choice):
    """Whatever the caller drew before; with dropout, mini-batches and early stopping."""

    def state(disturbance):
        method = make_method(*choice, dropout=0.5)
        torch.manual_seed(disturbance)
        train(method, packed(), packed(seed=5), BRIEF, seed=3)
        return method.state_dict()

    first, second = state(1), state(2)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@banked
def test_training_leaves_the_callers_random_state_alone(choice):
    method = make_method(*choice, dropout=0.5)
    before = torch.get_rng_state()
    train(method, packed(), None, BRIEF, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@choices
def test_another_seed_gives_another_model(choice):
    one, other = (make_method(*choice, dropout=0.5) for _ in range(2))
    train(one, packed(), None, BRIEF, seed=3)
    train(other, packed(), None, BRIEF, seed=4)
    assert not torch.equal(one.log_posterior(packed()), other.log_posterior(packed()))


@choices
def test_the_parameters_of_the_best_validation_are_kept(choice):
    """The labels are noise and the rate is high, so that the last step is not the best one."""
    method, validation = make_method(*choice), packed(seed=5)
    *_, history = train(method, packed(), validation, Schedule(max_steps=30, learning_rate=0.1), seed=3)
    kept = negative_log_likelihood(method.log_posterior(validation), validation.labels).mean().item()
    values = dict(history.validation)
    assert kept == pytest.approx(min(values.values()), rel=1e-12)
    assert kept == values[history.best_step] < history.validation[-1][1]


@choices
def test_a_class_without_complete_samples_has_a_finite_log_posterior(choice):
    values, shown, labels = make_samples("some")
    complete = shown["a"] & shown["b"]
    labels[complete & (labels == 2)] = -1
    labels[complete.nonzero()[0]] = 0
    assert (labels == 2).any()
    assert fitted(choice, Batch.pack(values, shown, labels)).log_posterior(packed(seed=7)).isfinite().all()


@pytest.mark.parametrize("choice", [c for c in BANKED if c[0] not in ("lower-bound", "ae1", "ae2")], ids="-".join)
def test_a_mini_batch_may_lack_a_modality_altogether(choice):
    """As small mini-batches do when most samples lack it."""
    *choice, bank = choice
    data, count = packed("some"), 0
    for stage in make_method(*choice, bank).stages(data):
        source = stage.targets or data
        lacking = stage.samples[source.positions["b"][stage.samples] < 0]
        count += len(lacking)
        assert not len(lacking) or stage.loss(source.select(lacking)).isfinite()
    assert count > 0


@pytest.mark.parametrize("unseen", ["a", "b"])
@choices
def test_a_modality_never_seen_in_training_is_left_out_or_refused(choice, unseen):
    """Closed forms give it a marginal of zero; what needs complete samples, or averages over its bank, says so."""
    try:
        method = fitted(choice, packed("none").without(unseen))
    except ValueError as error:
        assert "complete" in str(error) if choice[0] in COMPLETE_ONLY else "bank is empty" in str(error)
    else:
        assert method.log_posterior(packed(seed=7)).isfinite().all()


@pytest.mark.parametrize("objective", METHODS["mle"].claims.objectives)
def test_the_memory_is_exact_after_an_epoch_at_unmoved_encoders(objective):
    """Every sample of the banks is visited, the unlabelled ones too: no feature stays that of the first encoders."""
    data = packed("some")

    def loss(bank):
        method = make_method("mle", "addition", objective, bank)
        (stage,) = method.stages(data)
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.mul_(1.5)
        return [stage.loss(data.select(stage.samples)) for _ in range(2)][1]

    assert_close(loss("bank"), loss("exact"), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("objective", "expected"), [("joint", True), ("conditional", False)])
def test_only_the_joint_objective_scales_the_gradients_of_the_memory(objective, expected, monkeypatch):
    seen = []

    class Spy(BANKS["bank"]):
        def __init__(self, encode, inputs, scaled, total):
            seen.append(scaled)

    monkeypatch.setitem(BANKS, "bank", Spy)
    next(iter(make_method("mle", "addition", objective, "bank").stages(packed())))
    assert seen == [expected]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_joint_objective_needs_no_label_in_a_mini_batch(fusion):
    values, shown, labels = make_samples("some")
    batch = Batch.pack(values, shown, torch.full_like(labels, -1))
    loss, *gradients = loss_and_gradients(make_method("mle", fusion, "joint"), batch)
    assert loss.isfinite()
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("n_steps", [1, 2, 10, 11, 61])
def test_training_takes_any_number_of_steps(n_steps):
    method = make_method("mle", "addition", "joint")
    (history,) = train(method, packed(), packed(seed=5), Schedule(max_steps=n_steps, patience=n_steps), seed=3)
    assert history.validation[-1][0] == n_steps


# Claims


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_claims_are_checked_with_a_reason(name, fusion, objective):
    claims = METHODS[name].claims
    if fusion not in claims.refusals and objective in claims.objectives:
        claims.check(name, fusion, objective)
        return
    with pytest.raises(InputError, match=name) as caught:
        claims.check(name, fusion, objective)
    reason = claims.refusals[fusion] if fusion in claims.refusals else ", ".join(claims.objectives)
    assert reason in str(caught.value)


@pytest.mark.parametrize("missing", ["some", "all"])
def test_lower_bound_without_a_complete_labelled_sample_raises(missing):
    values, shown, labels = make_samples(missing)
    labels[shown["a"] & shown["b"]] = -1
    with pytest.raises(ValueError, match="complete labelled"):
        list(losses(make_method("lower-bound", "addition", "conditional"), Batch.pack(values, shown, labels)))


@pytest.mark.parametrize("name", COMPLETE_ONLY)
def test_what_needs_complete_samples_says_so(name):
    with pytest.raises(ValueError, match=r"complete .*samples"):
        list(losses(make_method(name, "addition", "conditional"), packed("all")))


def test_lower_bound_ignores_incomplete_and_unlabelled_samples():
    """Its parameters and its banks come from complete labelled samples alone."""
    values, shown, labels = make_samples("some")
    data = Batch.pack(values, shown, labels)
    useful = shown["a"] & shown["b"] & (labels >= 0)
    reduced = data.select(useful.nonzero().squeeze(1))
    for fusion in FUSIONS:
        choice = "lower-bound", fusion, "conditional"
        assert torch.equal(fitted(choice, data).log_posterior(data), fitted(choice, reduced).log_posterior(data))


# Identity 1, through whole methods: one-hot inputs, a linear encoder whose columns are the features of the symbols


@pytest.fixture(params=CASES, ids=str)
def world(request):
    return make_world(*request.param, seed=4)


def settled(world, name="mle"):
    method = world.method(name)
    next(iter(method.stages(world.batch(world.training, world.labels)))).settle()
    return method.eval()


@pytest.mark.parametrize("name", ["mle", "hgr"])
def test_predictions_are_those_of_the_table(world, name):
    joint = np.array([world.joint(x) for x in world.everything])
    ours = settled(world, name).log_posterior(world.batch(world.everything))
    assert_close(ours.detach().numpy(), np.log(joint / joint.sum(1, keepdims=True)), rtol=0, atol=1e-12)


def test_evidence_is_that_of_the_table(world):
    expected = np.log([world.joint(x).sum() / world.share(x) for x in world.everything])
    ours = settled(world).log_evidence(world.batch(world.everything))
    assert_close(ours.detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize("objective", METHODS["mle"].claims.objectives)
def test_the_training_loss_is_the_objective_in_loops(world, objective, bank):
    """Of a mini-batch, with the banks of all training samples (or, for "batch", its own)."""
    rows = np.array([0, 2, 3, 4, 6]) if bank != "batch" else np.array([0, 1, 3, 4, 5])
    samples, training = world.training[rows], world.training[rows] if bank == "batch" else world.training
    banks = [a[c[c != MISSING]] for a, c in zip(world.alphabets, training.T, strict=True)]
    scores = [reference.marginal_score(world.kind, world.label, f, banks) for f in world.features(samples)]
    empty = reference.marginal_score(world.kind, world.label, [None] * len(world.modalities), banks)
    data = world.batch(world.training, world.labels)
    (loss,) = losses(world.method("mle", objective, bank), data, data.select(torch.from_numpy(rows)))
    expected = reference.objective(objective, scores, empty, world.prior, world.labels[rows])
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bank", ["exact", "bank"])
@pytest.mark.parametrize("objective", METHODS["mle"].claims.objectives)
def test_a_bank_of_complete_samples_holds_no_others(world, objective, bank):
    """In the training loss and in predictions, against loops over the complete training samples."""
    whole = world.training[(world.training != MISSING).all(1)]
    banks = [a[c] for a, c in zip(world.alphabets, whole.T, strict=True)]

    def scores(samples):
        return [reference.marginal_score(world.kind, world.label, f, banks) for f in world.features(samples)]

    data = world.batch(world.training, world.labels)
    method = world.method("mle", objective, bank, bank_of="complete")
    stage = next(iter(method.stages(data)))
    (empty,) = scores(np.full((1, len(banks)), MISSING))
    expected = reference.objective(objective, scores(world.training), empty, world.prior, world.labels)
    assert stage.loss(data).item() == pytest.approx(expected, rel=1e-12)
    stage.settle()
    ours = method.eval().log_posterior(world.batch(world.everything)).detach().numpy()
    expected = np.log([reference.posterior(s, world.prior) for s in scores(world.everything)])
    assert_close(ours, expected, rtol=0, atol=1e-12)


def test_a_bank_of_complete_samples_is_refused_where_it_may_be_empty():
    with pytest.raises(InputError, match="no training sample shows every modality"):
        next(iter(make_method("mle", "addition", "conditional", bank_of="complete").stages(packed("all"))))
    with pytest.raises(InputError, match="a mini-batch may hold no complete sample"):
        make_method("mle", "addition", "conditional", "batch", bank_of="complete")


def test_a_step_that_draws_no_complete_sample_says_what_to_do(monkeypatch):
    """One of 60 is complete, and a step draws two."""
    monkeypatch.setattr("elision.bank.DRAWN_ROWS", 2)
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    X = {m: np.where(((np.arange(60) % 2 == i) | (y.cumsum() > 58))[:, None], rng.normal(size=(60, 3)), np.nan)
         for i, m in enumerate("ab")}  # fmt: skip
    held = {m: rng.normal(size=(3, 3)) for m in X}, np.arange(3)
    options = {"bank": "bank", "batch_size": 4, "max_steps": 40, "method_options": {"bank_of": "complete"}}
    with pytest.raises(InputError, match="drew no complete sample"):
        MultimodalClassifier(encoders="linear", random_state=0, **options).fit(X, y, validation=held)


# Identity 5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_missing_modalities_conditional_mle_is_the_lower_bound(fusion):
    batch = packed("none")
    ours, bound = (loss_and_gradients(make_method(n, fusion, "conditional"), batch) for n in ("mle", "lower-bound"))
    assert_close(ours, bound, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_modalities", [1, 2, 3])
@pytest.mark.parametrize("fusion", ("addition", "concatenation"))
def test_zero_padding_scores_features_of_zero(fusion, n_modalities):
    """By loops, for every pattern."""
    world = make_world(fusion, n_modalities, seed=4)
    padded = [[np.zeros(4) if f is None else f for f in sample] for sample in world.features(world.everything)]
    expected = [reference.posterior(reference.score(fusion, world.label, f), world.prior) for f in padded]
    ours = world.method("zero-padding", "conditional").log_posterior(world.batch(world.everything))
    assert_close(ours.detach().numpy(), np.log(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fusion", ("addition", "concatenation"))
def test_with_marginals_of_zero_mle_is_zero_padding(fusion):
    """Loss, gradients and predictions; with its true marginals mle differs."""
    batch, mle = packed("some"), make_method("mle", fusion, "conditional")
    padding = make_method("zero-padding", fusion, "conditional")
    assert torch.equal(mle.log_posterior(batch), padding.log_posterior(batch))
    loss, *gradients = loss_and_gradients(padding, batch)
    ours = conditional_objective(mle.model.scores(batch), mle.model.log_prior, batch.labels)
    assert_close(ours, loss, rtol=1e-12, atol=0)
    assert_close(list(torch.autograd.grad(ours, list(mle.parameters()))), gradients, rtol=1e-10, atol=1e-14)
    assert (next(losses(mle, batch)) - loss).abs() > 1e-3


# Identity 8

FILLS = {"nan": lambda x: x * torch.nan, "noise": lambda x: torch.randn_like(x) * 100, "zeros": torch.zeros_like}


@counts
@pytest.mark.parametrize("fill", FILLS)
@banked
def test_what_stands_in_for_a_missing_modality_changes_no_bit(choice, fill, n_modalities):
    """Of loss, gradients, trained parameters, banks and predictions; against the true values."""
    *choice, bank = choice
    values, shown, labels = make_samples("some", n_modalities=n_modalities)
    filled = {m: torch.where(shown[m][:, None], x, FILLS[fill](x)) for m, x in values.items()}

    def everything(values):
        batch = Batch.pack(values, shown, labels)
        numbers = loss_and_gradients(make_method(*choice, bank, n_modalities=n_modalities), batch)
        method = fitted(choice, batch, bank=bank, n_modalities=n_modalities)
        return [*numbers, *method.state_dict().values(), method.log_posterior(batch)]

    assert any(not torch.equal(values[m], filled[m]) for m in values)
    for one, other in zip(everything(values), everything(filled), strict=True):
        assert torch.equal(one, other)
