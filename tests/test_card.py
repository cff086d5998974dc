"""The model card says what the run says, and shows names as they are."""

import json

import numpy as np
import pandas as pd
import pytest

import elision
from elision import TableConfig
from elision.runs.card import CARD
from served import patients


def rows(card, heading):
    """The rows of the table with that first heading, as lists of cells."""
    lines = card.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    table = lines[start : next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_a_card_says_what_the_run_says(tmp_path):
    run = patients(tmp_path)
    card, result = (run / CARD).read_text(), json.loads((run / "result.json").read_text())
    metrics = rows(card, "samples")
    assert metrics[0][:3] == ["as they are", str(result["test"]["metrics"]["n"]),
                              f"{100 * result['test']['metrics']['accuracy']:.1f} %"]  # fmt: skip
    patterns = {row[0].removeprefix("that show ") for row in metrics if row[0].startswith("that show")}
    assert patterns == set(result["test"]["patterns"]) and len(patterns) == 2
    frame, n = pd.read_csv(tmp_path / "patients.csv"), result["samples"]["train"]
    shown = {m: int(k) for m, k, _ in rows(card, "modality")}
    assert shown["lab"] == shown["voice"] == n and 0.5 * n < shown["gait"] < 0.8 * n < len(frame)
    classes = {c: int(k) for c, k in rows(card, "class")}
    assert set(classes) == {"ill", r"\<b\>well\</b\>"} and sum(classes.values()) == n
    assert "Few test samples show just: lab + gait + voice" in card and 'elision.load("run")' in card
    assert json.loads(card.rpartition("```json")[2].strip("`\n"))["max_steps"] == 40


def test_a_card_tells_of_what_was_taken_away_and_of_rare_classes(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"label": ["a|b"] * 20 + ["c"] * 180 + [""] * 10, "m.x": rng.normal(size=210)})
    frame["n.y"] = rng.normal(size=210)
    frame.to_csv(tmp_path / "t.csv", index=False)
    config = TableConfig(encoders="linear", max_steps=9, missing="n", rate=0.5, objective="joint")
    elision.train(tmp_path / "t.csv", tmp_path / "run", config)
    card = (tmp_path / "run" / CARD).read_text()
    assert "n was taken away from a share of 0.5" in card and "10 training samples have no label" in card
    assert r"Few training samples have the class: a\|b" in card
    shown = {row[0]: row[2] for row in rows(card, "modality")}
    assert shown == {"m": "100.0 %", "n": "50.0 %"}


def grouped(folder, n=200):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"label": np.array(["a", "b"])[np.arange(n) % 2], "group": [f"s{i}" for i in rng.permutation(n) % 9]}
    )
    frame["m.x"] = rng.normal(size=n)
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


@pytest.mark.parametrize(("by_group", "said"), [(None, "by whole groups"), (False, "sample by sample")])
def test_a_card_and_a_page_say_whether_groups_were_kept_together(tmp_path, by_group, said):
    config = TableConfig(encoders="linear", max_steps=9, by_group=by_group)
    elision.train(grouped(tmp_path), tmp_path / "run", config)
    assert f"Split {said} with seed 0." in (tmp_path / "run" / CARD).read_text()
    assert f"<dt>split</dt><dd>{said}</dd>" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(("n", "said"), [(40, "Too few samples judged it"), (80, "Sets of classes were calibrated")])
def test_a_card_promises_sets_only_where_the_test_part_can_calibrate_them(tmp_path, n, said):
    """15 % of 40 are 6 or so, of 80 twelve; a coverage of nine in ten takes 9."""
    config = TableConfig(encoders="linear", max_steps=9, by_group=False)
    elision.train(grouped(tmp_path, n), tmp_path / "run", config)
    assert said in (tmp_path / "run" / CARD).read_text()
