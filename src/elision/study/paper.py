"""The paper's tables and figures: every number it prints, and the settings that each takes.

F. Ma, X. Xu, S.-L. Huang, L. Zhang, "Maximum Likelihood Estimation for Multimodal Learning with Missing Modality",
arXiv 2108.10513 (2021). Seeds, data and training are not part of a setting: they belong to a run of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from elision.registries import METHODS
from elision.study.run import END_TO_END, Run, Training

MISSING = ("visual", "audio")
"""Which modality is missing, in the order of the tables' columns."""
GIVEN = "given"
"""The extractor of data that holds features already."""
SEEDS = 5
"""The paper's runs per setting."""
JOINT = "joint"


def setting(table: str, method: str, objective: str, fusion: str, extractor: str, missing: str, rate: float) -> Run:
    """Return the run of one cell of a table, its data, split, seed and training still open.

    Args:
        table: "table1" or "table2".
        method: a name in `METHODS`.
        objective: "conditional" is the paper's; "joint" is ours, beyond it.
        fusion: a name in `FUSIONS`.
        extractor: the frozen network whose features are trained on, or "end-to-end".
        missing: "visual" or "audio", of the training samples.
        rate: share of the training samples that lack it, in (0, 1).
    """
    return Run(
        "", "", "", False, method, fusion, objective, Training(), missing, rate, 0, table=table, extractor=extractor
    )


@dataclass(frozen=True)
class Table:
    """A table as the paper prints it.

    Args:
        name: "table1" or "table2".
        data: the paper's data set.
        layout: how its clips are named, and those of its stand-in.
        heading: over the blocks of columns: what differs between them.
        blocks: fusion (Table 1) or extractor (Table 2) -> its heading.
        rates: of each half of a block, the visual modality missing and then the audio.
        accuracy: method -> block -> published accuracies in per cent, in the order of `columns`; a row that the paper
            does not have needs none.
    """

    name: str
    data: str
    layout: str
    heading: str
    blocks: Mapping[str, str]
    rates: tuple[float, ...]
    accuracy: Mapping[str, Mapping[str, tuple[float, ...]]]

    @property
    def columns(self) -> list[tuple[str, float]]:
        """Return (missing, rate) of the six columns of each block."""
        return [(missing, rate) for missing in MISSING for rate in self.rates]

    @property
    def methods(self) -> list[str]:
        """Return the methods of its rows that have the paper's objective."""
        return [m for (m, objective), row in ROWS.items() if objective != JOINT and self.name in row.tables]


@dataclass(frozen=True)
class PaperRow:
    """A row of a table.

    Args:
        title: what it is called.
        tables: names of the tables that it stands in.
        colour: of its lines and bars in the figures.
    """

    title: str
    tables: tuple[str, ...]
    colour: str


ROWS: dict[tuple[str, str], PaperRow] = {
    ("lower-bound", "conditional"): PaperRow("lower bound", ("table1",), "#8d6a4f"),
    ("hgr", "conditional"): PaperRow("HGR", ("table1",), "#edae49"),
    ("zero-padding", "conditional"): PaperRow("zero padding", ("table1",), "#d1495b"),
    ("ae1", "conditional"): PaperRow("AE1", ("table2",), "#edae49"),
    ("ae2", "conditional"): PaperRow("AE2", ("table2",), "#d1495b"),
    ("mle", "conditional"): PaperRow("ours", ("table1", "table2"), "#0b6e99"),
    ("mle", JOINT): PaperRow("joint (not in the paper)", ("table1", "table2"), "#66a182"),
}
"""(method, objective) -> its row, in the order of the rows. A new one takes an entry here: its runs, and its places in
the tables, the figures and the report follow."""

TABLE1 = Table(
    "table1",
    "eNTERFACE'05",
    "enterface05",
    "fusion",
    {"addition": "+", "concatenation": "concat", "outer-product": "outer"},
    (0.8, 0.9, 0.95),
    {
        "lower-bound": {
            "addition": (46.91, 35.26, 26.39, 50.93, 35.26, 27.53),
            "concatenation": (46.49, 36.39, 27.11, 46.29, 33.71, 27.84),
            "outer-product": (42.78, 37.53, 26.91, 48.14, 34.95, 28.56),
        },
        "hgr": {
            "addition": (58.97, 59.69, 41.34, 77.32, 74.12, 54.95),
            "concatenation": (63.51, 57.84, 41.34, 79.18, 75.67, 57.42),
            "outer-product": (64.64, 59.69, 49.90, 77.94, 76.29, 55.46),
        },
        "zero-padding": {
            "addition": (69.07, 67.84, 58.66, 80.41, 78.35, 76.49),
            "concatenation": (68.76, 67.11, 60.21, 80.93, 78.25, 76.70),
        },
        "mle": {
            "addition": (72.37, 71.65, 66.29, 81.24, 80.31, 79.38),
            "concatenation": (72.27, 70.82, 64.74, 81.24, 80.21, 79.79),
            "outer-product": (72.06, 71.13, 66.08, 81.65, 81.03, 80.31),
        },
    },
)
"""Table 1, eNTERFACE'05, ResNet-50 trained end to end."""

TABLE2 = Table(
    "table2",
    "RAVDESS",
    "ravdess",
    "extractor",
    {"vgg16": "VGG-16", "resnet34": "ResNet-34", "resnet50": "ResNet-50"},
    (0.5, 0.8, 0.9),
    {
        "ae1": {
            "vgg16": (62.66, 57.92, 48.67, 69.48, 68.67, 66.59),
            "resnet34": (60.92, 53.64, 47.17, 67.40, 62.66, 62.43),
            "resnet50": (67.05, 60.12, 54.45, 72.60, 70.40, 68.32),
        },
        "ae2": {
            "vgg16": (66.24, 58.15, 48.90, 70.64, 69.48, 66.59),
            "resnet34": (62.31, 54.10, 49.60, 68.67, 63.47, 62.77),
            "resnet50": (69.13, 61.16, 50.64, 73.76, 70.06, 66.94),
        },
        "mle": {
            "vgg16": (78.84, 61.16, 49.71, 91.45, 89.36, 87.51),
            "resnet34": (80.46, 64.62, 52.37, 92.14, 90.06, 86.59),
            "resnet50": (84.05, 68.90, 57.11, 91.91, 89.48, 88.79),
        },
    },
)
"""Table 2, RAVDESS, frozen pretrained extractors."""

TABLES = {table.name: table for table in (TABLE1, TABLE2)}
TABLE2_FUSION = "addition"
"""The paper does not say which phi its Table 2 uses."""


def table1() -> list[Run]:
    """List the settings of Table 1, 66 in the paper: every row under every fusion that its method can use."""
    return [
        setting("table1", method, "conditional", fusion, END_TO_END, missing, rate)
        for fusion in TABLE1.blocks
        for missing, rate in TABLE1.columns
        for method in TABLE1.methods
        if fusion not in METHODS[method].claims.refusals
    ]


def table2(extractors: Sequence[str] = tuple(TABLE2.blocks)) -> list[Run]:
    """List the settings of Table 2, 54 in the paper, or those of other ``extractors``."""
    return [
        setting("table2", method, "conditional", TABLE2_FUSION, extractor, missing, rate)
        for extractor in extractors
        for missing, rate in TABLE2.columns
        for method in TABLE2.methods
    ]


def in_figure4(run: Run) -> bool:
    """Return whether a run is zero padding or ours on missing audio, under a fusion that zero padding can use."""
    drawn = run.method in ("zero-padding", "mle") and run.fusion != "outer-product"
    return run.table == "table1" and run.missing == "audio" and drawn


def in_figure5(run: Run) -> bool:
    """Return whether a run gives one of the confusion matrices: addition, visual missing 95 %."""
    cell = run.fusion, run.missing, run.rate, run.objective
    return run.table == "table1" and cell == ("addition", "visual", 0.95, "conditional")


def in_figure6(run: Run) -> bool:
    """Return whether a run of Table 2 has audio missing 50 %, whatever its extractor."""
    return run.table == "table2" and run.missing == "audio" and run.rate == 0.5


EXPERIMENTS: dict[str, Callable[[], list[Run]]] = {
    "table1": table1,
    "table2": table2,
    "figure4": lambda: list(filter(in_figure4, table1())),
    "figure5": lambda: list(filter(in_figure5, table1())),
    "figure6": lambda: list(filter(in_figure6, table2())),
    "all": lambda: table1() + table2(),
}
"""name -> the settings it takes; the figures draw on those of the tables."""


def beyond(settings: Sequence[Run]) -> list[Run]:
    """Return the same with the joint objective, which the paper does not have, where the method has such a row."""
    return [replace(s, objective=JOINT) for s in settings if (s.method, JOINT) in ROWS]


def published(run: Run, block: str = "") -> float | None:
    """Return the paper's accuracy in per cent, or None where it has none.

    Args:
        run: of any data.
        block: the block to look into instead of the run's own.

    Example:
        >>> published(setting("table1", "mle", "conditional", "addition", "end-to-end", "visual", 0.8))
        72.37
    """
    table = TABLES.get(run.table)
    if table is None or run.objective == JOINT:
        return None
    values = table.accuracy.get(run.method, {}).get(block or run.block)
    column = run.missing, run.rate
    return values[table.columns.index(column)] if values and column in table.columns else None
