"""A table as people keep it, numbers beside categories under names of their own, through every verb of the command."""

import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import elision
from elision.models import read_model
from killed import KILLED

EMOTIONS = ["angry", "disgust", "fearful", "happy", "sad", "surprised"]
ROLES = (
    "--label", "emotion", "--id", "clip", "--group", "actor", "--modality", "audio=mfcc_*", "--modality", "face=AU*",
    "--modality", "setting=sex,statement,repetition", "--category", "repetition", "--ignore", "seconds",
)  # fmt: skip
FAST = ("--encoder", "linear", "--max-steps", "40")


def clips(n: int, seed: int) -> pd.DataFrame:
    """Clips as RAVDESS lists them: sound and face as numbers, sex, statement and repetition as categories, gaps."""
    rng = np.random.default_rng(seed)
    z = np.arange(n) % 6
    frame = pd.DataFrame({
        "clip": [f"c{i:03}" for i in range(n)], "emotion": np.array(EMOTIONS)[z],
        "actor": [f"a{i // 6 % 8}" for i in range(n)],
        "sex": np.where(rng.random(n) < np.where(z < 3, 0.8, 0.2), "male", "female"),
        "statement": rng.choice(["Kids are talking", "Dogs; sitting, by the door"], n),
        "repetition": rng.choice(["01", "02"], n), "seconds": rng.uniform(3, 5, n),
    })  # fmt: skip
    for i in range(3):
        frame[f"mfcc_{i}"] = rng.normal(size=n) + 2 * (z == i)
        frame[f"AU0{i}_r"] = rng.normal(size=n) + 2 * (z == i + 3)
    frame.loc[::4, ["AU00_r", "AU01_r", "AU02_r"]] = np.nan
    frame.loc[3::7, ["sex", "statement", "repetition"]] = None
    frame.loc[5::11, "sex"] = None
    return frame


def as_europe_writes(frame: pd.DataFrame, path) -> str:
    frame.to_csv(path, index=False, sep=";", decimal=",")
    return str(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return as_europe_writes(clips(144, 0), tmp_path_factory.mktemp("mixed") / "clips.csv")


def test_a_mixed_table_is_trained_killed_resumed_judged_and_predicted(table, tmp_path, here):
    options = [table, *ROLES, *FAST, "--by-group", "--missing", "audio", "--rate", "0.5"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    code, _, err = here("train", *options, "--out", str(whole))
    assert code == 0, err
    assert "'sex' (2), 'statement' (2), 'repetition' (2)" in err and "without a role" not in err
    killed = subprocess.run([sys.executable, "-c", KILLED, "train", *options, "--out", str(stopped)], check=False)
    assert killed.returncode == -signal.SIGKILL and not (stopped / "result.json").exists()
    code, said, err = here("train", "--resume", str(stopped))
    assert (code, "without setting" in said) == (0, True), err
    ours, theirs = (read_model(run / "model").tensors for run in (stopped, whole))
    assert set(ours) == set(theirs) and all(ours[name].equal(theirs[name]) for name in ours)

    code, _, err = here("evaluate", str(stopped))
    told = json.loads((stopped / "evaluation" / "evaluation.json").read_text())
    assert (code, told["metrics"]) == (0, json.loads((whole / "result.json").read_text())["test"]["metrics"]), err
    other = as_europe_writes(clips(60, 5), tmp_path / "other.csv")
    code, said, err = here("evaluate", str(stopped), other, "--out", str(tmp_path / "judged"))
    assert (code, "all labelled samples" in said) == (0, True), err

    new = clips(24, 9).drop(columns=["emotion", "actor"]).iloc[:, ::-1]
    known = new.copy()
    new.loc[new.index[:2], "sex"], known.loc[new.index[:2], "sex"] = ["other", "not said"], None
    new.loc[new.index[4], "repetition"], known.loc[new.index[4], "repetition"] = "03", None
    new.to_csv(tmp_path / "new.csv", index=False)  # another dialect than the training's
    known.to_csv(tmp_path / "known.csv", index=False)
    shown = {}
    for name in ("new", "known"):
        code, _, err = here("predict", str(stopped), str(tmp_path / f"{name}.csv"), "--out", str(tmp_path / "p.csv"))
        shown[name] = pd.read_csv(tmp_path / "p.csv"), err
        assert code == 0, err
    unseen, blank = shown["new"], shown["known"]
    assert unseen[1].count("training did not show") == 1 and "training did not show" not in blank[1]
    assert all(value in unseen[1] for value in ("'other'", "'not said'", "'03'"))
    pd.testing.assert_frame_equal(unseen[0], blank[0])
    assert unseen[0]["id"].tolist() == new["clip"].tolist()


def test_compare_and_reproduce_take_the_same_table(table, tmp_path, here):
    options = ["--methods", "mle", "--missing", "setting", "--rates", "0.5", "--seeds", "1", "--encoders", "linear"]
    code, _, err = here(
        "compare", table, *ROLES, *options, "--out", str(tmp_path / "cmp"), "--workers", "1", "--no-save"
    )
    assert code == 0, err
    assert (tmp_path / "cmp" / "report.html").is_file() and err.count("columns of categories") == 1
    options = ["--out", str(tmp_path / "paper"), "--dry-run", "--seeds", "1"]
    code, said, err = here("reproduce", "table2", "--data", table, *ROLES, *options)
    assert code == 0, err
    assert "by speaker" in said and "visual missing 90%" in said


def test_in_python_a_frame_of_the_same_columns_is_answered_by_the_loaded_run(table, tmp_path, here):
    assert here("train", table, *ROLES, *FAST, "--out", str(tmp_path / "run"))[0] == 0
    new = clips(24, 9)
    new.to_csv(tmp_path / "new.csv", index=False)
    model = elision.load(tmp_path / "run")
    asked = model.predict_proba(new)
    told = [list(p.probabilities.values()) for p in elision.predict(tmp_path / "run", [tmp_path / "new.csv"], str)]
    np.testing.assert_allclose(asked, told, atol=1e-9)
