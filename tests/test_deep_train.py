"""Trainings and what comes of them: files, models that load anywhere, evaluation, prediction, and bad input."""

import csv
import json
from contextlib import suppress
from dataclasses import replace
from functools import partialmethod

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import deep_work
from deep_work import CONFIG, MODALITIES, sample
from elision import MultimodalClassifier
from elision.config import EncoderConfig, TrainConfig
from elision.data.missing import remove
from elision.data.sources import load
from elision.data.store import Store
from elision.deep import processes
from elision.deep.assess import sample_posteriors
from elision.deep.evaluate import evaluate_run
from elision.deep.model import load_model
from elision.deep.partition import StorePartition
from elision.deep.rows import LazyRows, Reading, lazy_batch
from elision.deep.train import train
from elision.errors import InputError, TrainingError
from elision.evaluation import average_segments
from elision.kinds import Modality
from elision.likelihood import negative_log_likelihood
from elision.methods import Claims, Method, Stage
from elision.registries import METHODS
from elision.study.execution import execute
from elision.study.run import Run, Training
from stores import row, written

FAST = replace(CONFIG, epochs=2)
END_TO_END = [name for name, method in METHODS.items() if not method.claims.needs_features]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return deep_work.store(tmp_path_factory.mktemp("data") / "store", n=60)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return train(data.address, out, replace(CONFIG, epochs=6, bank_refresh=2))


# Results


def test_a_run_learns_what_can_be_learnt(run):
    """Every modality tells the classes apart: guessing is 1/3, and log 3 nats."""
    assert run.finished
    metrics = run.values["test"]["metrics"]
    assert metrics["accuracy"] > 0.6
    assert metrics["nll"] < 0.8
    assert set(run.values["test"]["removed"]) == set(MODALITIES)


def test_a_run_leaves_its_files(run, data):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"config.json", "data.json", "log.csv", "checkpoints", "model", "result.json"}
    assert json.loads((run.folder / "result.json").read_text())["test"] == run.values["test"]
    assert TrainConfig.read(run.folder / "config.json").epochs == 6
    with (run.folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(row["validation_nll"] != "" for row in rows) == run.values["epochs"]
    assert min(float(r["validation_nll"]) for r in rows if r["validation_nll"]) == pytest.approx(
        run.values["validation"]["nll"], rel=1e-5
    )


@pytest.mark.parametrize("name", END_TO_END)
def test_every_end_to_end_method_trains_and_loads(data, tmp_path, name):
    config = replace(FAST, method=name, objective=METHODS[name].claims.objectives[0], fusion="concatenation")
    values = train(data.address, tmp_path / "run", config).values
    model = load_model(tmp_path / "run")
    parts = StorePartition.of_store(data, model.config)
    logs = model.predict(data, parts.test, parts.observed)
    assert np.isfinite(logs).all()
    hits = logs.argmax(1) == data.codes[parts.test]
    assert hits.mean() == pytest.approx(values["test"]["metrics"]["accuracy"])


def test_the_split_and_what_goes_missing_are_those_of_every_other_experiment(data):
    parts = StorePartition.of_store(data, CONFIG)
    assert len({*parts.train, *parts.validation, *parts.test}) == len(data)
    kept = remove({m: mask[parts.train] for m, mask in data.observed.items()}, "visual", 0.5, CONFIG.seed)
    assert np.array_equal(parts.observed["visual"][parts.train], kept["visual"])
    assert parts.observed["visual"][parts.test].all()
    assert abs(parts.counts()["complete"] - len(parts.train) / 2) <= 1


def test_the_stored_banks_are_those_of_the_final_encoders(run, data):
    """c_m of the saved model, recomputed from the store with the saved encoders and the formula."""
    model = load_model(run.folder)
    parts = StorePartition.of_store(data, model.config)
    net, fusion = model.method.model.encoders[1], model.method.model.fusion
    segments = parts.segments(parts.train)
    rows = segments.batch(np.arange(len(segments))).inputs["audio"]
    with torch.no_grad():
        scores = net(rows).double() @ fusion.label_embedding.double().T
    expected = torch.logsumexp(scores, 0) - np.log(len(rows))
    torch.testing.assert_close(model.method.model.marginal_1.double(), expected, rtol=1e-4, atol=1e-5)


def test_the_best_weights_are_kept_and_not_the_last(data, tmp_path):
    """A rate that destroys what was learnt: early stopping, and the model of the best epoch."""
    config = replace(CONFIG, epochs=30, learning_rate=0.3, patience=2, clip=0, warm_up=0.0)
    result = train(data.address, tmp_path / "run", config)
    assert result.values["epochs"] < 30
    assert result.values["best_step"] < result.values["step"]
    best_folder = tmp_path / "run" / "checkpoints" / f"best-{result.values['best_step']:09d}"
    best = load_file(best_folder / "tensors.safetensors")
    saved = load_file(tmp_path / "run" / "model" / "tensors.safetensors")
    name = "model.fusion.label_embedding"
    assert torch.equal(best[name], saved[name])


# Lazy rows


def test_lazy_rows_read_what_eager_ones_hold(data):
    parts = StorePartition.of_store(data, CONFIG)
    segments = parts.segments(parts.train)
    lazy = lazy_batch(segments, Reading(torch.device("cpu"), piece=7))
    eager = segments.batch(np.arange(len(segments)))
    for m, rows in lazy.inputs.items():
        assert len(rows) == len(eager.inputs[m])
        pieces = list(rows.split(1000))
        assert max(map(len, pieces)) == 7
        assert torch.equal(torch.cat(pieces), eager.inputs[m])
        assert torch.equal(lazy.rows[m], eager.rows[m])
    some = torch.tensor([5, 2, 30])
    chosen, expected = lazy.select(some), eager.select(some)
    for m in lazy.inputs:
        assert isinstance(chosen.inputs[m], LazyRows)
        assert torch.equal(torch.cat([*chosen.inputs[m].split(2), expected.inputs[m][:0]]), expected.inputs[m])
    assert lazy.complete.tolist() == eager.complete.tolist()


def test_what_is_not_observed_is_never_decoded(data, tmp_path, monkeypatch):
    """Visual missing everywhere but in four samples of the training part: nothing else of it is read."""
    read = set()
    before = Store.window

    def spy(self, sample, modality, window=0):
        read.add((sample, modality))
        return before(self, sample, modality, window)

    monkeypatch.setattr(Store, "window", spy)
    config = replace(FAST, rate=0.9)
    parts = StorePartition.of_store(data, config)
    train(data.address, tmp_path / "run", config)
    hidden = parts.train[~parts.observed["visual"][parts.train]]
    assert len(hidden) > 30
    shown = parts.train[parts.observed["visual"][parts.train]]
    assert {(int(sample), "visual") for sample in shown} <= read
    assert not read & {(int(sample), "visual") for sample in hidden}


# Models


def test_a_model_loads_without_its_data_and_says_the_same(run, data, tmp_path):
    here = load_model(run.folder)
    moved = tmp_path / "elsewhere"
    (run.folder / "model").rename(moved)
    try:
        there = load_model(moved)
        assert np.array_equal(there.predict(data), here.predict(data))
        assert there.classes == ("u", "v", "w")
    finally:
        moved.rename(run.folder / "model")


@pytest.mark.parametrize(("file", "words"), [("tensors.safetensors", "its hash differs"), ("model.json", "its hash")])
def test_a_tampered_model_is_refused(run, tmp_path, file, words):
    import shutil

    copy = shutil.copytree(run.folder / "model", tmp_path / "model")
    path = copy / file
    content = bytearray(path.read_bytes())
    where = content.index(b'"seed": 0') + 8 if file == "model.json" else len(content) - 5
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_model(copy)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a saved model: model.json is missing"):
        load_model(tmp_path)


def test_an_own_module_is_trained_saved_and_asked_for(data, tmp_path):
    config = replace(FAST, encoders={m: EncoderConfig("own") for m in MODALITIES})
    with pytest.raises(InputError, match="is encoded by a module of your own"):
        train(data.address, tmp_path / "without", config)
    modules = deep_work.own_modules()
    before = {k: x.clone() for k, x in modules["face"].state_dict().items()}
    train(data.address, tmp_path / "run", config, modules=modules)
    assert all(torch.equal(x, before[k]) for k, x in modules["face"].state_dict().items())
    with pytest.raises(InputError, match="is encoded by a module of your own"):
        load_model(tmp_path / "run")
    assert np.isfinite(load_model(tmp_path / "run", modules=modules).predict(data)).all()


# Evaluation


def test_evaluating_a_run_repeats_its_result(run):
    again = evaluate_run(run.folder)
    assert replace(again, data="") == run.test


def test_evaluating_on_other_data_takes_all_labelled_samples(run, tmp_path):
    other = deep_work.store(tmp_path / "other", n=25)
    judged = evaluate_run(run.folder, other.address, average="logs")
    assert judged.metrics.n == (other.codes >= 0).sum()
    assert judged.average == "logs"
    assert judged.patterns.keys() == {"visual + audio + face"}


def test_a_pattern_is_judged_by_itself(run, tmp_path):
    rows = [sample(i, ("audio",) if i % 2 else ("visual", "audio", "face")) for i in range(12)]
    address = written(tmp_path / "mixed", rows, modalities=MODALITIES)
    judged = evaluate_run(run.folder, address)
    assert {k: v.n for k, v in judged.patterns.items()} == {"audio": 6, "visual + audio + face": 5}


def test_each_modality_is_taken_away_from_those_who_show_another(run, tmp_path):
    """What the model says of a store that never had it; two samples of audio alone have nothing without it."""
    rows = [sample(i, ("audio",) if i in (105, 110) else tuple(MODALITIES)) for i in range(100, 113)]
    judged = evaluate_run(run.folder, written(tmp_path / "all", rows, modalities=MODALITIES))
    model, labelled = load_model(run.folder), [r for r in rows if r.label]
    for m, metrics in judged.removed.items():
        fewer = [replace(r, values={o: v for o, v in r.values.items() if o != m}) for r in labelled]
        fewer = [r for r in fewer if r.values]
        logs = model.predict(Store(written(tmp_path / m, fewer, modalities=MODALITIES)))
        nll = -np.mean([log["uvw".index(r.label)] for log, r in zip(logs, fewer, strict=True)])
        assert metrics.n == len(fewer) == len(labelled) - 2 * (m == "audio")
        assert metrics.nll == pytest.approx(nll, rel=1e-5)


def test_classes_are_told_by_their_names(run, tmp_path):
    """A store of v and w numbers them 0 and 1, and the model, which knows u too, 1 and 2."""
    rows = [sample(i) for i in range(100, 130) if i % 3]
    store = Store(written(tmp_path / "other", rows, modalities=MODALITIES))
    judged = evaluate_run(run.folder, store.address)
    logs = load_model(run.folder).predict(store)
    nll = -np.mean([log[" vw".index(r.label)] for log, r in zip(logs, rows, strict=True) if r.label])
    assert judged.metrics.nll == pytest.approx(nll, rel=1e-9)
    counts = [sum(r.label == name for r in rows) for name in "uvw"]
    assert np.sum(judged.confusion, axis=1).tolist() == counts


def test_a_class_unseen_in_training_is_named(run, tmp_path):
    rows = [replace(sample(i), label="x") for i in range(4)]
    address = written(tmp_path / "other", rows, modalities=MODALITIES)
    with pytest.raises(InputError, match=r"class 'x' of .* was not seen in training: it knew u, v, w"):
        evaluate_run(run.folder, address)


def test_a_store_that_disagrees_is_refused(run, tmp_path):
    fewer = {m: v for m, v in MODALITIES.items() if m != "face"}
    address = written(tmp_path / "fewer", [sample(0, tuple(fewer))], modalities=fewer)
    with pytest.raises(InputError, match="the store has no modality 'face'"):
        evaluate_run(run.folder, address)
    other = {**MODALITIES, "face": Modality("features", (5,))}
    row = replace(sample(0), values={**sample(0).values, "face": np.zeros(5, np.float32)})
    address = written(tmp_path / "shape", [row], modalities=other)
    with pytest.raises(InputError, match=r"is features \(5,\) in the store, and the model takes features \(4,\)"):
        evaluate_run(run.folder, address)


def test_segments_are_averaged_as_posteriors_or_as_logs():
    """(0.5, 0.5) and (0.9, 0.1): the mean is (0.7, 0.3); the geometric one is 3 : 1."""
    logs = np.log([[[0.5, 0.5], [0.9, 0.1]]])
    np.testing.assert_allclose(np.exp(average_segments(logs)), [[0.7, 0.3]])
    np.testing.assert_allclose(np.exp(average_segments(logs, "logs")), [[0.75, 0.25]])
    with pytest.raises(InputError, match="unknown average"):
        average_segments(logs, "median")


# Bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accelerator": "gpu"}, "a GPU is asked for and torch finds none"),
        ({"precision": "16-mixed"}, "needs a GPU"),
        ({"shares": 3, "devices": 2}, "expected a multiple of the 2 processes"),
        ({"options": {"nonsense": 1}}, "does not take the options"),
        ({"missing": "smell"}, "unknown modality 'smell'"),
    ],
)
def test_what_cannot_be_trained_is_refused(data, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train(data.address, tmp_path / "run", replace(CONFIG, **{"accelerator": "cpu", **changes}))


def test_no_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="no data is given"):
        train(None, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_with_ids_and_keeps_the_last_good_checkpoint(data, tmp_path, monkeypatch):
    from elision.deep.loop import DeepLoop

    steps = []
    before = DeepLoop.learn

    def poisoned(self, batch):
        steps.append(1)
        if len(steps) == 7:
            with torch.no_grad():
                next(p for p in self.method.parameters() if p.requires_grad).fill_(float("nan"))
        return before(self, batch)

    monkeypatch.setattr(DeepLoop, "learn", poisoned)
    with pytest.raises(
        TrainingError, match=r"the loss became nan in epoch 1, batch 7, with samples s0.*step 6 is kept"
    ):
        train(data.address, tmp_path / "run", CONFIG)
    monkeypatch.undo()
    assert train(None, tmp_path / "run", resume=True).finished


def test_out_of_memory_says_what_to_lower(data, tmp_path, monkeypatch):
    from elision.deep.loop import DeepLoop

    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(DeepLoop, "learn", full)
    with pytest.raises(
        TrainingError, match=r"out of memory: lower batch_size \(now 12\) and raise accumulate \(now 1\)"
    ):
        train(data.address, tmp_path / "run", CONFIG)


# Extras


@pytest.mark.parametrize("changes", [{"precision": "bf16-mixed", "channels_last": True}, {"optimizer": "sgd"}])
def test_other_ways_of_computing(data, tmp_path, changes):
    assert train(data.address, tmp_path / "run", replace(FAST, **changes)).finished


def test_tensorboard_on_demand(data, tmp_path):
    pytest.importorskip("tensorboard")
    train(data.address, tmp_path / "run", replace(FAST, loggers=("tensorboard",)))
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


@pytest.mark.filterwarnings("ignore")  # its own packages warn of each other
def test_mlflow_on_demand(data, tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("alembic")
    import sqlite3

    train(data.address, tmp_path / "run", replace(FAST, loggers=("mlflow",)))
    with sqlite3.connect(tmp_path / "run" / "mlflow.db") as database:
        keys = {key for (key,) in database.execute("select distinct key from metrics")}
    assert keys >= {"loss", "validation_nll", "validation_accuracy"}


def test_a_logger_that_cannot_be_used_says_what_to_install(data, tmp_path, monkeypatch):
    import elision.deep.train as module

    def absent(*args, **kwargs):
        raise ModuleNotFoundError("no mlflow here")

    monkeypatch.setattr(module, "MLFlowLogger", absent)
    with pytest.raises(InputError, match=r"logger 'mlflow' cannot be used: no mlflow here; install elision\[mlflow\]"):
        train(data.address, tmp_path / "run", replace(FAST, loggers=("mlflow",)))


def test_a_store_of_one_class_is_refused_before_a_folder_is_made(tmp_path):
    rows = [row(i, label="only") for i in range(12)]
    store = Store(written(tmp_path / "store", rows))
    with pytest.raises(InputError, match="shows 1 class"):
        train(store.address, tmp_path / "run", FAST)
    assert not (tmp_path / "run").exists()


class Foreign(Method):
    """Eq. (4) with zeros for what is missing, written by CONTRIBUTING's four steps with names of its own."""

    claims = Claims(summary="Foreign names.", source="here")

    def __init__(self, ingredients):
        super().__init__()
        self.nets = torch.nn.ModuleDict(ingredients.encoders)
        self.combine = ingredients.fusion
        self.register_buffer("how_common", ingredients.log_prior)

    def log_posterior(self, batch):
        none = self.how_common.new_zeros(0, self.combine.n_features)
        features = {m: net(batch.inputs[m]) if len(batch.inputs[m]) else none for m, net in self.nets.items()}
        nothing = dict.fromkeys(features, torch.zeros_like(self.how_common))
        scores = self.combine.scores(features, batch.rows, len(batch), nothing)
        return torch.log_softmax(self.how_common + scores, dim=1)

    def stages(self, train):
        def loss(batch):
            return negative_log_likelihood(self.log_posterior(batch), batch.labels).mean()

        yield Stage("foreign", list(self.parameters()), train.labelled, loss, self.validate)


def test_a_method_with_names_of_its_own_passes_every_door(data, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "foreign", Foreign)
    config = replace(FAST, method="foreign", objective="conditional")
    result = train(data.address, tmp_path / "run", config)
    assert evaluate_run(tmp_path / "run").metrics == result.test.metrics
    assert np.isfinite(load_model(tmp_path / "run").predict(data)).all()
    rng = np.random.default_rng(0)
    X, y = {"a": rng.normal(size=(60, 3)), "b": rng.normal(size=(60, 2))}, np.arange(60) % 2
    X["b"][40:] = np.nan
    model = MultimodalClassifier("foreign", encoders="linear", max_steps=5, random_state=0).fit(X, y)
    model.save(tmp_path / "model")
    again = MultimodalClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    known = ("digits", "digits", load("digits").fingerprint(), False)
    run = Run(*known, "foreign", "addition", "all", Training("linear"), "left", 0.5, 0)
    monkeypatch.setattr(MultimodalClassifier, "fit", partialmethod(_briefly, MultimodalClassifier.fit))
    assert 0 <= execute(run).test.metrics.accuracy <= 1


def _briefly(self, fit, X, y, validation=None, **more):
    self.max_steps = 5
    return fit(self, X, y, validation, **more)


def test_what_several_processes_say_comes_back_in_the_order_of_the_samples(run, data, monkeypatch):
    """Three processes, played one after the other: what each would send is what all get."""
    model = load_model(run.folder)
    samples = np.flatnonzero(data.codes >= 0)[:20]
    arguments = (model.method, data, samples, data.observed, Reading(torch.device("cpu"), 0), len(model.classes))
    alone = sample_posteriors(*arguments)
    monkeypatch.setattr(processes, "count", lambda: 3)
    sent = []
    monkeypatch.setattr(processes, "gather_rows", lambda rows: sent.append(rows) or torch.zeros(20, *rows.shape[1:]))
    for rank in range(3):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        with suppress(IndexError):
            sample_posteriors(*arguments)
    answers = iter([torch.cat(sent[0::2]), torch.cat(sent[1::2])])
    monkeypatch.setattr(processes, "gather_rows", lambda rows: next(answers))
    np.testing.assert_allclose(sample_posteriors(*arguments), alone, atol=1e-6)


def test_what_diverges_in_the_only_batch_of_an_epoch_is_said(data, tmp_path):
    """The loss of that batch is still finite: validation, after the step, meets what is no number."""
    config = replace(FAST, batch_size=10_000, learning_rate=1e30, clip=0.0, warm_up=0.0)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1, batch 1, with samples"):
        train(data.address, tmp_path / "run", config)
