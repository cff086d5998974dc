"""The paper's tables with our numbers beside its own, as TeX."""

from collections.abc import Sequence

import numpy as np

from elision.study.paper_tables import Filled
from elision.study.tables import Cell


def tex(tables: Sequence[Filled], split: str, warning: str) -> str:
    """Return ``tables.tex`` of one split: a ``tabular`` per table; it needs the package booktabs."""
    parts = [f"% {warning}"] if warning else []
    for filled in tables:
        parts.append(f"% {filled.title}, {split}")
        lines = [r"\begin{tabular}{l" + "r" * len(filled.table.columns) + "}", r"\toprule"]
        heads = [rf"{missing} {rate:.0%}".replace("%", r"\,\%") for missing, rate in filled.table.columns]
        lines.append(" & ".join(["method", *heads]) + r" \\")
        for grid in filled.blocks.values():
            lines += [r"\midrule", rf"\multicolumn{{{len(heads) + 1}}}{{l}}{{{_escaped(grid.title)}}} \\"]
            lines += [" & ".join([title, *map(_cell, cells)]) + r" \\" for (title,), cells in grid.rows.items()]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    return "\n\n".join(parts) + "\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mean = rf"\mathbf{{{cell.mean:.1f}}}" if cell.best else f"{cell.mean:.1f}"
    spread = "" if np.isnan(cell.deviation) else rf" \pm {cell.deviation:.1f}"
    return f"${mean}{spread}$" + ("" if cell.paper is None else f" [{cell.paper:.2f}]")


def _escaped(text: str) -> str:
    return "".join("\\" + c if c in "&%$#_{}" else c for c in text)
