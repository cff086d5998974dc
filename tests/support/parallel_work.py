"""Functions that worker processes can import, for tests of what survives them."""

import errno
import os
import sys
import threading
import time
from pathlib import Path


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__(threading.Lock())


class UnreadableTask:
    def __reduce__(self):
        return (int, ("no number",))


def square(x: int) -> int:
    return x * x


def threads(_: int) -> int:
    import torch

    return torch.get_num_threads()


def process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def device(_: int) -> str:
    time.sleep(0.1)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def misbehave(task: str) -> str:
    if task == "raise":
        raise Unpicklable
    if task == "exit":
        sys.exit("goodbye")
    if task == "unpicklable":
        return threading.Lock()
    return task


def disk(x: int) -> int:
    if x == 1:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/where")
    return x


def die(task: tuple[str, int]) -> int:
    """Each try leaves a mark in the folder; the odd die: 1 the first time, 3 always (in native code)."""
    folder, x = task
    with (Path(folder) / str(x)).open("a") as marks:
        marks.write(f"{os.getpid()} ")
    tries = len((Path(folder) / str(x)).read_text().split())
    if x == 3 or (x == 1 and tries == 1):
        os.abort()
    return x


def hold(task: tuple[str, int]) -> int:
    """Says who works on it, then takes its time."""
    folder, x = task
    (Path(folder) / f"{x}-{os.getpid()}").touch()
    time.sleep(2.5 if x == 0 else 0)
    return x


def die_beside(task: tuple[str, int]) -> int:
    """Task 0 dies the first time, once task 1 has begun, which takes its time; each leaves a mark as it begins."""
    folder, x = task
    first = not (Path(folder) / str(x)).exists()
    (Path(folder) / str(x)).touch()
    if x == 0 and first:
        while not (Path(folder) / "1").exists():
            time.sleep(0.01)
        os.abort()
    time.sleep(1.5 if x == 1 else 0.2)
    return x


def linger(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)
