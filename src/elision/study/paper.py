"""The paper's tables and figures: every number it prints, and the settings that each takes.

F. Ma, X. Xu, S.-L. Huang, L. Zhang, "Maximum Likelihood Estimation for Multimodal Learning with Missing Modality",
arXiv 2108.10513 (2021). Seeds, data and training are not part of a setting: they belong to a run of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from elision.registries import METHODS

END_TO_END = "end-to-end"
MISSING = ("visual", "audio")
"""Which modality is missing, in the order of the tables' columns."""
GIVEN = "given"
"""The extractor of data that holds features already."""
SEEDS = 5
"""The paper's runs per setting."""
JOINT = "joint"


@dataclass(frozen=True)
class Setting:
    """One cell of a table.

    Args:
        table: "table1" or "table2".
        method: a name in `METHODS`.
        objective: "conditional" is the paper's; "joint" is ours, beyond it.
        fusion: a name in `FUSIONS`.
        extractor: the frozen network whose features are trained on, or "end-to-end".
        missing: "visual" or "audio", of the training samples.
        rate: share of the training samples that lack it, in (0, 1).
    """

    table: str
    method: str
    objective: str
    fusion: str
    extractor: str
    missing: str
    rate: float

    @property
    def title(self) -> str:
        """Such as ``table1 mle, addition, visual missing 95%``: what ``--only`` looks into."""
        where = self.fusion if self.extractor == END_TO_END else self.extractor
        beyond = " (joint)" if self.objective == JOINT else ""
        return f"{self.table} {self.method}{beyond}, {where}, {self.missing} missing {self.rate:.0%}"


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
        """(missing, rate) of the six columns of each block."""
        return [(missing, rate) for missing in MISSING for rate in self.rates]

    @property
    def methods(self) -> list[str]:
        """The methods of its rows, of those with the paper's objective."""
        return [m for (m, objective), row in ROWS.items() if objective != JOINT and self.name in row.tables]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        title: what it is called.
        tables: names of the tables that it stands in.
        colour: of its lines and bars in the figures.
    """

    title: str
    tables: tuple[str, ...]
    colour: str


ROWS: dict[tuple[str, str], Row] = {
    ("lower-bound", "conditional"): Row("lower bound", ("table1",), "#8d6a4f"),
    ("hgr", "conditional"): Row("HGR", ("table1",), "#edae49"),
    ("zero-padding", "conditional"): Row("zero padding", ("table1",), "#d1495b"),
    ("ae1", "conditional"): Row("AE1", ("table2",), "#edae49"),
    ("ae2", "conditional"): Row("AE2", ("table2",), "#d1495b"),
    ("mle", "conditional"): Row("ours", ("table1", "table2"), "#0b6e99"),
    ("mle", JOINT): Row("joint (not in the paper)", ("table1", "table2"), "#66a182"),
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


def table1() -> list[Setting]:
    """List the settings of Table 1, 66 in the paper: every row under every fusion that its method can use."""
    return [
        Setting("table1", method, "conditional", fusion, END_TO_END, missing, rate)
        for fusion in TABLE1.blocks
        for missing, rate in TABLE1.columns
        for method in TABLE1.methods
        if fusion not in METHODS[method].claims.refusals
    ]


def table2(extractors: Sequence[str] = tuple(TABLE2.blocks)) -> list[Setting]:
    """List the settings of Table 2, 54 in the paper, or those of other ``extractors``."""
    return [
        Setting("table2", method, "conditional", TABLE2_FUSION, extractor, missing, rate)
        for extractor in extractors
        for missing, rate in TABLE2.columns
        for method in TABLE2.methods
    ]


def figure4() -> list[Setting]:
    """Zero padding and ours against the rate of missing audio, for both fusions that zero padding can use."""
    return [s for s in table1() if _is(s, "audio", ("zero-padding", "mle")) and s.fusion != "outer-product"]


def figure5() -> list[Setting]:
    """Confusion matrices of the four methods under addition, visual missing 95 %."""
    return [s for s in table1() if _is(s, "visual", TABLE1.methods, 0.95) and s.fusion == "addition"]


def figure6() -> list[Setting]:
    """AE1, AE2 and ours per extractor, audio missing 50 %."""
    return [s for s in table2() if _is(s, "audio", TABLE2.methods, 0.5)]


def everything() -> list[Setting]:
    """Both tables; the figures draw on the same settings."""
    return table1() + table2()


EXPERIMENTS: dict[str, Callable[[], list[Setting]]] = {
    "table1": table1,
    "table2": table2,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
    "all": everything,
}
"""name -> the settings it takes."""


def beyond(settings: Sequence[Setting]) -> list[Setting]:
    """The same with the joint objective, which the paper does not have, for each whose method has such a row."""
    return [replace(s, objective=JOINT) for s in settings if (s.method, JOINT) in ROWS]


def published(setting: Setting) -> float | None:
    """The paper's accuracy in per cent, or None where it has none.

    Example:
        >>> published(Setting("table1", "mle", "conditional", "addition", "end-to-end", "visual", 0.8))
        72.37
    """
    table = TABLES[setting.table]
    block = block_of(setting)
    values = table.accuracy.get(setting.method, {}).get(block)
    if setting.objective == JOINT or values is None:
        return None
    return values[table.columns.index((setting.missing, setting.rate))]


def block_of(setting: Setting) -> str:
    """The block of columns that a setting stands in: its fusion in Table 1, its extractor in Table 2."""
    return setting.fusion if setting.extractor == END_TO_END else setting.extractor


def _is(setting: Setting, missing: str, methods: object, rate: float | None = None) -> bool:
    return setting.missing == missing and setting.method in methods and rate in (None, setting.rate)
