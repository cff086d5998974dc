"""The figures of a comparison."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from elision.study.run import UPPER_BOUND

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

LINES = ["method", "fusion", "objective"]
MATRICES = 6
_COLOURS = ["#0b6e99", "#d1495b", "#edae49", "#66a182", "#6b4c9a", "#8d6a4f", "#3d405b", "#e07a5f", "#2a9d8f"]
_MARKERS = "osD^vPX<>"
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": "#999999",
    "axes.axisbelow": True,
    "font.size": 10,
    "text.parse_math": False,  # a class may be called $x
    "savefig.dpi": 160,
}
"""Of all figures."""


def curves(table: pd.DataFrame) -> bytes:
    """PNG: accuracy and NLL against the missing rate, mean and standard error, a column of panels per modality."""
    missing = list(dict.fromkeys(table["missing"]))
    lines = list(dict.fromkeys(table[LINES].itertuples(index=False, name=None)))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            len(missing),
            figsize=(max(3.6 * len(missing), 5.2), 6.4),
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for column, name in enumerate(missing):
            part = table[table["missing"] == name]
            axes[0, column].set_title("data as it is" if name == "none" else f"{name} missing in training")
            for row, metric in enumerate(("accuracy", "nll")):
                _panel(axes[row, column], part, metric, lines)
            axes[1, column].set_xlabel("" if name == "none" else "training samples without it")
        axes[0, 0].set_ylabel("accuracy")
        axes[0, 0].yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
        axes[1, 0].set_ylabel("negative log-likelihood, nats")
        shown = {
            name: handle for axis in axes[0] for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=min(len(lines), 3), frameon=False)
        return _png(figure)


def _panel(axis: Any, part: pd.DataFrame, metric: str, lines: Sequence[tuple[str, str, str]]) -> None:
    width = 0.012
    for i, line in enumerate(lines):
        mine = part[(part[LINES] == list(line)).all(axis=1)].groupby("rate")[metric]
        if not len(mine):
            continue
        mean, error = mine.mean(), mine.sem().fillna(0)
        shift = (i - (len(lines) - 1) / 2) * width
        axis.errorbar(
            mean.index + shift, mean, yerr=error, label=short_name(line, lines), **_look(i, line),
            markersize=5, linewidth=1.8, capsize=2,
        )  # fmt: skip
    rates = sorted(part["rate"].unique())
    axis.set_xticks(rates, ["" if r == 0 else f"{r:.0%}" for r in rates])
    axis.grid(axis="x", visible=False)
    axis.margins(x=0.12)


def _look(i: int, line: tuple[str, str, str]) -> dict[str, str]:
    if line[0] == UPPER_BOUND:
        return {"color": "#777777", "linestyle": "--", "marker": ""}
    return {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}


def confusions(results: Sequence[dict[str, Any]]) -> bytes:
    """PNG: for each line, how often each class was taken for which, at the highest rate, all seeds together."""
    hardest = max(r["run"]["rate"] for r in results)
    counts: dict[tuple[str, str, str], np.ndarray] = {}
    for result in results:
        if result["run"]["rate"] == hardest:
            line = tuple(result["run"][name] for name in LINES)
            counts[line] = counts.get(line, 0) + np.array(result["confusion"])
    shown, classes = list(counts)[:MATRICES], results[0]["classes"]
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        size = max(3.1, 0.27 * len(classes) + 1.2)
        figure, axes = plt.subplots(
            rows, columns, figsize=(size * columns, size * rows + 0.5), squeeze=False, layout="constrained"
        )
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        for axis, line in zip(axes.flat, shown, strict=False):
            draw_matrix(axis, counts[line] / counts[line].sum(1, keepdims=True).clip(1), classes)
            axis.set_title(short_name(line, shown))
        for axis in axes[:, 0]:
            axis.set_ylabel("true class")
        figure.supxlabel("predicted class (rows in per cent)", fontsize=10)
        return _png(figure)


def confusion_of(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """PNG: how often each class was taken for which, of one model.

    Args:
        counts: rows the true class, columns the predicted one, shape (K, K).
        classes: their names.
    """
    table = np.array(counts)
    size = max(3.6, 0.3 * len(classes) + 1.4)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axis = plt.subplots(figsize=(size, size), layout="constrained")
        draw_matrix(axis, table / table.sum(1, keepdims=True).clip(1), classes)
        axis.set_ylabel("true class")
        axis.set_xlabel("predicted class (rows in per cent)")
        return _png(figure)


def draw_matrix(axis: Any, shares: np.ndarray, classes: Sequence[str]) -> None:
    """Draw shares (K, K) of each true class by predicted class, in per cent where there is room."""
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [c if len(c) <= 12 else c[:11] + "…" for c in classes]
    axis.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    if len(classes) <= 12:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.005:
                axis.text(j, i, f"{share:.0%}"[:-1], ha="center", va="center", fontsize=7, color=_ink(share))


def _ink(share: float) -> str:
    return "white" if share > 0.55 else "#333333"


def short_name(line: tuple[str, str, str], lines: Sequence[tuple[str, str, str]]) -> str:
    """Only what tells the lines apart: the method, and the fusion or objective where they differ."""
    parts = [line[0]]
    parts += [line[i] for i in (1, 2) if len({other[i] for other in lines}) > 1]
    return ", ".join(parts)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
