"""`elision relabel`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elision.cli.columns import NOTHING_GIVEN, TableFlags
from elision.cli.tables import AsJson, Quiet, Screen


def relabel(
    store: str,
    corrections: Path,
    *,
    table: Annotated[TableFlags, Parameter(name="*")] = NOTHING_GIVEN,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Correct labels, groups or the split of a prepared data set; its recordings are not prepared again.

    Samples that the table does not name stay as they are. Runs that were trained on the old labels notice.

    Parameters
    ----------
    store
        A store that `elision prepare` made: a folder, or an address such as s3://bucket/store.
    corrections
        A table with a column id, and label, group or split: what each of these samples is to have; blank is none.
    """
    from elision.data.formats import TableFormat
    from elision.data.relabel import relabel as correct

    told, screen = correct(store, corrections, TableFormat.of(table.reading)), Screen(as_json, quiet)
    for name, count in told.changed.items():
        screen.say(f"{name} changed for {count} samples")
    screen.say("labels: " + ", ".join(f"{label or 'none'} {count}" for label, count in told.labels.items()))
    screen.give({"store": store, "changed": dict(told.changed), "labels": dict(told.labels)})
