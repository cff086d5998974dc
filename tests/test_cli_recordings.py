"""The command from recordings to predictions: prepare, inspect, train, resume, evaluate, predict."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from clips import Take, write_clip


def test_from_recordings_to_predictions(tmp_path, here):
    """Eight clips cut into 24 pieces of two classes, one broken file beside them; each verb by its own words."""
    for i in range(8):
        pitch = 400.0 if i % 2 else 2000.0
        write_clip(tmp_path / f"{i}.mp4", Take(seconds=1.2, width=64, height=48, tone=lambda _, f=pitch: f))
    (tmp_path / "broken.mp4").write_text("no clip")
    rows = [[f"{i}-{j}", "lh"[i % 2 == 0], f"{i}.mp4", 0.4 * j, 0.4 * j + 0.4] for i in range(8) for j in range(3)]
    table = pd.DataFrame([*rows, ["é", "l", "broken.mp4", 0, 0.4]], columns=["id", "label", "video", "start", "end"])
    table["split"] = [*np.repeat(["train"] * 4 + ["val"] * 2 + ["test"] * 2, 3), "train"]
    table.to_csv(tmp_path / "clips.csv", index=False)
    store, run = str(tmp_path / "store"), str(tmp_path / "run")
    small = ["--windows", "1", "--seconds", "0.3", "--size", "32", "--workers", "1"]

    code, out, _ = here("prepare", str(tmp_path / "clips.csv"), store, *small)
    assert (code, "24 samples" in out, "1 set aside" in out) == (0, True, True)
    assert here("prepare", str(tmp_path / "clips.csv"), store, *small, "--strict")[0] == 2
    other = str(tmp_path / "other.csv")  # the same list as another program writes it: the same store
    dialect = ["--encoding", "cp1252", "--separator", ";", "--decimal", ",", "--na", "-"]
    table.assign(audio="-").to_csv(other, index=False, sep=";", decimal=",", encoding="cp1252")
    code, _, err = here("prepare", other, store, *small)
    assert (code, "encoding" in err) == (2, True), err
    code, out, err = here("prepare", other, store, *small, *dialect)
    assert (code, "24 samples" in out, "1 set aside" in out) == (0, True, True), err
    code, _, err = here("prepare", str(tmp_path), str(tmp_path / "s"), "--layout", "folders", "--decimal", ",")
    assert (code, "--decimal is for a list of recordings, and the layout is folders" in err) == (2, True), err
    code, out, _ = here("inspect", store)
    assert (code, "24 samples, 2 classes: h 12, l 12" in out) == (0, True)
    code, out, err = here("inspect", store, "--json")
    told = json.loads(out)
    assert (code, err, told["classes"], told["damaged"]) == (0, "", {"h": 12, "l": 12}, [])
    assert (told["patterns"], len(told["set_aside"])) == ({"visual + audio": 24}, 1)
    assert here("inspect", store, "--quiet") == (0, "", "")

    training = ["--epochs", "2", "--batch-size", "8", "--n-features", "4", "--missing", "visual", "--rate", "0.5"]
    code, out, err = here("train", store, "--out", run, "--encoder", "audio=small-cnn", *training)
    assert code == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["epochs"], config["missing"], config["encoders"]["audio"]["name"]) == (2, "visual", "small-cnn")
    code, out, err = here(
        "train", store, "--out", str(tmp_path / "told"), "--encoder", "audio=small-cnn", *training, "--json"
    )
    told = json.loads(out)
    assert (code, told["folder"], told["test"]["metrics"]["n"]) == (0, str(tmp_path / "told"), 6)
    assert "4 of 4 steps done, validation accuracy" in err
    assert "Stopped early" not in err
    early = ["--epochs", "40", "--patience", "1", "--batch-size", "8", "--n-features", "4"]
    code, out, err = here("train", store, "--out", str(tmp_path / "early"), *early)
    stopped = re.search(r"Stopped early, at step (\d+) of (\d+): .* improved for 1 epochs", err)
    assert (code, int(stopped[1]) < int(stopped[2])) == (0, True), err
    code, _, err = here("predict", str(tmp_path / "early"), str(tmp_path))
    assert (code, "name what is in it" in err) == (2, True)
    code, _, err = here("prepare", str(tmp_path), str(tmp_path / "s"))
    assert (code, f"such as {tmp_path / 'clips.csv'}" in err) == (2, True)
    diverging = ["--learning-rate", "1e30", "--clip", "0", "--epochs", "3"]
    code, out, err = here("train", store, "--out", str(tmp_path / "lost"), *diverging, "--quiet")
    assert (code, out) == (4, "")
    assert err.startswith("elision: the loss became") and err.count("\n") == 1, err
    code, _, err = here("train", store, "--out", run)
    assert (code, "--resume" in err or "resume" in err) == (2, True)
    code, _, err = here("train", "--resume", run, "--epochs", "3")
    assert (code, "epochs" in err) == (2, True)

    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "without audio" in page and "<dt>epochs</dt><dd>2</dd>" in page
    code, out, err = here("evaluate", run)
    assert code == 0, err
    assert "test part of the training data" in (tmp_path / "run" / "evaluation" / "report.html").read_text()
    told = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert (told["metrics"]["n"], set(told["removed"])) == (6, {"visual", "audio"})

    code, out, err = here("evaluate", run, "--json")
    assert (code, err, json.loads(out)["metrics"]) == (0, "", told["metrics"])
    assert here("evaluate", run, "--quiet") == (0, "", "")

    files = [str(tmp_path / "0.mp4"), str(tmp_path / "broken.mp4")]
    code, out, err = here("predict", run, *files, "--without", "visual", "--out", str(tmp_path / "said.csv"))
    assert code == 3, err  # one of the two could not be read
    said = pd.read_csv(tmp_path / "said.csv")
    assert said["used"].tolist()[0] == "audio"
    assert said.loc[0, ["p.h", "p.l"]].sum() == pytest.approx(1)
    assert said["problem"].notna().tolist() == [False, True]
    code, out, err = here("predict", run, *files, "--without", "visual", "--json")
    told = json.loads(out)
    assert (code, "broken.mp4" in err, [bool(p["problem"]) for p in told]) == (3, True, [False, True])
    assert told[0]["probabilities"]["h"] == pytest.approx(said.loc[0, "p.h"], rel=1e-6)
    lists = [[str(tmp_path / "clips.csv")], [other, *dialect]]
    one, two = (json.loads(here("predict", run, *given, "--json")[1]) for given in lists)
    assert len(one) == 25 and [p["probabilities"] for p in one] == [p["probabilities"] for p in two]
    code, _, err = here("predict", run, other, "--label", "digit")
    assert (code, "label is told of a table's columns" in err) == (2, True), err
    code, _, err = here("evaluate", run, store, "--separator", ";")
    assert (code, "separator is told of a table" in err) == (2, True), err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "store"], "--out"),
        (["train", "--resume", "run", "--out", "other"], "leave DATA, --out and --extractor out"),
        (["train", "s", "--out", "r", "--encoder", "visual"], "MODALITY=NAME"),
        (["train", "--resume", "nowhere"], "nowhere holds no run to resume"),
        (["prepare", "folder", "store"], "--layout"),
        (["prepare", "nowhere.csv", "store"], "a list of recordings"),
        (["predict", "run"], "expected files"),
        (["predict", "run", "a.mp4", "--out", "said.txt"], ".csv or .parquet"),
        (["reproduce", "table1", "--out", "x"], "--data"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_with_the_words_is_said(words, told, here):
    code, _, err = here(*words)
    assert code == 2
    assert told in err.replace("\n", " ")
