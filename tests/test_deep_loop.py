"""What a training does at each step, against the same done by hand: rates, optimisers, draws, memories, validation."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models import get_model, get_model_weights

import deep_work
from deep_work import CONFIG, MODALITIES, sample
from elision.bank import MemoryBank
from elision.config import EncoderConfig
from elision.data.store import Store
from elision.deep import loop
from elision.deep.build import encoder, tune
from elision.deep.loop import DeepLoop
from elision.deep.model import load_model
from elision.deep.partition import StorePartition
from elision.deep.train import train
from stores import written

OWN = {m: EncoderConfig("own") for m in MODALITIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return deep_work.store(tmp_path_factory.mktemp("data") / "store")


def spy(monkeypatch, name, look):
    """Call ``look`` with what a method of `DeepLoop` was called with, before it."""
    before = getattr(DeepLoop, name)

    def watched(self, *args):
        look(self, *args)
        return before(self, *args)

    monkeypatch.setattr(DeepLoop, name, watched)


def lines(out) -> list[dict[str, str]]:
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


def by_hand(optimizer, weight, gradients, rates, decay):
    """The last weight, of the formulas of SGD with momentum 0.9 and of AdamW (0.9, 0.999, 1e-8)."""
    w, m, v = weight, torch.zeros_like(weight), torch.zeros_like(weight)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        if optimizer == "sgd":
            m = g + decay * w if t == 1 else 0.9 * m + g + decay * w
            w = w - rate * m
        else:
            w = w - rate * decay * w
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return w


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_are_the_optimisers_formula_with_rate_clip_and_decay(data, tmp_path, monkeypatch, optimizer):
    """56 segments are 5 batches, by twos 3 steps an epoch, of 6 in all: the rate rises over ceil(0.3 * 6) = 2."""
    gradients, weights = [], []

    def look(module, *args):
        parameters = module.stage.parameters
        norm = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
        p = module.method.model.fusion.label_embedding
        gradients.append(p.grad * min(1.0, 0.01 / norm))
        weights.append(p.detach().clone())

    spy(monkeypatch, "take_step", look)
    spy(monkeypatch, "validate", lambda module: weights.append(module.method.model.fusion.label_embedding.clone()))
    config = replace(
        CONFIG, encoders=OWN, precision="64-true", optimizer=optimizer, learning_rate=0.1, weight_decay=0.5,
        warm_up=0.3, clip=0.01, accumulate=2, epochs=2,
    )  # fmt: skip
    result = train(data.address, tmp_path / "run", config, modules=deep_work.own_modules())
    assert result.step == len(gradients) == 6
    rates = [0.05, 0.1, *(0.1 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4))]
    expected = by_hand(optimizer, weights[0], gradients, rates, 0.5)
    torch.testing.assert_close(weights[-1], expected, rtol=1e-5, atol=1e-7)
    logged = [float(row["learning_rate"]) for row in lines(tmp_path / "run") if row["learning_rate"]]
    assert logged == pytest.approx(rates, rel=1e-5)


def test_a_step_of_several_batches_has_the_mean_of_their_gradients(data, tmp_path, monkeypatch):
    """Two batches of three, of which an epoch's last step has one: half its gradient."""
    batches, checked = [], []
    spy(monkeypatch, "learn", lambda module, batch: batches.append(batch))

    def look(module):
        weight = module.method.model.fusion.label_embedding
        parts = [torch.autograd.grad(module.stage.loss(batch), weight)[0] for batch in batches]
        torch.testing.assert_close(weight.grad, sum(parts) / 2, rtol=1e-9, atol=1e-12)
        checked.append(len(batches))
        batches.clear()

    spy(monkeypatch, "take_step", look)
    config = replace(
        CONFIG, encoders=OWN, precision="64-true", method="zero-padding", objective="conditional", accumulate=2,
        clip=0.0, epochs=1, batch_size=10,
    )  # fmt: skip
    train(data.address, tmp_path / "run", config, modules=deep_work.own_modules())
    assert checked == [2, 2, 1]


@pytest.mark.parametrize(("minutes", "steps", "expected"), [(0.0, 10**6, 5), (1e6, 10**6, 1), (1e6, 2, 3)])
def test_checkpoints_are_due_by_time_or_by_steps_and_at_every_epochs_end(
    data, tmp_path, monkeypatch, minutes, steps, expected
):
    """Five steps in the one epoch; of every second one the second and fourth, and the last."""
    saved = []
    spy(monkeypatch, "save", lambda module: saved.append(module.progress.step))
    train(data.address, tmp_path / "run", replace(CONFIG, epochs=1, checkpoint_minutes=minutes, checkpoint_steps=steps))
    assert len(saved) == expected
    assert saved[-1] == 5


def test_every_batch_has_draws_of_its_own_in_training_mode(data, tmp_path, monkeypatch):
    """Keyed on seed, epoch, batch and process; 30 segments of an epoch by 8 are 4 batches."""
    seeds, keys, seed_by = [], [], loop._seed
    monkeypatch.setattr(loop, "_seed", lambda *given: seed_by(*keys.append(given) or given))

    def look(module, batch):
        assert all(part.training for part in module.method.modules())
        seeds.append(torch.initial_seed())
        seed_by(*keys[-1][:-1], keys[-1][-1] + 1)  # as the next process
        seeds.append(torch.initial_seed())
        seed_by(*keys[-1])

    spy(monkeypatch, "learn", look)
    config = replace(CONFIG, segments_per_epoch=30, batch_size=8, epochs=2)
    for seed in (0, 1):
        assert train(data.address, tmp_path / str(seed), replace(config, seed=seed)).step == 8
    assert len(set(seeds)) == len(seeds) == 2 * 2 * 8


def test_remembered_features_are_computed_again_when_they_are_due_without_dropout(data, tmp_path, monkeypatch):
    """Before the first step and after every second epoch; not after the last, of which nothing is learnt."""
    told, due = [], []
    before = MemoryBank.refresh

    def refresh(self):
        before(self)
        due.append(told[-1].epoch if told else 0)
        with torch.no_grad():
            again = self.encode(self.inputs)
        assert all(torch.equal(again[m], x) for m, x in self.features.items())

    monkeypatch.setattr(MemoryBank, "refresh", refresh)
    config = replace(CONFIG, epochs=6, bank_refresh=2, patience=0)
    train(data.address, tmp_path / "run", config, report=told.append)
    assert due == [0, 2, 4]


def test_the_best_epoch_is_kept_and_patience_counts_from_it(data, tmp_path, monkeypatch):
    """2 is no better than 2; two validations without a better one than 1 end it. Five steps an epoch."""
    script, seen = [3.0, 2.0, 2.0, 1.0, 1.5, 1.0, 0.5], []

    def validate(self):
        seen.append(self.method.model.fusion.label_embedding.detach().clone())
        self._validated = {}
        return script[len(seen) - 1]

    monkeypatch.setattr(DeepLoop, "validate", validate)
    result = train(data.address, tmp_path / "run", replace(CONFIG, epochs=10, patience=2))
    assert (result.values["epochs"], result.values["best_step"]) == (6, 20)
    assert result.values["validation"]["nll"] == 1.0
    assert torch.equal(load_model(tmp_path / "run").method.model.fusion.label_embedding, seen[3])


def test_validation_is_the_likelihood_of_the_validation_samples(tmp_path):
    """A bank without memory is that of the encoders as they are: the saved model says the same of the same samples.

    A quarter of all samples lack two modalities, so that validation needs the banks.
    """
    rows = [sample(i, ("audio",) if i % 4 == 1 else tuple(MODALITIES)) for i in range(60)]
    store = Store(written(tmp_path / "store", rows, modalities=MODALITIES))
    result = train(store.address, tmp_path / "run", replace(CONFIG, bank="batch"))
    model = load_model(tmp_path / "run")
    for part, expected in (("validation", result.values["validation"]["nll"]), ("test", None)):
        samples = getattr(StorePartition.of_store(store, model.config), part)
        assert not store.observed["visual"][samples].all()
        logs = model.predict(store, samples, store.observed)
        nll = -np.mean([row[z] for row, z in zip(logs, store.codes[samples], strict=True)])
        assert nll == pytest.approx(expected or result.values["test"]["metrics"]["nll"], rel=1e-5)


def test_a_line_of_the_log_is_the_mean_loss_since_the_last(data, tmp_path, monkeypatch):
    losses = []
    before = loop._Loss.forward
    monkeypatch.setattr(loop._Loss, "forward", lambda self, *args: losses.append(x := before(self, *args)) or x)
    train(data.address, tmp_path / "run", replace(CONFIG, log_steps=3, epochs=2))
    logged = [float(row["loss"]) for row in lines(tmp_path / "run") if row["loss"]]
    expected = torch.stack(losses).detach()[:9].view(3, 3).mean(1)
    assert len(losses) == 10
    assert logged == pytest.approx(expected.tolist(), rel=1e-5)


def test_spectrograms_are_standardised_by_what_training_samples_show(data, tmp_path):
    config = replace(CONFIG, missing="audio", epochs=1)
    train(data.address, tmp_path / "run", config)
    parts = StorePartition.of_store(data, config)
    shown = [i for i in parts.train if parts.observed["audio"][i]]
    seen = np.concatenate([sample(i).values["audio"].astype(np.float64) for i in shown])
    preparation = load_model(tmp_path / "run").encoders["audio"].preparation
    assert float(preparation.mean) == pytest.approx(seen.mean(), rel=1e-5)
    assert float(preparation.deviation) == pytest.approx(seen.std(), rel=1e-5)


def test_the_config_reaches_the_encoders(data, tmp_path, monkeypatch):
    made = encoder("visual", EncoderConfig("small-cnn", augment=True), MODALITIES["visual"], 4, {})
    assert made.preparation.augment
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    train(data.address, tmp_path / "run", replace(CONFIG, epochs=1))
    encoders = load_model(tmp_path / "run").encoders
    tune(encoders, replace(CONFIG, compile=True, channels_last=True, precision="bf16-mixed"))
    assert compiled == list(encoders.values())
    assert {net.autocast for net in encoders.values()} == {torch.bfloat16}
    assert all(net.channels_last for net in encoders.values())


def test_a_frozen_backbone_leaves_training_as_it_came_from_torchs_cache(data, tmp_path, monkeypatch):
    """Weights and batch statistics, through epochs and validations; the projection behind it learns."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(7)
    theirs = get_model("resnet18", weights=None).state_dict()
    torch.save(theirs, cache / get_model_weights("resnet18")["IMAGENET1K_V1"].url.rsplit("/", 1)[-1])
    frozen = EncoderConfig("resnet18", weights="IMAGENET1K_V1", frozen=True)
    config = replace(CONFIG, epochs=2, encoders={"visual": frozen}, segments_per_epoch=24)
    started = []
    spy(monkeypatch, "train", lambda m: started.append(m.encoders["visual"].projection.weight.clone()))
    train(data.address, tmp_path / "run", config)
    net = load_model(tmp_path / "run").encoders["visual"]
    ours = net.backbone.layers.state_dict()
    assert ours.keys() == {name for name in theirs if not name.startswith("fc.")}
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())
    assert not torch.equal(net.projection.weight, started[0])
