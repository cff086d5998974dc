"""A warning shows a line of the user's, whatever it went through."""

import warnings

import numpy as np
import pandas as pd
import pytest

import elision
from elision import MultimodalClassifier, TableConfig

FRAME = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7, "c": list("uv") * 20, "d": 0.0})
MODEL = MultimodalClassifier(modalities={"m": ["a"], "n": ["b", "c"]}, encoders="linear", max_steps=3)


def fit(folder):
    return MODEL.fit(FRAME, np.arange(40) % 2)


def predict(folder):
    with warnings.catch_warnings(action="ignore"):
        fit(folder)
    return MODEL.predict(FRAME.assign(c="w"))


def train(folder):
    table = FRAME.rename(columns={"a": "m.a", "b": "n.b", "c": "n.c"}).assign(label=np.arange(40) % 2)
    table.to_csv(folder / "t.csv", index=False, sep=";")
    return elision.train(folder / "t.csv", folder / "run", TableConfig(encoders="linear", max_steps=3))


@pytest.mark.parametrize("call", [fit, predict, train], ids=lambda f: f.__name__)
def test_a_warning_shows_the_line_that_the_user_wrote(call, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(tmp_path)
    assert caught and {w.filename for w in caught} == {__file__}
