"""The figures of a comparison, and what all figures share."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

from elision.study.results import Result
from elision.study.run import UPPER_BOUND
from elision.study.tables import Line, deviation, line_of, values_of

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

MATRICES = 6
_COLOURS = ["#0b6e99", "#d1495b", "#edae49", "#66a182", "#6b4c9a", "#8d6a4f", "#3d405b", "#e07a5f", "#2a9d8f"]
_MARKERS = "osD^vPX<>"
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
    """Draw accuracy and NLL against the missing rate: mean and standard error, a column of panels per modality; PNG."""
    missing = list(dict.fromkeys(result.run.missing for result in results))
    lines = list(dict.fromkeys(line_of(result.run) for result in results))
    measures = (lambda r: r.test.metrics.accuracy), (lambda r: r.test.metrics.nll)
    with plt.rc_context(STYLE):
        size = max(3.6 * len(missing), 5.2), 6.4
        figure, axes = plt.subplots(2, len(missing), figsize=size, sharey="row", squeeze=False, layout="constrained")
        for column, name in enumerate(missing):
            part = [result for result in results if result.run.missing == name]
            axes[0, column].set_title("data as it is" if name == "none" else f"{name} missing in training")
            for axis, of in zip(axes[:, column], measures, strict=True):
                values = values_of(part, of)
                for i, line in enumerate(lines):
                    shift = (i - (len(lines) - 1) / 2) * 0.012
                    own = {rate + shift: found for (other, (_, rate)), found in values.items() if other == line}
                    errors = [deviation(found) / len(found) ** 0.5 for found in own.values()]
                    draw_line(axis, own, errors, label=short_name(line, lines), markersize=5, **_look(i, line))
                name_rates(axis, part)
                axis.grid(axis="x", visible=False)
                axis.margins(x=0.12)
            axes[1, column].set_xlabel("" if name == "none" else "training samples without it")
        axes[0, 0].set_ylabel("accuracy")
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1))
        axes[1, 0].set_ylabel("negative log-likelihood, nats")
        draw_legend(figure, axes[0], min(len(lines), 3))
        return saved(figure)


def _look(i: int, line: Line) -> dict[str, Any]:
    if line[0] == UPPER_BOUND:
        return {"color": "#777777", "linestyle": "--", "marker": ""}
    return {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def confusions(results: Sequence[Result]) -> bytes:
    """Draw how often each line took each class for which, at the highest rate, all seeds together; PNG."""
    hardest = max(result.run.rate for result in results)
    counts: dict[Line, np.ndarray] = {}
    for result in results:
        if result.run.rate == hardest:
            line = line_of(result.run)
            counts[line] = counts.get(line, np.array(0)) + np.array(result.test.confusion)
    shown = list(counts)[:MATRICES]
    with plt.rc_context(STYLE):
        titled = {short_name(line, shown): counts[line] for line in shown}
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
    size_of_all = max(size * columns, 3.6), size * rows + 0.5
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
