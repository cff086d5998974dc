"""The paper's figures 4, 5 and 6 from runs of the tables, each as PNG and SVG."""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from elision.study.figures import STYLE, draw_matrix
from elision.study.paper import GIVEN, ROWS, TABLE1, TABLE2, Setting, beyond, figure4, figure5, figure6, published

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_STYLE = STYLE | {
    "svg.hashsalt": "elision",  # the same figure gives the same file
    "svg.fonttype": "none",
}
_PAPER = {"color": "#777777", "linestyle": "none", "marker": "_", "markersize": 13, "markeredgewidth": 2}


def draw_figures(results: Sequence[dict[str, Any]], frame: pd.DataFrame) -> dict[str, dict[str, bytes]]:
    """name -> format -> file, of the figures that have runs; all of one split.

    Args:
        results: with their confusion counts.
        frame: the same runs, as `runs_table` gives them.
    """
    drawn: dict[str, Callable[[], Figure | None]] = {
        "figure4": lambda: lines(frame),
        "figure5": lambda: matrices(results),
        "figure6": lambda: bars(frame),
    }
    files = {}
    for name, make in drawn.items():
        with plt.rc_context(_STYLE):
            figure = make()
            if figure is not None:
                files[name] = {kind: _saved(figure, kind) for kind in FORMATS}
                plt.close(figure)
    return files


def lines(frame: pd.DataFrame) -> Figure | None:
    """Figure 4: accuracy against the rate of missing audio, a panel per fusion, the paper's values dashed."""
    wanted = figure4()
    found = _of(frame, wanted + beyond(wanted))
    fusions = [f for f in TABLE1.blocks if f in set(found["block"])]
    if not fusions:
        return None
    width = max(4.0 * len(fusions), 6.5)
    figure, axes = plt.subplots(1, len(fusions), figsize=(width, 3.9), sharey=True, squeeze=False, layout="constrained")
    for axis, fusion in zip(axes[0], fusions, strict=True):
        part = found[found["block"] == fusion]
        for line, row in ROWS.items():
            mine = part[(part["method"] == line[0]) & (part["objective"] == line[1])].groupby("rate")
            if len(mine):
                mean, error = 100 * mine["accuracy"].mean(), 100 * mine["accuracy"].std().fillna(0)
                axis.errorbar(mean.index, mean, error, label=row.title, color=row.colour, marker="o", capsize=2)
                paper = mine["paper"].first()
                if paper.notna().all():
                    axis.plot(paper.index, paper, "--", color=row.colour, alpha=0.6, label=f"{row.title}, paper")
        rates = sorted(part["rate"].unique())
        axis.set_xticks(rates, [f"{r:.0%}" for r in rates])
        axis.set_title(f"fusion {TABLE1.blocks[fusion]}")
        axis.set_xlabel("training videos without audio")
    axes[0, 0].set_ylabel("test accuracy, %")
    _legend(figure, axes[0], 3)
    return figure


def matrices(results: Sequence[dict[str, Any]]) -> Figure | None:
    """Figure 5: how often each emotion was taken for which, all seeds together; rows in per cent."""
    wanted = [asdict(s) for s in figure5()]
    found: dict[str, np.ndarray] = {}
    classes: list[str] = []
    for line, row in ROWS.items():
        for result in results:
            setting = result["run"]["setting"]
            if setting in wanted and (setting["method"], setting["objective"]) == line:
                found[row.title] = found.get(row.title, 0) + np.array(result["confusion"])
                classes = result["classes"]
    if not found:
        return None
    figure, axes = plt.subplots(
        1, len(found), figsize=(max(2.7 * len(found) + 0.8, 4.4), 4.1), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (title, counts) in zip(axes[0], found.items(), strict=True):
        shares = counts / counts.sum(1, keepdims=True).clip(1)
        draw_matrix(axis, shares, classes)
        axis.grid(visible=False)
        axis.set_title(title)
    axes[0, 0].set_ylabel("true emotion")
    figure.supxlabel("predicted emotion", fontsize=10)
    return figure


def bars(frame: pd.DataFrame) -> Figure | None:
    """Figure 6: AE1, AE2 and ours per extractor; a grey dash is the paper's value."""
    known = [e for e in (*TABLE2.blocks, GIVEN) if e in set(frame["extractor"])]
    wanted = [Setting(**{**asdict(s), "extractor": e}) for s in figure6() for e in (s.extractor, GIVEN)]
    found = _of(frame, list(dict.fromkeys(wanted + beyond(wanted))))
    if found.empty:
        return None
    rows = [line for line in ROWS if ((found["method"] == line[0]) & (found["objective"] == line[1])).any()]
    width = 0.8 / len(rows)
    figure, axes = plt.subplots(figsize=(max(2.6 * len(known), 4.8), 4.0), layout="constrained")
    for i, line in enumerate(rows):
        mine = found[(found["method"] == line[0]) & (found["objective"] == line[1])].groupby("extractor")["accuracy"]
        x = np.arange(len(known)) + (i - (len(rows) - 1) / 2) * width
        mean, error = (100 * values.reindex(known) for values in (mine.mean(), mine.std().fillna(0)))
        axes.bar(x, mean, 0.92 * width, yerr=error, label=ROWS[line].title, color=ROWS[line].colour, capsize=2)
        paper = [published(Setting("table2", *line, "addition", e, "audio", 0.5)) for e in known]
        shown = [(a, b) for a, b in zip(x, paper, strict=True) if b is not None]
        if shown:
            axes.plot(*zip(*shown, strict=True), **_PAPER, label="the paper's value")
    axes.set_xticks(range(len(known)), [TABLE2.blocks.get(e, "features as given") for e in known])
    axes.set_ylabel("test accuracy, %")
    axes.set_ylim(0, 100)
    axes.grid(axis="x", visible=False)
    _legend(figure, [axes], 4)
    return figure


def _of(frame: pd.DataFrame, settings: Sequence[Setting]) -> pd.DataFrame:
    names = list(asdict(settings[0]))
    wanted = {tuple(asdict(s).values()) for s in settings}
    return frame[[row in wanted for row in frame[names].itertuples(index=False, name=None)]]


def _legend(figure: Figure, axes: Sequence[Any], columns: int) -> None:
    shown = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=columns, frameon=False)


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
