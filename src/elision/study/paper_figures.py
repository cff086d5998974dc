"""The paper's figures 4, 5 and 6 from runs of the tables, each as PNG and SVG."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib
import numpy as np

from elision.study.figures import STYLE, draw_legend, draw_matrix, saved
from elision.study.paper import (
    GIVEN,
    ROWS,
    TABLE1,
    TABLE2,
    TABLE2_FUSION,
    in_figure4,
    in_figure5,
    in_figure6,
    published,
    setting,
)
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
    fusions = [fusion for fusion in TABLE1.blocks if any(result.run.fusion == fusion for result in results)]
    size = max(4.0 * len(fusions), 6.5), 3.9
    figure, axes = plt.subplots(1, len(fusions), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, fusion in zip(axes[0], fusions, strict=True):
        part = [result for result in results if result.run.fusion == fusion]
        for line, row in ROWS.items():
            mine = _by_line(part, lambda result: result.run.rate).get(line, {})
            if mine:
                rates, (mean, error) = list(mine), _means(mine.values())
                axis.errorbar(rates, mean, error, label=row.title, color=row.colour, marker="o", capsize=2)
                cells = [setting("table1", *line, fusion, END_TO_END, "audio", rate) for rate in rates]
                paper = [value for value in map(published, cells) if value is not None]
                if len(paper) == len(rates):
                    axis.plot(rates, paper, "--", color=row.colour, alpha=0.6, label=f"{row.title}, paper")
        rates = sorted({result.run.rate for result in part})
        axis.set_xticks(rates, [f"{r:.0%}" for r in rates])
        axis.set_title(f"fusion {TABLE1.blocks[fusion]}")
        axis.set_xlabel("training videos without audio")
    axes[0, 0].set_ylabel("test accuracy, %")
    draw_legend(figure, axes[0], 3)
    return figure


def matrices(results: Sequence[Result]) -> Figure:
    """Draw figure 5: how often each emotion was taken for which, all seeds together; rows in per cent."""
    found = {
        row.title: np.sum([r.test.confusion for r in results if (r.run.method, r.run.objective) == line], axis=0)
        for line, row in ROWS.items()
        if any((r.run.method, r.run.objective) == line for r in results)
    }
    size = max(2.7 * len(found) + 0.8, 4.4), 4.1
    figure, axes = plt.subplots(1, len(found), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, (title, counts) in zip(axes[0], found.items(), strict=True):
        draw_matrix(axis, counts, results[0].test.classes)
        axis.grid(visible=False)
        axis.set_title(title)
    axes[0, 0].set_ylabel("true emotion")
    figure.supxlabel("predicted emotion", fontsize=10)
    return figure


def bars(results: Sequence[Result]) -> Figure:
    """Draw figure 6: the rows of Table 2 per extractor; a grey dash is the paper's value."""
    known = [e for e in (*TABLE2.blocks, GIVEN) if any(result.run.extractor == e for result in results)]
    mine = _by_line(results, lambda result: known.index(result.run.extractor))
    rows = [line for line in ROWS if line in mine]
    width = 0.8 / len(rows)
    figure, axes = plt.subplots(figsize=(max(2.6 * len(known), 4.8), 4.0), layout="constrained")
    for i, line in enumerate(rows):
        shift = (i - (len(rows) - 1) / 2) * width
        mean, error = _means(mine[line].values())
        x = [place + shift for place in mine[line]]
        axes.bar(x, mean, 0.92 * width, yerr=error, label=ROWS[line].title, color=ROWS[line].colour, capsize=2)
        paper = [published(setting("table2", *line, TABLE2_FUSION, e, "audio", 0.5)) for e in known]
        shown = [(place + shift, value) for place, value in enumerate(paper) if value is not None]
        if shown:
            axes.plot(*zip(*shown, strict=True), **_PAPER, label="the paper's value")
    axes.set_xticks(range(len(known)), [TABLE2.blocks.get(e, "features as given") for e in known])
    axes.set_ylabel("test accuracy, %")
    axes.set_ylim(0, 100)
    axes.grid(axis="x", visible=False)
    draw_legend(figure, [axes], 4)
    return figure


FIGURES = {"figure4": (in_figure4, lines), "figure5": (in_figure5, matrices), "figure6": (in_figure6, bars)}
"""name -> (which runs it shows, how it is drawn)."""


def _by_line(
    results: Sequence[Result], place: Callable[[Result], float]
) -> Mapping[tuple[str, str], dict[float, list[float]]]:
    """Return (method, objective) -> place -> accuracies in per cent, places in order."""
    found: dict[tuple[str, str], dict[float, list[float]]] = defaultdict(dict)
    for result in sorted(results, key=place):
        line = result.run.method, result.run.objective
        found[line].setdefault(place(result), []).append(ACCURACY.of(result))
    return found


def _means(values: Iterable[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return the means and the standard deviations, 0 for a single value."""
    each = [(float(np.mean(v)), deviation(v) if len(v) > 1 else 0.0) for v in values]
    return [mean for mean, _ in each], [error for _, error in each]
