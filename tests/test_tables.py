"""Tables of many runs: ranks, who stands first, and what stands in a cell."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from elision.evaluation import Assessment, Metrics
from elision.study import figures
from elision.study.comparison_report import report_comparison
from elision.study.report import Study
from elision.study.results import Result
from elision.study.run import UPPER_BOUND, Run, Training
from elision.study.tables import ACCURACY, NLL, Cell, Grid, grid_of, markdown, not_told_apart, ranking


def result(method: str, nll: float, accuracy: float = 0.5, rate: float = 0.5, seed: int = 0) -> Result:
    run = Run("d", "d", "f", False, method, "addition", "all", Training(), "a", rate, seed)
    return Result(run, 9, 9, Assessment(Metrics(accuracy, nll, 0.1, 0.2, 9), [[9]], ["u"], {}, {}), 1.0)


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
    first, second = ranking([result("mle", 0.2), result("mle", 0.6, rate=0.95), result("ae1", 0.3)])
    assert (first.line[0], first.nll, second.nll) == ("mle", 0.2, 0.3)


def test_rank_one_is_the_least_nll_and_the_greatest_accuracy():
    first, second = ranking([result("mle", 0.2, 0.7), result("ae1", 0.3, 0.9)])
    assert (first.line[0], first.nll_rank, first.accuracy_rank) == ("mle", 1, 2)
    assert (second.line[0], second.nll_rank, second.accuracy_rank) == ("ae1", 2, 1)


def test_lines_that_the_seeds_do_not_tell_apart_from_the_first_are_named():
    """Differences over three seeds: .10, .11, .12 (told apart), and .01, -.02, .03; of one seed nothing is."""
    by_seed = {"mle": (0.5, 0.6, 0.7), "hgr": (0.6, 0.71, 0.82), "ae1": (0.51, 0.58, 0.73)}
    results = [result(m, nll, seed=seed) for m, values in by_seed.items() for seed, nll in enumerate(values)]
    assert [line[0] for line in not_told_apart(results)] == ["ae1"]
    assert len(not_told_apart([r for r in results if r.run.seed == 0])) == 2
    once_more = [result(r.run.method, r.test.metrics.nll, rate=0.9, seed=r.run.seed) for r in results]
    assert not_told_apart([*results, *once_more]) == not_told_apart(results)


def test_the_seed_is_the_unit_of_what_is_told_apart():
    """Ten rates of a seed differ alike, by .01 and by .03: twenty cells would tell them apart, two seeds do not."""
    rates = [i / 20 for i in range(1, 11)]
    results = [result("mle", 0.5, rate=rate, seed=seed) for rate in rates for seed in (0, 1)]
    others = [result("hgr", 0.51 + 0.02 * seed, rate=rate, seed=seed) for rate in rates for seed in (0, 1)]
    assert [line[0] for line in not_told_apart(results + others)] == ["hgr"]


def test_a_tie_in_rank_goes_to_the_lesser_nll():
    """One cell each way: the order of the lines decided, and crowned the worse."""
    rows = [("mle", 0, 0.9), ("hgr", 0, 0.8), ("mle", 1, 0.98), ("hgr", 1, 1.0)]
    first, second = ranking([result(method, nll, seed=seed) for method, seed, nll in rows])
    assert (first.nll_rank, second.nll_rank) == (1.5, 1.5)
    assert first.line[0] == "hgr"


def test_ties_share_their_ranks_and_the_reference_has_none():
    ranks = ranking([result("mle", 0.2), result("hgr", 0.2), result("ae1", 0.3), result(UPPER_BOUND, 0.1)])
    assert {rank.line[0]: rank.nll_rank for rank in ranks} == {"mle": 1.5, "hgr": 1.5, "ae1": 3}


def test_a_cell_is_of_its_own_line_and_column_and_the_best_is_marked():
    results = [result("mle", 0.25, 0.5, seed=0), result("mle", 0.35, 0.7, seed=1), result("hgr", 0.4, 0.8),
               result("hgr", 0.1, 0.9, rate=0.8), result(UPPER_BOUND, 0.01, 0.8)]  # fmt: skip
    accuracy, nll = grid_of(results, ACCURACY), grid_of(results, NLL)
    assert accuracy.columns == [("a", 0.5), ("a", 0.8)] and accuracy.told == [0]
    line = "mle", "addition", "all"
    (cell, nothing), (best, other) = accuracy.rows[line], accuracy.rows["hgr", "addition", "all"]
    assert nothing is None and (cell.mean, cell.n, cell.best) == (pytest.approx(60), 2, False)
    assert cell.deviation == pytest.approx(10 * np.sqrt(2)) and cell.text == "60.0 ± 14.1"
    assert (best.best, best.text, other.best) == (True, "80.0", True)
    assert nll.rows[line][0].best and nll.rows[line][0].text == "0.300 ± 0.071"
    assert not accuracy.rows[UPPER_BOUND, "addition", "all"][0].best
    text = markdown(accuracy)
    assert "| mle | addition | all | 60.0 ± 14.1 | not run | 2 |" in text and "| **80.0** | **90.0** | 1 |" in text


def test_the_matrices_are_of_the_highest_rate_all_seeds_together(monkeypatch):
    drawn = {}

    def spy(matrices, classes, columns):
        drawn.update({title: counts.tolist() for title, counts in matrices.items()})
        return draw_matrices(matrices, classes, columns)

    draw_matrices = figures.draw_matrices
    monkeypatch.setattr(figures, "draw_matrices", spy)
    results = [result("mle", 0.2, rate=rate, seed=seed) for rate in (0.5, 0.8) for seed in (0, 1)]
    hard = [replace(r, test=replace(r.test, confusion=[[2]])) for r in results[2:]]
    assert figures.confusions(results[:2] + hard).startswith(b"\x89PNG")
    assert drawn == {"mle": [[4]]}


def test_curves_have_the_mean_and_the_standard_deviation_at_each_rate_as_the_tables_do(monkeypatch):
    drawn = []

    def spy(axis, values, errors, **look):
        drawn.append((look["label"], {round(x, 6): list(v) for x, v in values.items()}, list(errors)))

    monkeypatch.setattr(figures, "draw_line", spy)
    figures.curves([result("mle", nll, accuracy=nll, seed=seed) for seed, nll in enumerate((0.2, 0.3, 0.7))])
    (label, values, (error,)), other = drawn
    assert (label, values) == ("mle", {0.5: [20.0, 30.0, 70.0]}) and other[1] == {0.5: [0.2, 0.3, 0.7]}
    assert error == pytest.approx(100 * np.std([0.2, 0.3, 0.7], ddof=1))


def test_what_a_removed_modality_costs_is_averaged_over_all_cells_and_seeds():
    def without(nll: float, accuracy: float, seed: int) -> Result:
        r = result("mle", 0.1, 0.9, seed=seed)
        return replace(r, test=replace(r.test, removed={"a": Metrics(accuracy, nll, 0.1, 0.2, 9)}))

    results = [without(0.4, 0.6, 0), without(0.8, 0.7, 1)]
    study = Study("comparison", {}, {"name": "d", "facts": {"Split": "at random"}, "skipped": []}, {})
    page = report_comparison(study, results, [], "").files["report.html"]
    assert "90.0 % / 0.100" in page and "65.0 % / 0.600" in page
    frame = pd.read_csv(io.StringIO(report_comparison(study, results, [], "").files["patterns.csv"]))
    assert frame["test"].tolist() == ["as they are", "without a"] * 2 and frame["nll"].tolist() == [0.1, 0.4, 0.1, 0.8]


def test_the_papers_value_stands_beside_ours_or_a_dash_and_the_difference_is_ours_minus_its():
    cells = [Cell(70.25, 1.5, 2, best=True, digits=1, paper=68.0), Cell(60.0, float("nan"), 1, best=False, digits=1)]
    grid = Grid("t", ("method",), [("a", 0.5), ("a", 0.8)], {("ours",): cells}, True, True, [1.0, None])
    text = markdown(grid)
    assert (
        "| ours | **70.2 ± 1.5** [68.00, +2.2] | 60.0 [-] | 1-2 |" in text and "| Kendall's tau | 1.00 |  |  |" in text
    )
    assert "[68.00]" in markdown(replace(grid, compared=False))
