"""What a reading of the whole found once; each would fail again if it came back."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from elision import FUSIONS, METHODS, InputError, MultimodalClassifier
from elision.data import load
from elision.fusion import Addition


def world(n: int = 80, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = {"a": rng.normal(size=(n, 2)) + 3 * y[:, None], "b": rng.normal(size=(n, 3)) - 3 * y[:, None]}
    X["b"][: n // 2] = np.nan
    return X, y


def quick(*args, **options) -> MultimodalClassifier:
    return MultimodalClassifier(*args, **({"encoders": "linear", "max_steps": 40, "random_state": 0} | options))


def test_saving_never_removes_what_is_not_a_models(tmp_path):
    model = quick().fit(*world())
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="not a saved model"):
        model.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years"
    model.save(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a saved model"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model" / "notes.txt").exists()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_encoders_is_irrelevant(method):
    X, y = world()
    one, other = (quick(method, encoders=dict.fromkeys(order, "linear")).fit(X, y) for order in ("ab", "ba"))
    for shown in ({"a": X["a"]}, {"b": X["b"]}, X):
        np.testing.assert_array_equal(one.predict_proba(shown), other.predict_proba(shown))


def test_a_parquet_index_is_a_column_if_it_has_a_name_and_nothing_otherwise(tmp_path):
    table = pd.DataFrame({"id": [f"s{i}" for i in range(12)], "label": ["u", "v"] * 6, "a.x": np.arange(12.0)})
    table.set_index("id").to_parquet(tmp_path / "named.parquet")
    table.iloc[::-1].to_parquet(tmp_path / "shuffled.parquet")
    assert load(str(tmp_path / "named.parquet")).labels.tolist() == ["u", "v"] * 6
    table.loc[0, "a.x"] = np.inf
    table.iloc[::-1].to_parquet(tmp_path / "infinite.parquet")
    with pytest.raises(InputError, match="row 13"):
        load(str(tmp_path / "infinite.parquet"))


def test_a_semicolon_table_is_told_from_one_without_labels(tmp_path):
    (tmp_path / "data.csv").write_text("label;a.x\nu;1\nv;2\n")
    with pytest.raises(InputError, match="separated by commas"):
        load(str(tmp_path / "data.csv"))


@pytest.mark.parametrize("word", ["any", "each", "none"])
def test_words_of_the_command_are_no_modalities(tmp_path, word):
    (tmp_path / "data.csv").write_text(f"label,{word}.x\n" + "u,1\nv,2\n" * 6)
    with pytest.raises(InputError, match="rename"):
        load(str(tmp_path / "data.csv"))


def test_files_of_the_system_among_the_runs_do_no_harm_and_a_lone_reference_is_no_result(tmp_path):
    rows = [f"{'uv'[i % 2]},{i % 2 + i / 99:.2f},{i % 2 - i / 99:.2f}" for i in range(40)]
    (tmp_path / "data.csv").write_text("\n".join(["label,a.x,b.x", *rows]))
    command = [sys.executable, "-c", "from elision.cli import main; main()", "compare", str(tmp_path / "data.csv")]
    options = ["--encoders", "linear", "--seeds", "1", "--missing", "any", "--out", str(tmp_path / "out")]
    # 99 % of 28 training samples are all of them: none is complete, so the lower bound has nothing to learn from
    lone = ["--methods", "lower-bound", "upper-bound", "--rates"]
    first = subprocess.run([*command, *options, *lone, "0.99"], capture_output=True, text=True, check=False)
    assert first.returncode == 2
    assert "complete labelled samples" in first.stderr
    assert "Traceback" not in first.stderr
    subprocess.run([*command, *options, *lone, "0.5"], capture_output=True, check=True)
    (tmp_path / "out" / "runs" / ".DS_Store").write_text("")
    second = subprocess.run([*command, *options, *lone, "0.5"], capture_output=True, text=True, check=False)
    assert (second.returncode, "Traceback" in second.stderr) == (0, False)


def test_a_fusion_needs_one_line_in_its_registry(monkeypatch):
    class Gated(Addition):
        """As good as any."""

    monkeypatch.setitem(FUSIONS, "gated", Gated)
    X, y = world()
    assert quick(fusion="gated").fit(X, y).score(X, y) > 0.8
    assert quick(fusion=Gated).fit(X, y).score(X, y) > 0.8


def test_a_boolean_mask_chooses_columns():
    X, y = world()
    table = np.hstack([X["a"], X["b"]])
    mask = np.array([True, True, False, False, False])
    by_mask = quick(modalities={"a": mask, "b": (~mask).tolist()}).fit(table, y)
    by_position = quick(modalities={"a": [0, 1], "b": [2, 3, 4]}).fit(table, y)
    np.testing.assert_array_equal(by_mask.predict_proba(table), by_position.predict_proba(table))
    with pytest.raises(InputError, match="mask of 2"):
        quick(modalities={"a": [True, False]}).fit(table, y)


class Recurrent(nn.Module):
    """Makes a float32 state by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x, torch.zeros(len(x), 32))


def test_a_module_that_makes_float32_tensors_predicts():
    X, y = world()
    model = quick(encoders={"a": "kernel", "b": Recurrent()}).fit(X, y)
    assert model.score(X, y) > 0.8


def test_an_encoder_of_another_width_of_rows_is_refused():
    with pytest.raises(InputError, match="modality 'a' cannot take rows of shape"):
        quick(encoders={"a": nn.Linear(7, 32), "b": "linear"}).fit(*world())


def test_a_validation_set_without_labels_of_its_own_is_refused():
    X, y = world()
    with pytest.raises(InputError, match=r"pair \(X, y\)"):
        quick().fit(X, y, validation=X)


def test_a_fit_that_fails_leaves_an_unfitted_model():
    from sklearn.exceptions import NotFittedError

    X, y = world()
    model = quick().fit(X, y)
    with pytest.raises(InputError):
        model.set_params(n_features=0).fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_modality_that_the_inner_split_takes_away_is_named():
    X, y = world()
    X["b"][1:] = np.nan
    X["b"][0] = 1.0
    outcomes = set()
    for seed in range(12):
        try:
            quick(random_state=seed, encoders="kernel").fit(X, y)
            outcomes.add("fitted")
        except InputError as error:
            assert "'b' is observed in 1 training sample" in str(error)
            outcomes.add("refused")
    assert outcomes == {"fitted", "refused"}


def test_the_second_fit_repeats_the_first_ones_schedule(monkeypatch):
    """Where the first is full-batch and the second, with the validation samples, would no longer be by itself."""
    import elision.training as training

    monkeypatch.setattr(training, "FULL_BATCH_ROWS", 70)
    sizes = []
    original = training._batches

    def spy(train, samples, size, seed):
        sizes.append((size, len(samples)))
        return original(train, samples, size, seed)

    monkeypatch.setattr(training, "_batches", spy)
    X, y = world(80)
    quick(objective="joint").fit(X, y)
    assert all(size == n for size, n in sizes)
    assert [n for _, n in sizes] == [sizes[0][1], 80]
