"""Runs of the paper's settings: what names them, which samples they see, what they are trained on."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from elision.errors import InputError, TrainingError
from elision.evaluation import Assessment, Metrics
from elision.inputs import observed_rows
from elision.plain import plain
from elision.run_folder import RunResult
from elision.study import end_to_end, features, on_arrays, paper
from elision.study.commands import read_command, write_commands
from elision.study.end_to_end import config_of
from elision.study.execution import execute
from elision.study.features import open_features, visual_name
from elision.study.folders import FailedRun, write_failure, write_result
from elision.study.on_arrays import partition
from elision.study.results import Result
from elision.study.run import UPPER_BOUND, Run, Training
from elision.study.runner import read_outcomes

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
SETTING = paper.setting("table2", "mle", "conditional", "addition", "given", "visual", 0.8)
TRAINING = Training("linear", 4, max_epochs=30, way="segments")


def manifest(folder: Path, n_each: int = 18, groups: bool = True) -> Path:
    """Six classes on a hexagon, audio the first coordinate and face the second."""
    rng = np.random.default_rng(0)
    labels = np.repeat(EMOTIONS, n_each)
    angle = 2 * np.pi * np.repeat(np.arange(6), n_each) / 6
    noise = rng.normal(0, 0.1, (2, len(labels)))
    columns = {"audio.x": np.cos(angle) + noise[0], "audio.n": rng.normal(size=len(labels)),
               "face.y": np.sin(angle) + noise[1]}  # fmt: skip
    table = pd.DataFrame({"label": labels} | columns)
    if groups:
        table["group"] = [f"actor {i % 6}" for i in range(len(labels))]
    table.to_csv(folder / "made.csv", index=False)
    return folder / "made.csv"


def a_run(path: Path, **changes) -> Run:
    known = {"source": str(path), "data": "made", "fingerprint": open_features(str(path))[1], "visual": "face"}
    return replace(SETTING, **known | {"training": TRAINING} | changes)


def test_a_run_is_named_by_all_that_decides_its_result_and_by_nothing_else(tmp_path):
    run = a_run(manifest(tmp_path))
    assert replace(run, source="elsewhere", folder="there").key == run.key
    changes = [
        {"seed": 1}, {"by_group": True}, {"data": "d"}, {"fingerprint": "f"}, {"visual": "v"},
        {"training": replace(TRAINING, max_epochs=31)}, {"training": replace(TRAINING, options=(("a", 1),))},
        {"method": "ae1"}, {"objective": "joint"}, {"rate": 0.9}, {"missing": "audio"}, {"extractor": "vgg16"},
    ]  # fmt: skip
    keys = {replace(run, **change).key for change in changes}
    assert len(keys) == len(changes) and run.key not in keys


def test_a_run_survives_the_file_of_a_command(tmp_path):
    run = a_run(manifest(tmp_path), training=replace(TRAINING, options=(("selection", "last"),)))
    write_commands(tmp_path, [run], execute)
    assert read_command(tmp_path, run.key) == (run, execute)


def test_every_method_sees_the_same_samples_and_only_training_loses_a_modality(tmp_path):
    path = manifest(tmp_path)
    parts = partition(a_run(path))
    for other in ("ae1", "ae2"):
        again = partition(a_run(path, method=other))
        for one, two in ((again.train, parts.train), (again.validation, parts.validation), (again.test, parts.test)):
            np.testing.assert_array_equal(one.codes, two.codes)
            assert all(np.array_equal(one.arrays[m], two.arrays[m], equal_nan=True) for m in ("visual", "audio"))
    lost = np.isnan(parts.train.arrays["visual"]).all(1)
    assert lost.sum() == round(0.8 * len(lost)) and not np.isnan(parts.train.arrays["audio"]).any()
    assert not any(np.isnan(a).any() for held in (parts.validation, parts.test) for a in held.arrays.values())
    data, grouped = open_features(str(path))[0], partition(a_run(path, by_group=True))
    group_of = dict(zip(data.arrays["audio"][:, 1].tolist(), data.groups, strict=True))
    groups = [
        {group_of[x] for x in part.arrays["audio"][:, 1]} for part in (grouped.train, grouped.validation, grouped.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6


def test_nothing_is_removed_for_the_upper_bound(tmp_path):
    run = a_run(manifest(tmp_path), visual="", missing="face")
    assert np.isnan(partition(run).train.arrays["face"]).any()
    bound = partition(replace(run, method=UPPER_BOUND))
    assert bound.complete.all() and len(bound.train.codes) == len(partition(run).train.codes)


def test_end_to_end_the_modalities_have_the_names_of_the_data():
    setting = paper.setting("table1", "mle", "joint", "addition", "end-to-end", "visual", 0.8)
    training = Training("small-cnn", 8, 3, 16, 0.01, (("weights", "X"), ("patience", 0)), "end-to-end")
    config = config_of(replace(setting, visual="face", training=training, seed=4, by_group=True))
    assert (config.missing, config.rate, set(config.encoders)) == ("face", 0.8, {"face", "audio"})
    assert config.encoders["face"].name == "small-cnn" and config.encoders["audio"].weights == "X"
    assert (config.epochs, config.batch_size, config.learning_rate, config.patience) == (3, 16, 0.01, 0)
    assert (config.objective, config.seed, config.by_group, config.n_features) == ("joint", 4, True, 8)
    assert config_of(replace(setting, visual="face", training=training, missing="audio")).missing == "audio"


def test_a_stopped_training_fails_and_goes_on_when_it_is_tried_again(tmp_path, monkeypatch):
    """The folder of checkpoints is kept while there is something left, and removed at the end."""
    resumed = []
    test = Assessment(Metrics(0.5, 1.0, 0.1, 0.5, 9), [[9]], ["a"], {}, {"face": Metrics(0.4, 1.0, 0.1, 0.5, 9)})
    values = {"samples": {"train": 70, "complete": 14}, "seconds": 2.0, "best_step": 5, "test": asdict(test)}

    def train(source, folder, config, resume):
        resumed.append(resume)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        done = len(resumed) == 2
        return RunResult(folder, values if done else {}, done, 7)

    monkeypatch.setattr(end_to_end, "train", train)
    setting = paper.setting("table1", "mle", "conditional", "addition", "end-to-end", "visual", 0.8)
    run = replace(setting, visual="face", folder=str(tmp_path / "training"), training=Training("mlp", way="end-to-end"))
    with pytest.raises(TrainingError, match="stopped at step 7, and goes on from there"):
        execute(run)
    assert (tmp_path / "training" / run.key).exists()
    result = execute(run)
    assert (result.n_train, result.n_complete, result.seconds, set(result.test.removed)) == (70, 14, 2, {"visual"})
    assert resumed == [False, True] and not list((tmp_path / "training").iterdir())


def test_training_samples_without_a_label_are_kept(tmp_path):
    table = pd.read_csv(manifest(tmp_path))
    table.loc[::9, "label"] = None
    table.to_csv(tmp_path / "made.csv", index=False)
    parts = partition(a_run(tmp_path / "made.csv"))
    result = execute(a_run(tmp_path / "made.csv", objective="joint"))
    assert (parts.train.codes < 0).sum() == table["label"].isna().sum() == 12
    assert result.n_train == len(parts.train.codes) and (parts.test.codes >= 0).all()


def test_both_modalities_together_tell_what_neither_can_and_the_result_is_whole(tmp_path):
    """The first coordinate of a hexagon's corners tells four classes apart, the second three."""
    run = a_run(manifest(tmp_path), rate=0.5, training=replace(TRAINING, max_epochs=300))
    result = execute(run)
    assert result.test.metrics.accuracy > 0.85
    assert Result.read(json.loads(json.dumps(result, default=plain))) == result and result.run == run
    assert result.test.classes == list(EMOTIONS) and set(result.test.removed) == {"visual", "audio"}
    assert np.sum(result.test.confusion) == result.test.metrics.n
    assert 0.65 < result.n_train / 108 < 0.75 and 0.1 < result.test.metrics.n / 108 < 0.2
    assert result.n_complete == result.n_train - round(0.5 * result.n_train)
    assert execute(run).test.metrics == result.test.metrics


@pytest.mark.parametrize(("method", "n_stages"), [("mle", 1), ("ae1", 2), ("ae2", 3)])
def test_every_stage_of_every_method_has_equally_many_steps_and_keeps_the_last(tmp_path, method, n_stages):
    """The three rounds of ae2's self-training are one stage."""
    training = replace(TRAINING, options=(("selection", "last"),))
    result = execute(a_run(manifest(tmp_path), method=method, training=training))
    assert all(planned == last for _, planned, last in result.details["steps"])
    assert sum(last for *_, last in result.details["steps"]) == 30 * n_stages


def test_the_best_parameters_can_be_kept_instead(tmp_path):
    result = execute(
        a_run(manifest(tmp_path), training=Training("mlp", 4, way="segments", max_epochs=120, learning_rate=0.05))
    )
    ((_, planned, best),) = result.details["steps"]
    assert planned == 120 and best < 120


def test_no_stage_ends_early_even_where_the_best_parameters_are_kept(tmp_path, monkeypatch):
    kept = []

    def spy(*arguments):
        members, histories = fit_members(*arguments)
        kept.extend(histories[0])
        return members, histories

    fit_members = on_arrays.fit_members
    monkeypatch.setattr(on_arrays, "fit_members", spy)
    execute(a_run(manifest(tmp_path), training=Training("mlp", 4, way="segments", max_epochs=200, learning_rate=0.05)))
    (history,) = kept
    last, _ = history.validation[-1]
    assert sum(step > history.best_step for step, _ in history.validation) > 15  # the default patience would end it
    assert last == history.n_steps == 200


def test_an_unknown_selection_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown selection 'first': choose from best, last"):
        execute(a_run(manifest(tmp_path), training=replace(TRAINING, options=(("selection", "first"),))))


def test_segments_posteriors_are_averaged_into_the_videos(tmp_path):
    """Three segments a video of which two are noise: the video is told all the same, and counts once."""
    path = manifest(tmp_path)
    data, _ = open_features(str(path))
    rng = np.random.default_rng(1)
    arrays = {m: np.stack([a, *rng.normal(0, 0.05, (2, *a.shape))], axis=1) for m, a in data.arrays.items()}
    file = tmp_path / "three.safetensors"
    metadata = {"name": "three", "key": "k" * 16, "labels": data.labels.tolist(), "groups": None, "parts": None}
    tensors = {m: torch.from_numpy(a).float().contiguous() for m, a in arrays.items()}
    file.write_bytes(features.to_bytes(tensors, {"elision": json.dumps(metadata)}))
    run = a_run(file, rate=0.5, training=Training("mlp", 8, way="segments", max_epochs=200))
    result = execute(run)
    assert 0.65 < result.n_train / 108 < 0.75 and 0.1 < result.test.metrics.n / 108 < 0.2
    assert result.test.metrics.accuracy > 0.8
    loaded, _ = open_features(str(file))
    assert loaded.arrays["face"].shape == (108, 3, 1) and observed_rows(loaded.arrays["face"]).all()


def test_data_that_changed_meanwhile_is_told(tmp_path):
    run = a_run(manifest(tmp_path), fingerprint="another")
    with pytest.raises(InputError, match="changed while the study ran"):
        execute(run)


def test_a_split_by_speaker_needs_speakers(tmp_path):
    run = a_run(manifest(tmp_path, groups=False), by_group=True)
    with pytest.raises(InputError, match="made names no groups"):
        execute(run)


@pytest.mark.parametrize(("names", "visual"), [(["audio", "face"], "face"), (["visual", "audio"], "visual")])
def test_the_visual_modality_is_found(names, visual):
    assert visual_name(names, "x") == visual


@pytest.mark.parametrize("names", [["audio", "text"], ["visual"], ["fou", "zer"]])
def test_data_without_picture_or_sound_is_refused(names):
    with pytest.raises(InputError, match=r"x has the modalities .*: the paper's tables need 'audio'"):
        visual_name(names, "x")


def test_a_damaged_file_of_features_is_named(tmp_path):
    file = tmp_path / "torn.safetensors"
    file.write_bytes(b"\x00" * 40)
    with pytest.raises(InputError, match=r"torn\.safetensors is not a file of extracted features"):
        open_features(str(file))


def test_what_a_folder_holds_is_read_in_order_and_a_changed_result_is_a_failure(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    titles = {letter * 16: f"title {letter}" for letter in "bacde"}
    for key in list(titles)[:3]:
        write_result(folder, key, {"key": key})
    write_failure(folder, FailedRun("a title", "d" * 16, "ValueError: no"))
    path = folder / ("c" * 16) / "result.json"
    path.write_text(path.read_text().replace("ccc", "ccd"))
    results, failures = read_outcomes(tmp_path, titles.items())
    assert [r["key"][0] for r in results] == ["b", "a"]
    assert "was changed after it was written" in failures[0].error and failures[0].run == "title c"
    assert failures[1] == FailedRun("a title", "d" * 16, "ValueError: no")
    results, failures = read_outcomes(tmp_path, titles.items(), Result.read)
    assert (
        results == []
        and "is not a result that this version of Elision reads (Result has no 'key')" in failures[0].error
    )


@pytest.mark.parametrize(("change", "told"), [
    ({"n_train": "many"}, "'many' is no int"), ({"test": {}}, "missing 5 required"),
    ({"seconds": True}, "True is no float"), ({"seconds": None}, "None is no float"),
    ({"run": None}, "None is no Run"), ({"more": 1}, "Result has no 'more'"),
])  # fmt: skip
def test_what_is_no_result_is_told_when_it_is_read(change, told):
    metrics = Metrics(0.5, 1.0, 0.1, 0.5, 9)
    whole = json.loads(
        json.dumps(Result(SETTING, 9, 9, Assessment(metrics, [[9]], ["a"], {}, {"a": metrics}), 1), default=plain)
    )
    assert Result.read(whole).seconds == 1.0 and Result.read(whole).run == SETTING
    with pytest.raises(InputError, match=told):
        Result.read(whole | change)


@pytest.mark.parametrize("name", list(features.STAND_INS))
@pytest.mark.parametrize(("kind", "shape"), [("frames", (3, 64, 64)), ("spectrogram", (1, 64, 48))])
def test_stand_ins_tell_pictures_apart_and_are_the_same_each_time(name, kind, shape):
    rows = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    first, second = (features.STAND_INS[name].build(kind, shape[-2:] if kind == "spectrogram" else shape) for _ in "ab")
    for network in (first, second):
        network.fit(rows)
    assert torch.equal(first(rows), second(rows))
    assert first(rows).shape[0] == 5 and torch.cdist(first(rows), first(rows)).fill_diagonal_(1).min() > 1e-3
    assert torch.allclose(first(rows)[2:3], first(rows[2:3]), atol=1e-5)  # a row's features are its own


def test_absent_weights_say_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"(?s)IMAGENET1K_V1 of resnet34 .*put it into .*checkpoints as resnet34-b627"):
        features.EXTRACTORS["resnet34"].build("frames", (3, 224, 224))
