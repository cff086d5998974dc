"""Corrections of a store's labels, groups and split, without a new preparation of its recordings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elision.data.formats import DETECTED, TableFormat
from elision.data.schema import Shard, shard_name, write_manifest
from elision.data.shards import with_text
from elision.data.splits import PARTS
from elision.data.store import Store
from elision.data.tables import parse_text, read_table
from elision.errors import InputError, quoted
from elision.files import Address, delete, join, sha256_of, write_atomically

CORRECTED = ("label", "group", "split")


@dataclass(frozen=True)
class Relabelled:
    """Tell what was corrected.

    Args:
        changed: "label", "group" or "split" -> how many samples have another one now.
        labels: label -> how many samples have it now, "" among them.
    """

    changed: Mapping[str, int]
    labels: Mapping[str, int]


def relabel(address: Address, table: Path, form: TableFormat = DETECTED) -> Relabelled:
    """Correct the labels, groups or split of some samples of a store, named by their ids; the others stay.

    Files of the store that hold none of these samples are not touched. New files appear beside the old ones, which go
    once manifest.json lists the new: an interruption leaves the store as it was.

    Args:
        address: of the store.
        table: with a column ``id``, and ``label``, ``group`` or ``split``, or as ``form`` names them; blank means none.
        form: how the table is written.

    Raises:
        InputError: the table names samples that the store lacks, or leaves groups or a split for some samples alone.
            Nothing is changed then.
    """
    store = Store(address)
    new = _corrections(store, table, form)
    old = {name: {"label": store.labels, "group": store.groups, "split": store.parts}[name] for name in new}
    ids, corrected, changed = store.ids.tolist(), {}, {}
    for name, values in new.items():
        before = [""] * len(ids) if old[name] is None else old[name].tolist()
        corrected[name] = [values.get(i, was) for i, was in zip(ids, before, strict=True)]
        changed[name] = sum(now != was for now, was in zip(corrected[name], before, strict=True))
        blank = [i for i, value in zip(ids, corrected[name], strict=True) if not value]
        if name != "label" and 0 < len(blank) < len(ids):
            told = f"{len(blank)} samples without a {name}, such as {blank[0]!r}"
            raise InputError(f"{table} leaves {told}: give all one; nothing was changed")
    shards, first = [], 0
    for number, shard in enumerate(store.info.shards):
        text = {name: values[first : first + shard.samples] for name, values in corrected.items()}
        shards.append(_corrected(store, number, shard, text))
        first += shard.samples
    info = replace(store.info, shards=tuple(shards))
    write_manifest(store.address, info)
    for shard in {s.file for s in store.info.shards} - {s.file for s in shards}:
        delete(join(store.address, shard))
    return Relabelled(changed, {"": info.counts["unlabelled"]} | info.counts["labels"])


def _corrections(store: Store, path: Path, form: TableFormat) -> dict[str, dict[str, str]]:
    """Return "label", "group" or "split" -> id -> what it is to be."""
    table = read_table(path, form.roles.values(), "a table of corrections", form)
    given = [name for name in CORRECTED if form.roles[name] in table]
    if form.id not in table or not given:
        wanted = " or ".join(repr(form.roles[name]) for name in CORRECTED)
        raise InputError(f"{path} has {quoted(table.columns)}: expected a column {form.id!r}, and {wanted}")
    held = dict(table.items())
    ids = parse_text(held[form.id]).tolist()
    twice = [name for name, count in Counter(ids).items() if count > 1]
    unknown = sorted(set(ids) - set(store.ids.tolist()))
    if twice or unknown:
        lacks = f"samples that {store.address} lacks: {quoted(unknown)}"
        why = f"more than one row for {quoted(twice)}" if twice else lacks
        raise InputError(f"{path} has {why}; nothing was changed")
    new = {name: dict(zip(ids, parse_text(held[form.roles[name]]).tolist(), strict=True)) for name in given}
    for name, part in new.get("split", {}).items():
        if part not in (*PARTS, ""):
            raise InputError(f"{path}, sample {name!r}: split {part!r} is not one of {', '.join(PARTS)}")
    return new


def _corrected(store: Store, number: int, shard: Shard, text: Mapping[str, Sequence[str]]) -> Shard:
    """Write a shard with new columns of text under a name of its own, unless they are what it has."""
    batch = store.shard_batch(number)
    if all(batch.column(name).to_pylist() == list(values) for name, values in text.items()):
        return shard
    content = with_text(batch, text)
    digest = sha256_of(content)
    file = shard_name(number).replace(".arrow", f"-{digest[:8]}.arrow")
    write_atomically(join(store.address, file), content)
    labels = dict(sorted(Counter(text.get("label", batch.column("label").to_pylist())).items()))
    return replace(shard, file=file, bytes=len(content), sha256=digest, labels=labels)
