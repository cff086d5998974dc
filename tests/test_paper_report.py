"""The report of a reproduction: the right numbers in the right cells, partial grids, both splits, nothing unescaped."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from elision.errors import InputError
from elision.evaluation import Assessment, Metrics
from elision.study import paper, paper_figures, tables
from elision.study.folders import FailedRun, write_failure, write_result
from elision.study.paper_comparisons import comparisons, means_by_split
from elision.study.paper_report import SPEAKERS, WARNING
from elision.study.paper_tables import fill, orders
from elision.study.paper_tex import tex
from elision.study.plan import write_report
from elision.study.results import Result
from elision.study.run import Run, Training

SETTING = ["table", "method", "objective", "fusion", "extractor", "missing", "rate"]
EMOTIONS = ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]


def result(setting: Run, seed: int, accuracy: float, by_group: bool = False, data: str = "made") -> Result:
    run = replace(
        setting, seed=seed, by_group=by_group, data=data, fingerprint="f", training=Training("x", 1), visual="visual"
    )
    hits = round(30 * accuracy)
    confusion = np.full((6, 6), (30 - hits) // 5)
    np.fill_diagonal(confusion, hits)
    test = Assessment(Metrics(accuracy, 1.0, 0.1, 0.3, 180), confusion.tolist(), EMOTIONS, {}, {})
    return Result(run, 840, 84, test, 2.0)


def as_in_the_paper(settings: list[Run], seeds: int = 2) -> list[Result]:
    """The paper's accuracy in the mean, two points apart."""
    return [
        result(s, seed, (paper.published(s) + (1 if seed % 2 else -1)) / 100) for s in settings for seed in range(seeds)
    ]


def written(out: Path, results: list[Result], demo: bool = False, failed: list[FailedRun] = ()) -> Path:
    (out / "runs").mkdir(parents=True)
    for r in results:
        write_result(out / "runs", r.run.key, r)
    for failure in failed:
        write_failure(out / "runs", failure)
    runs = {r.run.key: r.run.title for r in results} | {f.key: f.run for f in failed}
    settings = {"demo": demo, "data": {"table1": "made, 1,200 samples"}}
    study = {"kind": "reproduction", "settings": settings, "about": {"choices": {"k": "<32>"}}, "runs": runs}
    (out / "study.json").write_text(json.dumps(study))
    return out


@pytest.fixture(scope="module")
def whole() -> list[Result]:
    return as_in_the_paper(paper.EXPERIMENTS["all"]())


def test_every_cell_stands_where_the_paper_has_it(whole):
    for filled in fill(whole):
        for block, panel in filled.blocks.items():
            for (title,), cells in panel.rows.items():
                method = next(m for (m, o), row in paper.ROWS.items() if row.title == title)
                expected = filled.table.accuracy[method][block]
                assert [c.mean for c in cells] == pytest.approx(expected)
                assert [c.paper for c in cells] == list(expected)
                assert {c.n for c in cells} == {2}
                assert [c.deviation for c in cells] == pytest.approx([2**0.5] * 6)  # of m - 1 and m + 1
            best = np.array([[c.mean for c in cells] for cells in panel.rows.values()]).argmax(0)
            marked = np.array([[c.best for c in cells] for cells in panel.rows.values()])
            assert (marked.argmax(0) == best).all()


def test_tau_is_one_for_the_papers_order_and_minus_one_for_its_reverse():
    settings = [s for s in paper.table1() if s.fusion == "addition"]
    (same,) = fill(as_in_the_paper(settings))
    assert next(iter(same.blocks.values())).agreement == [1.0] * 6
    turned = [result(s, seed, 1 - paper.published(s) / 100) for s in settings for seed in range(2)]
    (reverse,) = fill(turned)
    assert next(iter(reverse.blocks.values())).agreement == [-1.0] * 6
    assert (orders(same).columns, orders(same).whole, orders(reverse).whole) == (6, 6, 0)
    assert orders(same).steps["ours", "zero padding"] == (6, 6)
    assert orders(reverse).steps["HGR", "lower bound"] == (0, 6)


def test_a_partial_grid_gives_a_partial_table_that_says_so(whole):
    settings = [s for s in paper.table1() if s.fusion == "addition" and s.missing == "audio" and s.method != "hgr"]
    (part,) = fill(as_in_the_paper(settings, seeds=1))
    assert part.title == "Table 1 on made (partial: 9 of 66 settings, 1 of 5 runs each)"
    (panel,) = part.blocks.values()
    assert list(panel.rows) == [("lower bound",), ("zero padding",), ("ours",)]
    assert panel.rows["ours",][:3] == [None] * 3 and panel.rows["ours",][3].text == "80.2"
    assert panel.agreement == [None] * 6, "an order of one run tells nothing"
    assert "not run" in tables.markdown(panel) and "--" in tex([part], "by video", "")
    assert all(filled.is_partial for filled in fill(whole))  # two runs, not five
    full = fill(as_in_the_paper(paper.table2(), seeds=5))
    assert [f.title for f in full] == ["Table 2 on made"]


def test_features_as_they_are_given_stand_beside_resnet_50_without_a_difference():
    settings = paper.table2(["given"])
    results = [result(s, 0, 0.5) for s in settings + paper.beyond(settings)]
    (filled,) = fill(results)
    (panel,) = filled.blocks.values()
    assert [c.paper for c in panel.rows["AE2",]] == list(paper.TABLE2.accuracy["ae2"]["resnet50"])
    assert [c.paper for c in panel.rows["joint (not in the paper)",]] == [None] * 6
    assert filled.settings == 18 and not panel.compared
    assert "50.0** [69.13]" in tables.markdown(panel)
    assert "+" not in tables.markdown(panel).split("AE2")[1].split("\n")[0]


def test_a_paired_comparison_is_over_the_samples_that_both_have():
    setting = paper.EXPERIMENTS["figure6"]()[2]
    ours, theirs = [0.80, 0.83, 0.85], [0.75, 0.80, 0.84]
    results = [result(setting, seed, a) for seed, a in enumerate([*ours, 0.99])]
    results += [result(replace(setting, method="ae1"), seed, a) for seed, a in enumerate(theirs)]
    (versus,) = comparisons(results)
    differences = np.array([5.0, 3.0, 1.0])
    statistic = 3.0 / np.sqrt((1 / 3 + 180 / 840) * differences.var(ddof=1))  # Nadeau and Bengio's correction
    assert (versus.ours, versus.theirs, versus.wins, versus.losses, versus.seeds) == ("ours", "AE1", 3, 0, 3)
    assert versus.difference == pytest.approx(3.0)
    assert versus.p == pytest.approx(2 * student.sf(statistic, 2))
    (single,) = comparisons([r for r in results if r.run.seed == 0])
    assert single.p is None and single.difference == pytest.approx(5.0)


def test_wins_ties_and_losses_are_counted_over_columns_and_seeds():
    setting = paper.EXPERIMENTS["figure6"]()[2]
    ours, theirs = (0.8, 0.7, 0.6, 0.9), (0.7, 0.7, 0.65, 0.8)
    results = [result(setting, seed, a) for seed, a in enumerate(ours)]
    results += [result(replace(setting, method="ae1"), seed, a) for seed, a in enumerate(theirs)]
    (versus,) = comparisons(results)
    assert (versus.wins, versus.ties, versus.losses) == (2, 1, 1)


def test_each_page_tells_of_the_runs_of_its_own_split(tmp_path):
    settings = paper.EXPERIMENTS["figure5"]()
    results = [result(s, 0, 0.5) for s in settings] + [result(settings[0], 0, 0.6, by_group=True)]
    pages = [page.read_text() for page in write_report(written(tmp_path / "out", results))]
    for page, split, n in zip(pages, ("by video", "by speaker"), (4, 1), strict=True):
        assert f"<dd>{n} finished</dd>" in page and f"<dd>{split}, 70 / 15 / 15" in page and f"in {n} runs</dd>" in page


def test_the_splits_are_kept_apart():
    setting = paper.EXPERIMENTS["figure5"]()[0]
    both = [result(setting, 0, 0.6), result(setting, 0, 0.4, by_group=True)]
    assert means_by_split(both) == {("table1", "lower bound"): {"by video": 60.0, "by speaker": 40.0}}
    assert fill(both[1:])[0].blocks["addition"].rows["lower bound",][2].mean == 40


def test_the_report_is_whole_escaped_and_needs_nothing_else(tmp_path):
    settings = paper.EXPERIMENTS["all"]() + paper.beyond(paper.EXPERIMENTS["figure4"]())
    results = [
        result(s, seed, 0.5 + 0.01 * seed, by_group, "made <b>") for s in settings for seed in range(2)
        for by_group in (False, True)
    ]  # fmt: skip
    failed = FailedRun("table1 <i>", "f" * 16, "InputError: <script>alert(1)</script>")
    out = written(tmp_path / "out", results, failed=[failed])
    pages = write_report(out, "elision reproduce <all>")
    assert [p.name for p in pages] == ["report.html", "report-by-speaker.html"]
    page = pages[0].read_text()
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "made &lt;b&gt;" in page and "reproduce &lt;all&gt;" in page and "&lt;32&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|report-by-speaker\.html")', page)
    assert SPEAKERS in page and WARNING not in page and 'href="report.html"' in pages[1].read_text()
    assert page.count("<h2>Figure") == 3 and "joint (not in the paper)" in page
    table = pd.read_csv(out / "results.csv")
    assert len(table) == len(results) and set(table["by_group"]) == {False, True}
    assert table.loc[0, "paper"] == paper.published(paper.setting(*table.loc[0, SETTING]))
    names = {p.name for p in out.iterdir()}
    figures = {f"figure{n}{s}.{kind}" for n in (4, 5, 6) for s in ("", "-by-speaker") for kind in ("png", "svg")}
    assert figures | {"tables.md", "tables.tex", "results.csv"} <= names
    assert (out / "figure4.png").read_bytes()[:4] == b"\x89PNG" and b"<svg" in (out / "figure5.svg").read_bytes()
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    write_report(out, "elision reproduce <all>")
    assert before == {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}


def test_the_stand_ins_report_says_so_above_everything_else(tmp_path):
    out = written(tmp_path / "out", as_in_the_paper(paper.EXPERIMENTS["figure5"]()), demo=True)
    (page,) = write_report(out)
    html = page.read_text()
    body = html[html.index("<body>") :]
    assert body.index(WARNING.replace("'", "&#39;")) < body.index("<h1>")
    assert re.search(r"\.loud p \{ font-size: 1\.\d+rem", html)
    assert all(WARNING in (out / f"tables.{kind}").read_text() for kind in ("md", "tex"))


def test_figures_draw_on_the_tables_runs_and_only_where_there_are_some():
    results = as_in_the_paper(paper.EXPERIMENTS["figure5"]())
    drawn = paper_figures.draw_figures(results)
    assert set(drawn) == {"figure5"} and set(drawn["figure5"]) == {"png", "svg"}
    text = drawn["figure5"]["svg"].decode()
    assert all(title in text for title in ("lower bound", "HGR", "zero padding", "ours", *EMOTIONS))
    both = as_in_the_paper(paper.EXPERIMENTS["figure4"]()) + as_in_the_paper(paper.EXPERIMENTS["figure6"]())
    assert set(paper_figures.draw_figures(both)) == {"figure4", "figure6"}


def test_tex_is_balanced_and_escaped(whole):
    text = tex(fill(whole), "by video", "")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {row.count("&") for row in rows} == {6}
    assert "%" not in re.sub(r"\\%|^%.*$", "", text, flags=re.M)


@pytest.mark.parametrize(("content", "message"), [
    (None, "has no study.json: expected a folder that `elision compare` or `elision reproduce` made"),
    ("{}", "is not what `elision compare` or `elision reproduce` wrote"),
    ("[1", "is not what `elision compare` or `elision reproduce` wrote"),
    ('{"kind": "poem", "settings": {}, "about": {}, "runs": {}}', "is of a 'poem': this version of Elision knows"),
])  # fmt: skip
def test_a_folder_of_something_else_is_refused(tmp_path, content, message):
    if content:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=message):
        write_report(tmp_path)


def test_nothing_finished_is_said_with_the_reasons(tmp_path):
    out = written(tmp_path / "out", [], failed=[FailedRun("a title", "f" * 16, "InputError: weights are not here")])
    with pytest.raises(InputError, match="holds no finished run to report: InputError: weights are not here"):
        write_report(out)


@pytest.mark.parametrize(("table", "figure"), [("table1", "figure5"), ("table2", "figure6")])
def test_a_new_row_of_a_table_takes_one_entry_and_no_published_number(tmp_path, monkeypatch, table, figure):
    line, before = ("modality-dropout", "conditional"), len(paper.EXPERIMENTS[table]())
    monkeypatch.setitem(paper.ROWS, line, paper.PaperRow("a new row", (table,), "#123456"))
    settings = paper.EXPERIMENTS[table]()
    added = [s for s in settings if s.method == line[0]]
    assert len(added) == 18 and len(settings) == before + 18 and {paper.published(s) for s in added} == {None}
    results = [result(s, 0, 0.9 if s.method == line[0] else 0.5) for s in settings]
    (filled,) = fill(results)
    assert (filled.done, filled.settings) == (before + 18, before + 18)
    for panel in filled.blocks.values():
        assert [(c.mean, c.paper, c.best) for c in panel.rows["a new row",]] == [(90.0, None, True)] * 6
    drawn = paper_figures.draw_figures(results)
    assert "a new row" in drawn[figure]["svg"].decode()
    (page,) = write_report(written(tmp_path / "out", results))
    assert "<td>a new row</td>" in page.read_text() and "a new row" in (tmp_path / "out" / "tables.tex").read_text()
