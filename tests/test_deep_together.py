"""Whole trainings on two processes: what one process learns from the same parts, also when killed in the middle."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

import deep_together
import deep_work
from elision.deep.train import train


def run(data, out, objective, fusion, stop="never") -> int:
    path = os.pathsep.join([str(Path(deep_together.__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, deep_together.__file__, str(data), str(out), objective, fusion, stop]
    done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True, check=False)
    if done.returncode > 0:
        print(done.stderr)
    return done.returncode


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return deep_work.store(tmp_path_factory.mktemp("data") / "store").address


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "tensors.safetensors")


@pytest.mark.parametrize(
    ("objective", "fusion", "stop"),
    [("joint", "addition", "kill"), pytest.param("conditional", "outer-product", "term", marks=pytest.mark.slow)],
)
def test_two_processes_learn_what_one_does_and_resume_exactly(data, tmp_path, objective, fusion, stop):
    """In float64 the order of sums is all that differs; resumed after a signal to the first process, nothing does.

    After "term" the resumed training is the only one of two processes: each of them costs three seconds of imports.
    """
    one = deep_together.config(objective, fusion, 1)
    alone = train(data, tmp_path / "one", one, modules=deep_work.own_modules())
    assert run(data, tmp_path / "resumed", objective, fusion, stop) == {"kill": -9, "term": 130}[stop]
    assert run(data, tmp_path / "resumed", objective, fusion, "resume") == 0
    ours, theirs = weights(tmp_path / "resumed"), weights(tmp_path / "one")
    assert alone.values["best_step"] > 0
    for name, expected in theirs.items():
        got = ours[name]
        if expected.dim() > 1 and name.rpartition(".")[2].startswith(("remembered", "marginal")):  # a bank has no order
            got, expected = (x[x[:, 0].argsort()] for x in (got, expected))
        assert_close(got, expected, rtol=1e-7, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")
    if stop == "kill":
        assert run(data, tmp_path / "whole", objective, fusion) == 0
        whole = weights(tmp_path / "whole")
        assert all(torch.equal(whole[name], x) for name, x in ours.items())
