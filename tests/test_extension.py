"""A new method, fusion, encoder, network, data set or layout takes one entry, and the whole programs use it.

The entries are made where a person would make them, before anything else of Elision is imported: by a
``sitecustomize`` that Python finds first, so that worker processes have them too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ENTRIES = """
from elision.registries import DATASETS, ENCODERS, FUSIONS, LAYOUTS, METHODS, NETWORKS

METHODS["new-method"] = "new_parts:NewMethod"
FUSIONS["new-fusion"] = "new_parts:NewFusion"
ENCODERS["new-encoder"] = "new_parts:new_encoder"
DATASETS["new-data"] = "new_parts:new_data"
NETWORKS["new-network"] = "new_parts:new_network"
LAYOUTS["new-layout"] = "new_parts:new_layout"
"""
PARTS = '''
from dataclasses import replace

import numpy as np

from elision.data.dataset import Dataset
from elision.data.layouts.ravdess import ravdess
from elision.encoders import linear
from elision.fusion import Addition
from elision.methods.zero_padding import ZeroPadding
from elision.vision import small


class NewMethod(ZeroPadding):
    claims = replace(ZeroPadding.claims, summary="What a new method says of itself.")


class NewFusion(Addition):
    """Adds features."""


def new_encoder(shape, n, k):
    return linear(shape, n, k)


def new_data():
    y = np.arange(60) % 3
    values = np.random.default_rng(0).normal(size=(60, 4)) + y[:, None]
    return Dataset("made", {"a": values[:, :2], "b": values[:, 2:]}, np.array(list("uvw"))[y])


def new_network(name, shape, channels, weights):
    return small(name, shape, channels, weights)


def new_layout(source, options):
    """What a new layout says of itself."""
    return ravdess(source, options)
'''


def elision(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the command in an Elision that has the entries."""
    path = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-c", "from elision.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def extended(folder: Path) -> Path:
    (folder / "sitecustomize.py").write_text(ENTRIES)
    (folder / "new_parts.py").write_text(PARTS)
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of a comparison in which all that can be new is new."""
    folder = extended(tmp_path_factory.mktemp("compared"))
    words = ["compare", "new-data", "--methods", "mle", "new-method", "--fusions", "addition", "new-fusion"]
    elision(folder, *words, "--encoders", "new-encoder", "--missing", "a", "--rates", "0.5", "--seeds", "1")
    return folder / "elision-made"


@pytest.mark.parametrize(("column", "name"), [("method", "new-method"), ("fusion", "new-fusion"), ("data", "made")])
def test_compare_runs_a_new_method_fusion_and_data_set(compared, column, name):
    results = pd.read_csv(compared / "results.csv")
    assert len(results) == 4 and results["accuracy"].notna().all()
    assert (results[column] == name).sum() == (4 if column == "data" else 2)
    assert name in (compared / "report.html").read_text()


def test_compare_runs_a_new_encoder_and_reports_what_new_parts_say(compared):
    page = (compared / "report.html").read_text()
    assert "<dt>Encoders</dt><dd>new-encoder</dd>" in page and "What a new method says of itself." in page


def test_help_names_what_is_new(tmp_path):
    folder = extended(tmp_path)
    said = elision(folder, "compare", "--help").stdout
    assert all(name in said for name in ("new-method", "new-fusion", "new-encoder", "new-data"))
    assert "What a new layout says of itself." in elision(folder, "prepare", "--help").stdout


def test_reproduce_trains_a_new_network_on_recordings_in_a_new_layout(tmp_path):
    pytest.importorskip("av")
    from elision.demo import talking_faces

    folder = extended(tmp_path)
    talking_faces.make(folder / "clips", "ravdess", 3, 2)
    elision(folder, "prepare", "clips", "store", "--layout", "new-layout", "--windows", "1", "--size", "32")
    only = "mle, addition, audio missing 80%"
    words = ["reproduce", "table1", "--data", "store", "--encoder", "new-network", "--max-epochs", "1", "--seeds", "1"]
    elision(folder, *words, "--split", "video", "--only", only, "--out", "out")
    (row,) = pd.read_csv(folder / "out" / "results.csv").itertuples()
    assert (row.data, row.table, row.n_train + row.n_test < 36) == ("new-layout", "table1", True)
    assert "new-network for frames and for spectrograms" in (folder / "out" / "report.html").read_text()
