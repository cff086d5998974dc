"""Stopped anywhere and gone on, a training ends in the weights of one that was never stopped, bit for bit."""

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import deep_work
from deep_work import CONFIG
from elision.deep.train import train
from elision.errors import InputError
from elision.run_folder import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return deep_work.store(tmp_path_factory.mktemp("data") / "store").address


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nobody stopped, and its folder."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return train(data, out, CONFIG)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "tensors.safetensors")


def lines(out: Path) -> list[dict[str, str]]:
    """The log without what a clock says."""
    with (out / "log.csv").open() as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def same(ours: Path, theirs: Path) -> bool:
    first, second = weights(ours), weights(theirs)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def stopped(data, out, step, config=CONFIG):
    """A run that SIGTERM ends in the given step."""

    def report(told):
        if told.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return train(data, out, config, report=report)


def test_two_runs_of_one_seed_are_the_same_and_another_seed_is_not(data, whole, tmp_path):
    train(data, tmp_path / "again", CONFIG)
    train(data, tmp_path / "other", replace(CONFIG, seed=1))
    assert same(tmp_path / "again", whole.folder)
    assert not same(tmp_path / "other", whole.folder)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_at_a_step_and_resumed_ends_in_the_same_weights(data, whole, tmp_path, step):
    """Step 5 ends an epoch of five batches; step 1 comes before the first checkpoint."""
    out = tmp_path / "run"
    script = [sys.executable, deep_work.__file__, str(data), str(out), str(step)]
    path = os.pathsep.join([str(Path(deep_work.__file__).parent), *sys.path])
    done = subprocess.run(script, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    result = train(None, out, resume=True)
    assert result.finished
    assert same(out, whole.folder)
    assert lines(out) == lines(whole.folder)


@pytest.mark.parametrize("step", [2, 5, 6, 15])
def test_sigterm_leaves_a_checkpoint_and_resume_the_same_weights(data, whole, tmp_path, step):
    """SIGTERM in the last step of an epoch still validates; in the last of all the run may be over by itself."""
    out = tmp_path / "run"
    result = stopped(data, out, step)
    assert result.finished == (step == 15)
    assert RunFolder(out).checkpoints.latest().step in (step, step + 1)
    train(None, out, resume=True)
    assert same(out, whole.folder)


def test_stopped_again_and_again(data, whole, tmp_path):
    out = tmp_path / "run"
    stopped(data, out, 1)
    for step in (3, 6, 9):

        def report(told, step=step):
            if told.step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        assert not train(None, out, resume=True, report=report).finished
    train(None, out, resume=True)
    assert same(out, whole.folder)


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, accumulate=2),
        replace(CONFIG, method="hgr", objective="conditional"),
        replace(CONFIG, fusion="outer-product", bank_refresh=1, optimizer="sgd", objective="conditional"),
        replace(CONFIG, segments_per_epoch=30, batch_size=8, workers=1),
        replace(CONFIG, channels_last=True),
    ],
    ids=["accumulate", "hgr", "outer-product", "part of an epoch", "channels last"],
)
def test_resume_under_other_settings(data, tmp_path, config):
    train(data, tmp_path / "whole", config)
    assert not stopped(data, tmp_path / "run", 3, config).finished
    train(None, tmp_path / "run", resume=True)
    assert same(tmp_path / "run", tmp_path / "whole")


def test_a_finished_run_is_finished_again_without_training(data, whole, tmp_path):
    before = weights(whole.folder)
    again = train(None, whole.folder, resume=True)
    assert again.values["test"] == whole.values["test"]
    assert all(torch.equal(x, before[k]) for k, x in weights(whole.folder).items())


def spoil(checkpoint, harm):
    file = checkpoint / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "cut":
        file.write_bytes(content[:-10])
    elif harm == "remove":
        file.unlink()
    else:
        described = checkpoint / "model.json"
        changed = described.read_text().replace('"epoch": 1', '"epoch": 0')
        assert changed != described.read_text()
        described.write_text(changed)


def test_a_second_kill_after_damage_loses_nothing(data, whole, tmp_path):
    """Both kept checkpoints damaged: training begins anew, and what it writes from then on is kept."""
    out = tmp_path / "run"
    stopped(data, out, 12)
    damaged = sorted((out / "checkpoints").glob("step-*"))
    for checkpoint in damaged:
        spoil(checkpoint, "flip")

    def stop(told):
        if told.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    assert not train(None, out, resume=True, report=stop).finished
    assert RunFolder(out).checkpoints.latest().step in (3, 4)
    assert {path.name for path in (out / "checkpoints").glob("damaged-*")} == {f"damaged-{p.name}" for p in damaged}
    assert not train(None, out, resume=True).damaged
    assert same(out, whole.folder)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "values"])
def test_a_damaged_checkpoint_is_passed_over(data, whole, tmp_path, harm):
    out = tmp_path / "run"
    stopped(data, out, 5)
    older, last = sorted((out / "checkpoints").glob("step-*"))
    spoil(last, harm)
    assert f"step-{RunFolder(out).checkpoints.latest().step:09d}" == older.name
    result = train(None, out, resume=True)
    assert result.damaged == (last.name,)
    assert same(out, whole.folder)


def test_only_the_last_two_checkpoints_and_the_best_they_need_are_kept(whole):
    kept = {path.name for path in (whole.folder / "checkpoints").glob("*")}
    assert sorted(name for name in kept if name.startswith("step")) == ["step-000000014", "step-000000015"]
    assert f"best-{whole.values['best_step']:09d}" in kept
    assert len(kept) <= 4


def test_resume_of_another_config_lists_the_differences(data, tmp_path):
    stopped(data, tmp_path / "run", 1)
    other = replace(CONFIG, learning_rate=0.5, batch_size=7)
    with pytest.raises(InputError, match=r"batch_size: 7, not 12; learning_rate: 0.5, not 0.001"):
        train(data, tmp_path / "run", other, resume=True)
    assert not train(data, tmp_path / "run", replace(CONFIG, workers=0, log_steps=2), resume=True).damaged


def test_resume_on_other_data_is_refused(data, tmp_path):
    stopped(data, tmp_path / "run", 1)
    other = deep_work.store(tmp_path / "other", n=50)
    with pytest.raises(InputError, match="was begun on other data"):
        train(other.address, tmp_path / "run", resume=True)


def test_a_folder_takes_one_training(data, whole, tmp_path):
    with pytest.raises(InputError, match="holds a run already: go on with it, elision train --resume"):
        train(data, whole.folder, CONFIG)
    with pytest.raises(InputError, match="holds no run to resume"):
        train(data, tmp_path / "nothing", resume=True)


def test_two_trainings_into_one_folder_are_refused(data, tmp_path):
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(InputError, match=f"trained into by process {os.getpid()}"),
    ):
        train(data, tmp_path / "run", CONFIG)


def test_a_lock_of_a_dead_process_holds_nobody_up(tmp_path):
    script = "from pathlib import Path; from elision.run_folder import RunFolder; import os, signal\n"
    script += f"with RunFolder(Path({str(tmp_path / 'run')!r})).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert (tmp_path / "run" / ".lock").exists()
    with RunFolder(tmp_path / "run").locked():
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
