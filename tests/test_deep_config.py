"""Configs: given back as they were written, refused with a reason, compared by what would be learnt."""

import json
from dataclasses import asdict, fields, replace

import pytest

from elision.config import EncoderConfig, TrainConfig
from elision.errors import InputError

CONFIG = TrainConfig(
    method="hgr",
    options={"rule": "correlation"},
    encoders={"visual": EncoderConfig("resnet18", "IMAGENET1K_V1", frozen=True)},
    loggers=("mlflow",),
    segments_per_epoch=100,
)


def test_json_gives_the_config_back(tmp_path):
    CONFIG.write(tmp_path / "config.json")
    assert TrainConfig.read(tmp_path / "config.json") == CONFIG


def test_yaml_gives_the_config_back_and_runs_nothing(tmp_path):
    import yaml

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(CONFIG)))))
    assert TrainConfig.read(path) == CONFIG
    path.write_text("seed: !!python/object/apply:os.getpid []")
    with pytest.raises(InputError, match=r"config.yaml is neither JSON nor"):
        TrainConfig.read(path)


def test_what_is_not_given_has_its_default(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"epochs": 3, "encoders": {"audio": {"name": "mlp"}}}')
    assert TrainConfig.read(path) == TrainConfig(epochs=3, encoders={"audio": EncoderConfig("mlp")})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is neither JSON"),
        ("[1]", "holds a list"),
        ('{"epoch": 3}', "has no option 'epoch'"),
        ('{"encoders": {"audio": {"nam": 1}}}', "expected modality -> name"),
        ('{"encoders": {"audio": "mlp"}}', "expected modality -> name"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, content, words):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        TrainConfig.read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        TrainConfig.read(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "nonsense"}, "unknown method"),
        ({"method": "ae1"}, "ae1' is not trained end to end: it imputes rows of extracted features"),
        ({"method": "ae2"}, "is not trained end to end"),
        ({"method": "mean-imputation"}, "a grey blur"),
        ({"method": "zero-padding", "fusion": "outer-product"}, "refuses fusion"),
        ({"method": "lower-bound", "objective": "joint"}, "has no objective 'joint'"),
        ({"bank": "exact"}, "unknown bank"),
        ({"epochs": 0}, "epochs is 0: expected a whole number"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"segments_per_epoch": 0}, "segments_per_epoch is 0"),
        ({"rate": 1.5}, "rate is 1.5: expected a share"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"clip": -1}, "clip is -1"),
        ({"precision": "8"}, "unknown precision"),
        ({"accelerator": "tpu"}, "unknown accelerator"),
        ({"loggers": ("wandb",)}, "unknown logger"),
        ({"encoders": {"audio": EncoderConfig}}, None),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, words):
    if words is None:
        with pytest.raises(InputError, match="unknown encoder"):
            EncoderConfig("resnet99")
    else:
        with pytest.raises(InputError, match=words):
            TrainConfig(**changes)


def test_auto_is_the_methods_own_objective():
    assert TrainConfig().objective == "joint"
    assert TrainConfig(method="zero-padding").objective == "conditional"


def test_auto_encoders_are_those_of_the_kinds():
    found = TrainConfig(encoders={"audio": EncoderConfig("resnet18")}).resolve(
        {"visual": "frames", "audio": "spectrogram", "face": "features"}
    )
    assert {m: e.name for m, e in found.encoders.items()} == {
        "visual": "small-cnn",
        "audio": "resnet18",
        "face": "mlp",
    }
    with pytest.raises(InputError, match="an encoder is given for 'sound'"):
        TrainConfig(encoders={"sound": EncoderConfig()}).resolve({"audio": "spectrogram"})


def test_differences_are_those_of_what_is_learnt():
    other = replace(CONFIG, seed=3, workers=4, checkpoint_steps=7, loggers=())
    assert CONFIG.differences(other) == ["seed: 0, not 3"]
    assert CONFIG.differences(CONFIG) == []


@pytest.mark.parametrize("name", [f.name for f in fields(TrainConfig)])
def test_nothing_else_may_change_when_a_run_is_resumed(name):
    other = replace(CONFIG)
    object.__setattr__(other, name, {"changed": True})
    indifferent = {"workers", "loggers", "checkpoint_steps", "checkpoint_minutes", "log_steps"}
    assert bool(CONFIG.differences(other)) == (name not in indifferent)
