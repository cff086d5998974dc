"""The paper's figures 4, 5 and 6 from runs of the tables, each as PNG and SVG."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np

from elision.study import paper
from elision.study.figures import STYLE, draw_legend, draw_line, draw_matrices, name_rates, saved
from elision.study.results import Result
from elision.study.run import END_TO_END
from elision.study.tables import ACCURACY, deviation

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_PAPER = {"color": "#777777", "linestyle": "none", "marker": "_", "markersize": 13, "markeredgewidth": 2}


def draw_figures(results: Sequence[Result]) -> dict[str, dict[str, bytes]]:
    """Return name -> format -> file, of the figures that have runs; all of one split."""
    files = {}
    for name, (shows, draw) in FIGURES.items():
        mine = [result for result in results if shows(result.run)]
        if mine:
            with plt.rc_context(STYLE):
                figure = draw(mine)
                files[name] = {kind: saved(figure, kind) for kind in FORMATS}
    return files


def lines(results: Sequence[Result]) -> Figure:
    """Draw figure 4: accuracy against the rate of missing audio, a panel per fusion, the paper's values dashed."""
    fusions = [fusion for fusion in paper.TABLE1.blocks if any(result.run.fusion == fusion for result in results)]
    size = max(4.0 * len(fusions), 6.5), 3.9
    figure, axes = plt.subplots(1, len(fusions), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, fusion in zip(axes[0], fusions, strict=True):
        part = [result for result in results if result.run.fusion == fusion]
        for line, own in _by_row(part, lambda result: result.run.rate).items():
            row, cells = (
                paper.ROWS[line],
                [paper.setting("table1", *line, fusion, END_TO_END, "audio", rate) for rate in own],
            )
            draw_line(axis, own, list(map(deviation, own.values())), label=row.title, color=row.colour, marker="o")
            printed = [value for value in map(paper.published, cells) if value is not None]
            if len(printed) == len(own):
                axis.plot(list(own), printed, "--", color=row.colour, alpha=0.6, label=f"{row.title}, paper")
        name_rates(axis, part)
        axis.set_title(f"fusion {paper.TABLE1.blocks[fusion]}")
        axis.set_xlabel("training videos without audio")
    axes[0, 0].set_ylabel("test accuracy, %")
    draw_legend(figure, axes[0], 3)
    return figure


def matrices(results: Sequence[Result]) -> Figure:
    """Draw figure 5: how often each emotion was taken for which, all seeds together; rows in per cent."""
    counts = {
        row.title: np.array([r.test.confusion for r in results if (r.run.method, r.run.objective) == line]).sum(0)
        for line, row in paper.ROWS.items()
    }
    counts = {title: found for title, found in counts.items() if found.any()}
    return draw_matrices(counts, results[0].test.classes, columns=len(counts))


def bars(results: Sequence[Result]) -> Figure:
    """Draw figure 6: the rows of Table 2 per extractor; a grey dash is the paper's value."""
    known = [e for e in (*paper.TABLE2.blocks, paper.GIVEN) if any(result.run.extractor == e for result in results)]
    rows = _by_row(results, lambda result: known.index(result.run.extractor))
    width = 0.8 / len(rows)
    figure, axes = plt.subplots(figsize=(max(2.6 * len(known), 4.8), 4.0), layout="constrained")
    for i, (line, own) in enumerate(rows.items()):
        shift, row = (i - (len(rows) - 1) / 2) * width, paper.ROWS[line]
        means, errors = [float(np.mean(v)) for v in own.values()], np.nan_to_num([*map(deviation, own.values())])
        x = [place + shift for place in own]
        axes.bar(x, means, 0.92 * width, yerr=errors, label=row.title, color=row.colour, capsize=2)
        printed = [paper.published(paper.setting("table2", *line, paper.TABLE2_FUSION, e, "audio", 0.5)) for e in known]
        shown = [(place + shift, value) for place, value in enumerate(printed) if value is not None]
        if shown:
            axes.plot(*zip(*shown, strict=True), **_PAPER, label="the paper's value")
    axes.set_xticks(range(len(known)), [paper.TABLE2.blocks.get(e, "features as given") for e in known])
    axes.set_ylabel("test accuracy, %")
    axes.set_ylim(0, 100)
    axes.grid(axis="x", visible=False)
    draw_legend(figure, [axes], 4)
    return figure


FIGURES = {
    "figure4": (paper.in_figure4, lines),
    "figure5": (paper.in_figure5, matrices),
    "figure6": (paper.in_figure6, bars),
}
"""name -> (which runs it shows, how it is drawn)."""


def _by_row(
    results: Sequence[Result], place: Callable[[Result], float]
) -> Mapping[tuple[str, str], dict[float, list[float]]]:
    """Return the rows that have results -> place -> accuracies in per cent, rows and places in order."""
    found: dict[tuple[str, str], dict[float, list[float]]] = {line: {} for line in paper.ROWS}
    for result in sorted(results, key=place):
        found[result.run.method, result.run.objective].setdefault(place(result), []).append(ACCURACY.of(result))
    return {line: places for line, places in found.items() if places}
