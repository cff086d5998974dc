"""Mutated recordings, read one after the other in a child process with limits of time and memory.

A child says which recording it is at and how it went; where it dies or says nothing for too long, that recording is
noted and another child goes on after it.
"""

import multiprocessing
import resource
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Outcome:
    """What became of the mutants.

    Args:
        counts: "used", "refused" (`MediaError`), or an exception's name, "killed by signal N", "no answer".
        reasons: of those refused, by kind.
        faults: number -> what went wrong with it.
        peak: MB of memory that a mutant took at most beyond what the process had, and its number.
        longest: seconds that a mutant took at most, and its number.
    """

    counts: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    peak: tuple[float, int] = (0.0, -1)
    longest: tuple[float, int] = (0.0, -1)


def mutate(original: bytes, number: int) -> bytes:
    """One to four mutations of one kind each; the same for the same number."""
    random = np.random.default_rng(number)
    data = bytearray(original)
    for _ in range(random.integers(1, 5)):
        kind = random.choice(list(_KINDS))
        data = bytearray(_KINDS[kind](data, random))
    return bytes(data)


def _place(data: bytearray, random: np.random.Generator) -> int:
    """Anywhere, but every other time near the beginning or the end, where headers are."""
    size = max(len(data), 1)
    near = min(4096, size)
    return int(random.choice([random.integers(size), random.integers(near), size - 1 - random.integers(near), 0]))


def _flip(data: bytearray, random: np.random.Generator) -> bytearray:
    for _ in range(random.integers(1, 30)):
        if data:
            data[_place(data, random)] ^= 1 << int(random.integers(8))
    return data


def _extreme(data: bytearray, random: np.random.Generator) -> bytearray:
    """A number set to one that overflows or is absurd."""
    at, width = _place(data, random), int(random.choice([1, 2, 4, 8]))
    worst = [b"\xff" * width, bytes(width), b"\x7f" + b"\xff" * (width - 1), b"\x80" + bytes(width - 1)]
    value = worst[random.integers(len(worst))]
    data[at : at + width] = value if random.integers(2) else value[::-1]
    return data


def _noise(data: bytearray, random: np.random.Generator) -> bytearray:
    at, width = _place(data, random), int(2 ** random.uniform(1, 12))
    data[at : at + width] = random.integers(0, 256, width, dtype=np.uint8).tobytes()
    return data


def _zero(data: bytearray, random: np.random.Generator) -> bytearray:
    at, width = _place(data, random), int(2 ** random.uniform(1, 14))
    data[at : at + width] = bytes(width)
    return data


def _cut(data: bytearray, random: np.random.Generator) -> bytearray:
    return data[: random.integers(len(data) + 1)]


def _remove(data: bytearray, random: np.random.Generator) -> bytearray:
    at = _place(data, random)
    del data[at : at + int(2 ** random.uniform(0, 12))]
    return data


def _repeat(data: bytearray, random: np.random.Generator) -> bytearray:
    at, width = _place(data, random), int(2 ** random.uniform(0, 12))
    piece = data[at : at + width] * int(random.integers(1, 4))
    into = _place(data, random)
    return data[:into] + piece + data[into:]


_KINDS = {f.__name__: f for f in (_flip, _extreme, _noise, _zero, _cut, _remove, _repeat)}


def fuzz(
    originals: Mapping[str, bytes], numbers: range, folder: Path, seconds: float = 20.0, megabytes: int = 1500
) -> Outcome:
    """Read mutants of recordings, name -> content.

    Args:
        originals: the mutants' models, taken in turns.
        numbers: of the mutants.
        folder: where they are written, and where those that go wrong stay.
        seconds: that one may take.
        megabytes: of address space that the child may take beyond what it has after its imports.
    """
    outcome, todo = Outcome(), list(numbers)
    context = multiprocessing.get_context("spawn")
    while todo:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_read_all, args=(originals, todo, folder, megabytes, theirs), daemon=True)
        child.start()
        theirs.close()
        todo = _follow(child, ours, todo, seconds, outcome)
    return outcome


def _follow(child, connection, todo: list[int], seconds: float, outcome: Outcome) -> list[int]:
    """Take down what a child says; the numbers that it leaves to another."""
    waited = 120.0  # for its imports
    try:
        for at, number in enumerate(todo):
            if not connection.poll(waited):
                _note(outcome, number, "no answer")
                return todo[at + 1 :]
            status, reason, memory, duration = connection.recv()
            waited = seconds
            if status in ("used", "refused"):
                outcome.counts[status] += 1
                outcome.reasons[reason] += status == "refused"
            else:
                _note(outcome, number, f"{status}: {reason}")
            outcome.peak = max(outcome.peak, (memory, number))
            outcome.longest = max(outcome.longest, (duration, number))
        return []
    except EOFError:
        child.join(10)
        _note(outcome, number, f"killed by signal {-(child.exitcode or 0)}")
        return todo[at + 1 :]
    finally:
        child.kill()
        child.join()


def _note(outcome: Outcome, number: int, fault: str) -> None:
    outcome.counts[fault.partition(":")[0]] += 1
    outcome.faults[number] = fault


def _read_all(originals, numbers, folder: Path, megabytes: int, connection) -> None:
    import time

    import torch

    from elision.media.extract import MediaError, MediaSettings, extract_media

    torch.set_num_threads(1)
    settings = MediaSettings(windows=6, size=64)
    limit = _status("VmSize") + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names = sorted(originals)
    for number in numbers:
        name = names[number % len(names)]
        path = folder / f"{number}-{name}"
        path.write_bytes(mutate(originals[name], number))
        sources = {"image": path} if name.endswith(("jpg", "png", "webp", "tiff")) else {"visual": path, "audio": path}
        Path("/proc/self/clear_refs").write_text("5")
        before, began = _status("VmRSS"), time.monotonic()
        status, reason = "used", ""
        try:
            extract_media(sources, None, None, settings, "key")
        except MediaError as error:
            status, reason = "refused", " ".join(str(error.reason).split()[:4])
        except BaseException as error:
            status, reason = type(error).__name__, str(error)
        if status in ("used", "refused"):
            path.unlink()
        connection.send((status, reason, (_status("VmHWM") - before) / 2**20, time.monotonic() - began))


def _status(name: str) -> int:
    """Of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
