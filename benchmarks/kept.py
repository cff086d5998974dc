"""Finished pieces of a long benchmark, kept as JSON, so that one that was stopped goes on."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elision.files import write_atomically


def once(file: Path, compute: Callable[[], Any]) -> Any:
    """Return what a file holds; it is computed and written if it is not there."""
    if not file.is_file():
        write_atomically(file, json.dumps(compute()))
        print(f"{file.stem}: done", flush=True)
    return json.loads(file.read_text())


def options(description: str | None, seeds: int, data: list[str]) -> argparse.Namespace:
    """Read a benchmark's command line: ``source``, ``out`` (made), ``seeds`` and ``data``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--data", nargs="+", default=data)
    found = parser.parse_args()
    found.out.mkdir(parents=True, exist_ok=True)
    return found


def by_seed(
    one: Callable[[str, Path, int], dict], show: Callable[[dict[str, list[dict]]], None], description: str | None
) -> None:
    """Compute every data set and seed that is not kept yet, and show data set -> results."""
    given = options(description, 5, ["digits", "mfeat", "ravdess"])
    found: dict[str, list[dict]] = {name: [] for name in given.data}
    for seed in range(given.seeds):
        for name in given.data:
            kept = once(given.out / f"{name}-{seed}.json", lambda name=name, seed=seed: one(name, given.source, seed))
            found[name].append(kept)
    show(found)
