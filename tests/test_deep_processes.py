"""Identity 7: two processes give the loss and gradients of one on the same global batch, for every method."""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import deep_processes
from deep_processes import CASES, N, chosen, name, step


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each of two gloo processes found, case by case."""
    folder = tmp_path_factory.mktemp("together")
    path = os.pathsep.join([str(Path(deep_processes.__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, deep_processes.__file__]
    both = [
        subprocess.Popen([*command, str(rank), "2", str(folder / "meeting"), str(folder)], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
    found = []
    for rank in range(2):
        saved = torch.load(folder / f"{rank}.pt", weights_only=True)
        cases = {}
        for key, x in saved.items():
            case, _, what = key.partition("|")
            cases.setdefault(case, {})[what] = x
        found.append(cases)
    return found


@pytest.mark.parametrize("case", CASES, ids=name)
def test_two_processes_are_one(together, case):
    alone = step(case, slice(0, N), [*chain(*chosen(case[-1]))], lambda module: module)
    for ours in together:
        ours = ours[name(case)]
        for key in alone.keys() | ours.keys():
            zero = torch.zeros((), dtype=torch.float64)
            expected, got = alone.get(key, zero), ours.get(key, zero)
            if key.startswith("buffer/") and "outer-product" in case and got.dim() == 2 and len(got) > 3:
                expected, got = (x[x[:, 0].argsort()] for x in (expected, got))  # a bank has no order
            assert_close(got, expected.expand(got.shape), rtol=1e-9, atol=1e-11, msg=lambda m, key=key: f"{key}: {m}")
    assert alone["loss"] != 0


def test_the_cases_are_what_they_say():
    _, observed, labels = deep_processes.data()
    assert all((labels[chosen("nobody labelled in one")[1]] < 0).tolist())
    assert not observed["b"][chosen("one modality alone in one")[1]].any()
    assert len({len(part) for part in chosen("unequal")}) == 2
