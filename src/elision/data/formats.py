"""How a table is written, and which of its columns is what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from elision.errors import InputError

TEXT_ENDINGS = (".csv", ".tsv")
TABLE_ENDINGS = (*TEXT_ENDINGS, ".parquet", ".feather", ".xlsx")
"""How the name of a table ends."""
ROLES = ("label", "id", "group", "split")
DIALECT = ("separator", "decimal", "encoding", "na")


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


@dataclass(frozen=True)
class TableFormat:
    """Say which column of a table is what, and what is not to be detected of how it is written.

    Columns are named as in the header; a * in a name stands for any letters. A column without a role is left out.

    Args:
        label: column of each sample's class; blank is no label.
        id: column that names each sample, if there is one.
        group: column of what a split keeps together, if there is one.
        split: column of each sample's part, train, val or test, if there is one.
        weight: column of how many samples each one counts as in training, 0 or more; "" counts each as one.
        modalities: modality -> its columns; {} takes those that are named modality.feature.
        categories: columns of codes that are categories, not numbers; texts are categories anyhow.
        ignore: columns that are left out without a word.
        separator: between cells; None detects a comma, semicolon or tab.
        decimal: "." or ","; None detects it.
        encoding: of the text, by Python's name; None detects UTF-8 and UTF-16.
        na: what means missing beside blank, nan, NaN, NA and null, such as "-"; in columns of labels and ids too.
    """

    label: str = "label"
    id: str = "id"
    group: str = "group"
    split: str = "split"
    weight: str = ""
    modalities: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    categories: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    na: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("categories", "ignore", "na"):
            object.__setattr__(self, name, _several(getattr(self, name)))
        object.__setattr__(self, "modalities", {m: _several(columns) for m, columns in self.modalities.items()})
        object.__setattr__(self, "separator", {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator))
        if self.separator is not None and len(self.separator) != 1:
            raise InputError(f"separator is {self.separator!r}: expected one sign, such as ';', or tab")
        if self.decimal not in (None, ".", ","):
            raise InputError(f"decimal is {self.decimal!r}: expected . or ,")
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError as error:
            raise InputError(f"encoding is {self.encoding!r}: expected one of Python's, such as cp1252") from error
        if len(set(self.named.values())) < len(self.named):
            raise InputError(f"one column has two roles among {', '.join(f'{r} {c!r}' for r, c in self.named.items())}")

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    def roles(self) -> dict[str, str]:
        """Return role -> the column that has it: label, id, group and split."""
        return {role: getattr(self, role) for role in ROLES}

    @property
    def named(self) -> dict[str, str]:
        """Return role -> the column that has it, the weight's too if there is one."""
        return self.roles | ({"weight": self.weight} if self.weight else {})

    @classmethod
    def of(cls, values: "Mapping[str, Any] | TableFormat", where: str = "the config") -> "TableFormat":
        """Make a format of plain values, such as the section ``data`` of a config; what is not given is detected."""
        return values if isinstance(values, TableFormat) else cls().changed(values, where)

    def changed(self, values: Mapping[str, Any], where: str = "the options") -> "TableFormat":
        """Return the format with some values replaced."""
        names = [f.name for f in fields(self)]
        if not isinstance(values, Mapping) or set(values) - set(names):
            raise InputError(f"{where}: data is {values!r}: expected some of {', '.join(names)}")
        return replace(self, **values)


DETECTED = TableFormat()
"""Columns by their usual names, and all else as it is found."""


def parse_modalities(pairs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return modality -> columns of ``labs=crp,ldh``.

    Example:
        >>> parse_modalities(["labs=crp,ldh", "gait=gait_*"])
        {'labs': ('crp', 'ldh'), 'gait': ('gait_*',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        modality, equals, columns = pair.partition("=")
        names = tuple(name.strip() for name in columns.split(",") if name.strip())
        if not (modality and equals and names):
            raise InputError(f"--modality {pair}: expected NAME=COLUMN,COLUMN, such as labs=crp,ldh or gait='gait_*'")
        found[modality] = found.get(modality, ()) + names
    return found


def matches(column: str, patterns: Sequence[str]) -> bool:
    """Return whether a column is one of those named; a * stands for any letters."""
    return any(column == pattern or fnmatchcase(column, pattern) for pattern in patterns)
