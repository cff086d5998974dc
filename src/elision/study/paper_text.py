"""The paper's tables with our numbers beside its own, as Markdown and TeX."""

from collections.abc import Sequence

import numpy as np

from elision.study.paper import SEEDS
from elision.study.paper_tables import Cell, Filled, Panel
from elision.study.tables import counts, row


def markdown(tables: Sequence[Filled], split: str, warning: str) -> str:
    """``tables.md`` of one split."""
    parts = [f"# {split[0].upper()}{split[1:]}", *([warning] if warning else [])]
    for filled in tables:
        parts.append(f"## {title_of(filled)}")
        parts += [_panel_markdown(panel) for panel in filled.panels]
    return "\n\n".join(parts) + "\n"


def title_of(filled: Filled) -> str:
    """Such as ``Table 1 on ravdess (partial: 12 of 66 settings, 1 of 5 runs each)``."""
    few, most = filled.seeds
    settings = "" if filled.done == filled.settings else f"{filled.done} of {filled.settings} settings, "
    runs = f"{few}" if few == most else f"{few} to {most}"
    left = f" (partial: {settings}{runs} of {SEEDS} runs each)"
    return f"Table {filled.table.name[-1]} on {', '.join(filled.data)}{left if filled.is_partial else ''}"


def _panel_markdown(panel: Panel) -> str:
    heads = ["method", *(f"{missing} {rate:.0%}" for missing, rate in panel.columns), "n"]
    lines = [f"{panel.title}, accuracy in %, modality missing; ours ± deviation [paper, difference]", ""]
    lines += [row(heads), row(["---"] * len(heads))]
    lines += [
        row([title, *(_cell_markdown(c, panel) for c in cells), counts(cells)]) for title, cells in panel.rows.items()
    ]
    lines.append(row(["Kendall's tau", *("" if t is None else f"{t:.2f}" for t in panel.agreement), ""]))
    return "\n".join(lines)


def _cell_markdown(cell: Cell | None, panel: Panel) -> str:
    if cell is None:
        return "not run"
    ours = f"**{cell.text}**" if cell.best else cell.text
    if cell.paper is None:
        return ours
    return f"{ours} [{cell.paper:.2f}{', ' + cell.difference if panel.compared else ''}]"


def tex(tables: Sequence[Filled], split: str, warning: str) -> str:
    """``tables.tex`` of one split: a ``tabular`` per table; needs the package booktabs."""
    parts = [f"% {warning}"] if warning else []
    for filled in tables:
        parts.append(f"% {title_of(filled)}, {split}")
        lines = [r"\begin{tabular}{l" + "r" * len(filled.table.columns) + "}", r"\toprule"]
        heads = [rf"{missing} {rate:.0%}".replace("%", r"\,\%") for missing, rate in filled.table.columns]
        lines.append(" & ".join(["method", *heads]) + r" \\")
        for panel in filled.panels:
            lines += [r"\midrule", rf"\multicolumn{{{len(heads) + 1}}}{{l}}{{{_escaped(panel.title)}}} \\"]
            lines += [" & ".join([title, *map(_cell_tex, cells)]) + r" \\" for title, cells in panel.rows.items()]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    return "\n\n".join(parts) + "\n"


def _cell_tex(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mean = rf"\mathbf{{{cell.mean:.1f}}}" if cell.best else f"{cell.mean:.1f}"
    spread = "" if np.isnan(cell.deviation) else rf" \pm {cell.deviation:.1f}"
    return f"${mean}{spread}$" + ("" if cell.paper is None else f" [{cell.paper:.2f}]")


def _escaped(text: str) -> str:
    return "".join("\\" + c if c in "&%$#_{}" else c for c in text)
