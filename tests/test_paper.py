"""The paper's numbers and settings."""

import re
from collections import Counter
from pathlib import Path

import pytest

from elision.registries import METHODS
from elision.study import paper

SOURCE = Path(__file__).parents[2] / "shared" / "MATH.md"
EVERYTHING, FIGURE4, FIGURE5, FIGURE6 = (paper.EXPERIMENTS[name]() for name in ("all", "figure4", "figure5", "figure6"))
NAMES = {row.title: method for (method, objective), row in paper.ROWS.items() if objective != paper.JOINT}


def printed(table: str) -> dict[str, list[float | None]]:
    """method -> the 18 cells of its row under the heading of that table; None where a cell is empty."""
    text = SOURCE.read_text(encoding="utf-8").split(f"\n{table}, ")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {NAMES[name]: [float(c) if c else None for c in cells] for name, *cells in rows}


@pytest.mark.skipif(not SOURCE.is_file(), reason="shared/MATH.md, which holds the paper's tables, is not here")
@pytest.mark.parametrize("table", [paper.TABLE1, paper.TABLE2], ids=lambda t: t.name)
def test_every_number_is_that_of_the_source(table):
    source = printed({"table1": "Table 1", "table2": "Table 2"}[table.name])
    ours = {
        method: [v for block in table.blocks for v in rows.get(block, (None,) * 6)]
        for method, rows in table.accuracy.items()
    }
    assert ours == source
    assert sum(v is not None for row in source.values() for v in row) == len(paper.EXPERIMENTS[table.name]())


@pytest.mark.parametrize(("table", "videos"), [(paper.TABLE1, 194), (paper.TABLE2, 173)], ids=["table1", "table2"])
def test_every_number_is_a_count_of_five_test_sets(table, videos):
    """A mistyped digit would nearly always leave the multiples of 1/970 and 1/865."""
    for row in table.accuracy.values():
        for values in row.values():
            for value in values:
                count = value / 100 * 5 * videos
                assert abs(round(count) / (5 * videos) * 100 - value) < 0.00501


def test_the_settings_are_as_many_as_the_paper_has_and_none_twice():
    for name, n in {"table1": 66, "table2": 54, "figure4": 12, "figure5": 4, "figure6": 9, "all": 120}.items():
        settings = paper.EXPERIMENTS[name]()
        assert (len(settings), len(set(settings))) == (n, n)
    assert len(set(EVERYTHING + paper.beyond(EVERYTHING))) == 120 + 36


def test_the_figures_draw_on_the_tables_runs():
    assert set(FIGURE4) | set(FIGURE5) <= set(paper.table1())
    assert set(FIGURE6) <= set(paper.table2())
    assert Counter(s.rate for s in FIGURE4) == {0.8: 4, 0.9: 4, 0.95: 4}
    assert {s.method for s in FIGURE5} == {"lower-bound", "hgr", "zero-padding", "mle"}
    assert {s.rate for s in FIGURE5} == {0.95} and {s.missing for s in FIGURE5} == {"visual"}


def test_every_setting_can_be_trained():
    for setting in EVERYTHING + paper.beyond(EVERYTHING):
        METHODS[setting.method].claims.check(setting.method, setting.fusion, setting.objective)


def test_published_finds_the_cell():
    cells = {s: paper.published(s) for s in EVERYTHING}
    assert None not in cells.values()
    at = {(s.method, s.block, s.missing, s.rate): v for s, v in cells.items()}
    assert at["hgr", "outer-product", "visual", 0.95] == 49.90
    assert at["ae2", "resnet34", "audio", 0.8] == 63.47
    assert all(paper.published(s) is None for s in paper.beyond(EVERYTHING))
    assert {paper.published(s) for s in paper.table2(["given"])} == {None}


def test_titles_tell_all_settings_apart():
    titles = [s.setting for s in EVERYTHING + paper.beyond(EVERYTHING)]
    assert len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"table[12] [a-z0-9-]+( \(joint\))?, [a-z0-9-]+, (audio|visual) missing \d\d%", t)
               for t in titles)  # fmt: skip
