"""Finished pieces of a long benchmark, kept as JSON, so that one that was stopped goes on."""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from elision.files import write_atomically


def once(file: Path, compute: Callable[[], Any]) -> Any:
    """Return what a file holds; it is computed and written if it is not there."""
    if not file.is_file():
        write_atomically(file, json.dumps(compute()))
        print(f"{file.stem}: done", flush=True)
    return json.loads(file.read_text())


def results(pieces: Mapping[Path, Callable[[], Any]], workers: int) -> list[Any]:
    """Return what every file holds, in order; those that are not there are computed, several processes at a time."""
    left = {file: compute for file, compute in pieces.items() if not file.is_file()}
    if workers > 1 and left:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            for future in as_completed([pool.submit(once, file, compute) for file, compute in left.items()]):
                future.result()
    return [once(file, compute) for file, compute in pieces.items()]


def options(description: str | None, seeds: int, data: list[str]) -> argparse.Namespace:
    """Read a benchmark's command line: ``source``, ``out`` (made), ``seeds``, ``first``, ``data`` and ``workers``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--first", type=int, default=0, help="seed")
    parser.add_argument("--data", nargs="+", default=data)
    parser.add_argument("--workers", type=int, default=1, help="processes; set OMP_NUM_THREADS=1 with several")
    found = parser.parse_args()
    found.out.mkdir(parents=True, exist_ok=True)
    found.seeds = range(found.first, found.first + found.seeds)
    return found


def by_seed(
    one: Callable[[str, Path, int], dict],
    show: Callable[[dict[str, list[dict]]], None],
    description: str | None,
    data: list[str],
    prefix: str = "",
) -> None:
    """Compute every data set and seed that is not kept yet, in files of that prefix, and show data set -> results."""
    given = options(description, 5, data)
    names = [name for _ in given.seeds for name in given.data]
    seeds = [seed for seed in given.seeds for _ in given.data]
    pieces = {
        given.out / f"{prefix}{name.replace(' ', '-')}-{seed}.json": partial(one, name, given.source, seed)
        for name, seed in zip(names, seeds, strict=True)
    }
    found: dict[str, list[dict]] = {name: [] for name in given.data}
    for name, result in zip(names, results(pieces, given.workers), strict=True):
        found[name].append(result)
    show(found)
