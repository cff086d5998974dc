"""The figures of a comparison, and what all figures share."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from elision.data.missing import NONE
from elision.plots import COLOURS, ON_PAGES, acquisition_lines, inline_svg
from elision.study.results import Result
from elision.study.run import UPPER_BOUND
from elision.study.tables import ACCURACY, NLL, Line, Measure, deviation, line_of, values_of

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

MATRICES = 6
_PANEL = 3.9, 3.1  # inches of a panel: a telephone is as wide
_MARKERS = "osD^vPX<>"
_MEASURES = ACCURACY, NLL
_GLYPHS = "●■◆▲▼✚✖◀▶"
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": "#999999",
    "axes.axisbelow": True,
    "font.size": 10,
    "text.parse_math": False,  # a class may be called $x
    "savefig.dpi": 160,
    "svg.hashsalt": "elision",  # the same figure gives the same file
    "svg.fonttype": "none",
}
"""Of all figures."""


def curves(results: Sequence[Result]) -> bytes:
    """Draw accuracy and NLL against the missing rate, mean and standard deviation, a column for each modality; PNG."""
    lines, missing = _lines_and_missing(results)
    with plt.rc_context(STYLE):
        size = _PANEL[0] * len(missing), 2 * _PANEL[1]
        figure, axes = plt.subplots(2, len(missing), figsize=size, sharey="row", squeeze=False, layout="constrained")
        for row, measure in zip(axes, _MEASURES, strict=True):
            for axis, name in zip(row, missing, strict=True):
                _draw_curve(axis, results, lines, name, measure)
        draw_legend(figure, axes[0], min(len(lines), 3))
        return saved(figure)


def curves_on_page(results: Sequence[Result]) -> list[str]:
    """Return the panels of `curves` as a figure each, for a page on which they find their own places; SVG."""
    lines, missing = _lines_and_missing(results)
    with plt.rc_context(STYLE | ON_PAGES):
        shown = [(name, measure) for name in missing for measure in _MEASURES]
        panels = [Figure(figsize=_PANEL, layout="constrained") for _ in shown]
        axes = [figure.add_subplot() for figure in panels]
        for (name, measure), axis in zip(shown, axes, strict=True):
            _draw_curve(axis, results, lines, name, measure)
        for row in (axes[::2], axes[1::2]):
            ends = [axis.get_ylim() for axis in row]
            for axis in row:
                axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
        return [inline_svg(figure) for figure in panels]


def legend(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Return the legend of `curves_on_page`: (sign, colour, name) of each line."""
    lines, _ = _lines_and_missing(results)
    looks = [_look(i, line) for i, line in enumerate(lines)]
    signs = [_GLYPHS[i % len(_GLYPHS)] if look["marker"] else "╌╌" for i, look in enumerate(looks)]
    colours = [f"var(--c{i % len(COLOURS)})" if look["marker"] else look["color"] for i, look in enumerate(looks)]
    return list(zip(signs, colours, [short_name(line, lines) for line in lines], strict=True))


def acquisition(table: pd.DataFrame) -> list[str]:
    """Return curves of acquisition as figures for a page, of accuracy and of NLL; SVG."""
    found = []
    with plt.rc_context(STYLE | ON_PAGES):
        for metric in ("accuracy", "nll"):
            figure = Figure(figsize=_PANEL, layout="constrained")
            axes = acquisition_lines(table, metric, figure.add_subplot())
            if metric == "accuracy":
                axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            found.append(inline_svg(figure))
    return found


def _lines_and_missing(results: Sequence[Result]) -> tuple[list[Line], list[str]]:
    return list(dict.fromkeys(line_of(r.run) for r in results)), list(dict.fromkeys(r.run.missing for r in results))


def _draw_curve(axis: Axes, results: Sequence[Result], lines: Sequence[Line], missing: str, measure: Measure) -> None:
    part = [result for result in results if result.run.missing == missing]
    values = values_of(part, measure.of)
    as_it_is = missing == NONE  # one place on the axis, so each line gets its own
    names = [short_name(line, lines) for line in lines]
    for i, line in enumerate(lines):
        shift = i if as_it_is else (i - (len(lines) - 1) / 2) * 0.012
        own = {rate + shift: found for (other, (_, rate)), found in values.items() if other == line}
        draw_line(axis, own, list(map(deviation, own.values())), label=names[i], markersize=5, **_look(i, line))
    axis.grid(axis="x", visible=False)
    axis.margins(x=0.12)
    axis.set_ylabel(measure.title)
    axis.set_title("data as it is" if as_it_is else f"{missing} missing in training")
    if as_it_is:
        axis.set_xticks(range(len(lines)), names, rotation=35, ha="right", rotation_mode="anchor")
    else:
        name_rates(axis, part)
        axis.set_xlabel("share of the training samples")


def _look(i: int, line: Line) -> dict[str, Any]:
    if line[0] == UPPER_BOUND:
        return {"color": "#777777", "linestyle": "--", "marker": ""}
    return {"color": COLOURS[i % len(COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def hardest_confusions(results: Sequence[Result]) -> dict[str, list[list[int]]]:
    """Return how often each of the first lines took each class for which, at the highest rate, all seeds together."""
    hardest = max(result.run.rate for result in results)
    counts: dict[Line, np.ndarray] = {}
    for result in results:
        if result.run.rate == hardest:
            line = line_of(result.run)
            counts[line] = counts.get(line, np.array(0)) + np.array(result.test.confusion)
    shown = list(counts)[:MATRICES]
    return {short_name(line, shown): counts[line].tolist() for line in shown}


def confusions(results: Sequence[Result]) -> bytes:
    """Draw `hardest_confusions`; PNG."""
    with plt.rc_context(STYLE):
        titled = {name: np.array(counts) for name, counts in hardest_confusions(results).items()}
        return saved(draw_matrices(titled, results[0].test.classes, columns=3))


def confusion_of(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Draw how often one model took each class for which; PNG.

    Args:
        counts: rows the true class, columns the predicted one, shape (K, K).
        classes: their names.
    """
    with plt.rc_context(STYLE):
        return saved(draw_matrices({"": np.array(counts)}, classes, columns=1))


def draw_matrices(matrices: Mapping[str, np.ndarray], classes: Sequence[str], columns: int) -> Figure:
    """Draw how often each class was taken for which, of title -> counts (K, K), ``columns`` beside each other.

    Shares of the true class are printed in per cent where there is room.
    """
    columns = min(len(matrices), columns)
    rows, size = -(-len(matrices) // columns), max(3.1, 0.27 * len(classes) + 1.2)
    size_of_all = max(size * columns, 3.6), size * rows + 1.0
    figure, axes = plt.subplots(rows, columns, figsize=size_of_all, sharey=True, squeeze=False, layout="constrained")
    for axis in axes.flat[len(matrices) :]:
        axis.set_visible(False)
    names = [c if len(c) <= 12 else c[:11] + "…" for c in classes]
    for axis, (title, counts) in zip(axes.flat, matrices.items(), strict=False):
        shares = counts / counts.sum(1, keepdims=True).clip(1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.grid(visible=False)
        axis.set_title(title)
        for (i, j), share in np.ndenumerate(shares):
            if len(classes) <= 12 and share >= 0.005:
                ink = "white" if share > 0.55 else "#333333"
                axis.text(j, i, f"{share:.0%}"[:-1], ha="center", va="center", fontsize=7, color=ink)
    for axis in axes[:, 0]:
        axis.set_ylabel("true class")
    figure.supxlabel("predicted class (rows in per cent)", fontsize=10)
    return figure


def draw_line(axis: Axes, values: Mapping[float, Sequence[float]], errors: Sequence[float], **look: Any) -> None:
    """Draw the mean of the values at each place, with error bars where there are several; nothing without values."""
    if values:
        means = [float(np.mean(found)) for found in values.values()]
        axis.errorbar(list(values), means, np.nan_to_num(errors), capsize=2, **look)


def name_rates(axis: Axes, results: Sequence[Result]) -> None:
    """Name the missing rates of results along the x axis."""
    rates = sorted({result.run.rate for result in results})
    axis.set_xticks(rates, ["" if rate == 0 else f"{rate:.0%}" for rate in rates])


def draw_legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """Draw one legend below a figure, each name once."""
    shown = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns, frameon=False)


def short_name(line: Line, lines: Sequence[Line]) -> str:
    """Return only what tells the lines apart: the method, and the fusion or objective where they differ."""
    return ", ".join(name for i, name in enumerate(line) if i == 0 or len({other[i] for other in lines}) > 1)


def saved(figure: Figure, kind: str = "png") -> bytes:
    """Return a figure as a file of a kind, "png" or "svg"."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)
    return buffer.getvalue()
