"""Tables of many runs: ranks, and who stands first."""

import subprocess
import sys

import pandas as pd

from elision.study.tables import COLUMNS, ranking


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


def test_ranks_are_of_what_every_line_has_finished():
    def row(method: str, rate: float, nll: float) -> dict:
        line = {"data": "d", "method": method, "fusion": "addition", "objective": "all", "missing": "a", "rate": rate}
        return dict.fromkeys(COLUMNS, 0.5) | line | {"seed": 0, "nll": nll, "accuracy": 1 - nll}

    table = pd.DataFrame([row("mle", 0.5, 0.2), row("mle", 0.95, 0.6), row("ae1", 0.5, 0.3)])
    first, second = ranking(table)
    assert (first.line[0], first.nll, second.nll) == ("mle", 0.2, 0.3)


def test_rank_one_is_the_least_nll_and_the_greatest_accuracy():
    def row(method: str, nll: float, accuracy: float) -> dict:
        line = {"data": "d", "method": method, "fusion": "addition", "objective": "all", "missing": "a", "rate": 0.5}
        return dict.fromkeys(COLUMNS, 0.5) | line | {"seed": 0, "nll": nll, "accuracy": accuracy}

    first, second = ranking(pd.DataFrame([row("mle", 0.2, 0.7), row("ae1", 0.3, 0.9)]))
    assert (first.line[0], first.nll_rank, first.accuracy_rank) == ("mle", 1, 2)
    assert (second.line[0], second.nll_rank, second.accuracy_rank) == ("ae1", 2, 1)


def test_a_tie_in_rank_goes_to_the_lesser_nll():
    """One cell each way: the order of the lines decided, and crowned the worse."""

    def row(method: str, seed: int, nll: float) -> dict:
        line = {"data": "d", "method": method, "fusion": "addition", "objective": "all", "missing": "a", "rate": 0.5}
        return dict.fromkeys(COLUMNS, 0.5) | line | {"seed": seed, "nll": nll, "accuracy": 0.5}

    rows = [row("mle", 0, 0.9), row("hgr", 0, 0.8), row("mle", 1, 0.98), row("hgr", 1, 1.0)]
    first, second = ranking(pd.DataFrame(rows))
    assert (first.nll_rank, second.nll_rank) == (1.5, 1.5)
    assert first.line[0] == "hgr"
