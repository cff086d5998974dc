"""Pictures of what a model answers. Each function draws on given axes, or new ones, and returns them."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elision.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = (
    "#0b6e99", "#d1495b", "#edae49", "#66a182", "#6b4c9a", "#8d6a4f", "#3d405b", "#e07a5f", "#2a9d8f",
)  # fmt: skip
"""Of lines and bars; a page has a lighter one of each for the dark (``--c0`` and on in page.css)."""
_FOR, _AGAINST, _GREY = *COLOURS[:2], "#8a8f98"
_INK, _SOFT, _RULE = "#1c2530", "#5d6875", "#e3e7ec"
ON_PAGES: dict[Any, Any] = {
    "axes.edgecolor": _SOFT,
    "axes.facecolor": "none",
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "figure.facecolor": "none",
    "grid.color": _RULE,
    "svg.fonttype": "none",
    "svg.hashsalt": "elision",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
}
"""matplotlib's settings for figures that `inline_svg` puts into a page."""


def inline_svg(figure: "Figure") -> str:
    """Return a figure drawn with `ON_PAGES` as SVG for a page, in the page's font and its light or dark colours."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    names = {_INK: "--ink", _SOFT: "--soft", _RULE: "--line"} | {c: f"--c{i}" for i, c in enumerate(COLOURS)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var({name})")
    return svg.replace("'DejaVu Sans'", "system-ui")


def waterfall(table: pd.DataFrame, sample: int, label: Any = None, axes: "Axes | None" = None) -> "Axes":
    """Draw what each modality of one sample adds to the log-posterior of a class, the greatest first.

    Args:
        table: from `MultimodalClassifier.contributions`.
        sample: its position, as in the table.
        label: the class; None is the one that the modalities speak for most.
        axes: to draw on.
    """
    own = table.loc[table["sample"] == sample]
    if own.empty:
        raise InputError(f"the table has no row of sample {sample!r}: it shows nothing, or is not there")
    sums = {c: own.loc[own["class"] == c, "nats"].sum() for c in own["class"]}
    label = max(sums, key=lambda c: sums[c]) if label is None else label
    own = own.loc[own["class"] == label]
    if own.empty:
        raise InputError(f"the table has no class {label!r}: expected one of {table['class'].unique().tolist()}")
    own = own.iloc[np.argsort(-np.abs(own["nats"].to_numpy()), kind="stable")]
    drawn = _axes(axes, height=1.4 + 0.4 * len(own))
    nats = own["nats"].to_numpy()
    ends = np.cumsum(nats)
    places = np.arange(len(own))
    errors = own["standard_error"].to_numpy()
    bars = drawn.barh(
        places, nats, left=ends - nats, height=0.6, color=np.where(nats >= 0, _FOR, _AGAINST),
        xerr=errors if errors.any() else None,
    )  # fmt: skip
    drawn.bar_label(bars, [f"{v:+.2f}" for v in nats], padding=4, fontsize=9)
    drawn.barh(len(own), ends[-1], height=0.6, color=_GREY)
    drawn.annotate(f"{ends[-1]:+.2f}", (max(ends[-1], 0), len(own)), (4, 0), textcoords="offset points", va="center",
                  fontsize=9)  # fmt: skip
    drawn.vlines(ends, places, places + 1, color=_GREY, linewidth=0.8)
    drawn.axvline(0, color=_SOFT, linewidth=0.8)
    drawn.set_yticks(np.arange(len(own) + 1), [*own["modality"].astype(str), "all together"], parse_math=False)
    drawn.invert_yaxis()
    drawn.use_sticky_edges = False
    drawn.margins(x=0.15)
    drawn.set_xlabel("nats, against showing nothing")
    drawn.set_title(f"Sample {sample}: what speaks for {label}", loc="left", fontsize=11, parse_math=False)
    return drawn


def importance_bars(table: pd.DataFrame, axes: "Axes | None" = None) -> "Axes":
    """Draw what each modality is worth on a data set: its share of the fall in NLL, and what it brings alone and last.

    Args:
        table: from `MultimodalClassifier.importance`.
        axes: to draw on.
    """
    table = table.sort_values("shapley_nll")
    drawn = _axes(axes, height=1.6 + 0.4 * len(table))
    places = np.arange(len(table))
    drawn.barh(places, table["shapley_nll"], height=0.6, color=_FOR, label="its share of all")
    drawn.plot(table["alone_nll"], places, "o", color=COLOURS[2], label="it alone, against nothing")
    drawn.plot(table["without_nll"], places, "D", color=_AGAINST, label="lost without it")
    drawn.axvline(0, color=_SOFT, linewidth=0.8)
    drawn.set_yticks(places, table.index.astype(str), parse_math=False)
    drawn.set_xlabel("nats of NLL per sample")
    drawn.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    return drawn


def reliability_diagram(bins: Sequence[Sequence[float]], axes: "Axes | None" = None) -> "Axes":
    """Draw accuracy against confidence; on the diagonal the probabilities are honest. Areas are shares of the samples.

    Args:
        bins: from `elision.evaluation.confidence_bins`, or of an `Assessment`.
        axes: to draw on.
    """
    drawn = _axes(axes, height=3.4, width=3.6)
    confidence, accuracy, n = np.array(bins, dtype=float).reshape(-1, 3).T
    drawn.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle="--")
    drawn.vlines(
        confidence, np.minimum(confidence, accuracy), np.maximum(confidence, accuracy), color=_AGAINST, alpha=0.5
    )
    look = {"color": _FOR, "alpha": 0.75, "linewidth": 0, "zorder": 3, "clip_on": False}
    drawn.scatter(confidence, accuracy, s=12 + 300 * n / n.sum(), **look)
    drawn.set(xlim=(0, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")
    return drawn


def acquisition_lines(table: pd.DataFrame, metric: str = "accuracy", axes: "Axes | None" = None) -> "Axes":
    """Draw how good predictions are against what was measured, a line per order.

    Args:
        table: from `MultimodalClassifier.acquisition_curves`.
        metric: "accuracy" or "nll".
        axes: to draw on.
    """
    drawn = _axes(axes, height=3.4)
    x = "cost" if not np.allclose(table["cost"], table["measured"]) else "measured"
    whole = table["order"] == "all"
    looks = zip(COLOURS, "osD^", ("-", "--", ":", "-."), (3, 1.5, 1.5, 1.5), strict=False)
    for (colour, marker, style, width), (order, line) in zip(
        looks, table[~whole].groupby("order", sort=False), strict=False
    ):  # a line that another covers shows beside its dashes
        look = {"color": colour, "marker": marker, "markersize": 4, "linestyle": style, "linewidth": width}
        drawn.plot(line[x], line[metric], label=order, **look)
    drawn.axhline(table.loc[whole, metric].iloc[0], color=_GREY, linewidth=0.8, linestyle="--", label="everything")
    drawn.set_xlabel("cost per sample" if x == "cost" else "modalities measured per sample")
    drawn.set_ylabel(metric if metric == "accuracy" else "NLL, nats")
    drawn.legend(frameon=False, fontsize=9)
    return drawn


def _axes(axes: "Axes | None", height: float, width: float = 6.0) -> "Axes":
    if axes is None:
        from matplotlib import pyplot as plt

        axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    axes.spines[["top", "right"]].set_visible(False)
    return axes
