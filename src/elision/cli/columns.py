"""The options that tell which column of a table is what, and how it is written: the same for every verb."""

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from elision.cli.app import Many
from elision.data.formats import parse_modalities

_Name = str | None


def _told(text: str, **more: Any) -> Parameter:
    return Parameter(help=f"{text} Tables only.", show_default=False, **more)


@dataclass(frozen=True)
class _RoleFlags:
    """Options of `TableFormat` that tell which column is what."""

    label: Annotated[_Name, _told("Column of each sample's class; blank is no label. [default: label]")] = None
    id: Annotated[_Name, _told("Column that names each sample. [default: id, if there is one]")] = None
    group: Annotated[_Name, _told("Column of what a split keeps together. [default: group, if there is one]")] = None
    split_column: Annotated[
        _Name, _told("Column of each sample's part: train, val or test. [default: split, if there is one]")
    ] = None
    sample_weight: Annotated[
        _Name, _told("Column of how many samples each one counts as in training, 0 or more. [default: each as one]")
    ] = None
    modality: Annotated[
        Many,
        _told(
            "MODALITY=COLUMN,COLUMN for each, such as labs=crp,ldh gait='gait_*'. [default: those of columns named "
            "modality.feature]"
        ),
    ] = None
    category: Annotated[Many, _told("Columns of codes that are categories; texts are so anyhow.")] = None
    ignore: Annotated[Many, _told("Columns that are left out without a word.")] = None


@dataclass(frozen=True)
class DialectFlags:
    """Options of `TableFormat` that tell how a table is written, each None where it is not given."""

    separator: Annotated[
        _Name, _told("Between cells: a sign, or tab. [default: comma, semicolon, tab or bar, as detected]")
    ] = None
    decimal: Annotated[_Name, _told("Point or comma in numbers, . or ,. [default: as detected]")] = None
    encoding: Annotated[_Name, _told("Of the text, such as cp1252. [default: UTF-8 or UTF-16, as detected]")] = None
    na: Annotated[
        list[str] | None,
        _told("What means missing beside blank, nan, NaN, NA and null, such as -; may be repeated.",
              allow_leading_hyphen=True, negative=""),
    ] = None  # fmt: skip

    @property
    def flag(self) -> str:
        """Return the first flag that is given; "" if none is."""
        return next((f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None), "")

    @property
    def reading(self) -> dict[str, Any]:
        """Return the fields of `TableFormat` that were given."""
        names = {
            "split_column": "split", "sample_weight": "weight", "modality": "modalities", "category": "categories"
        }  # fmt: skip
        given = {names.get(name, name): value for name, value in vars(self).items() if value is not None}
        if "modalities" in given:
            given["modalities"] = parse_modalities(given["modalities"])
        return given


@dataclass(frozen=True)
class TableFlags(DialectFlags, _RoleFlags):
    """Options of `TableFormat`, each None where it is not given."""


NOTHING_GIVEN = TableFlags()
NO_DIALECT = DialectFlags()
