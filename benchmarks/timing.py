"""Paired timing and memory of alternatives, in one process, in turn."""

import platform
import statistics
import time
from collections.abc import Callable

import torch


def compare(alternatives: dict[str, Callable[[], object]], repeats: int = 15) -> dict[str, float]:
    """Median seconds of each, measured in turn (A B A B ...) so that a drift of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for function in alternatives.values():
        function()
    for _ in range(repeats):
        for name, function in alternatives.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_bytes(function: Callable[[], object]) -> int:
    """The most memory that torch tensors held at once during a call, beyond what was there before."""
    function()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        function()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def machine() -> str:
    """For RESULTS.md."""
    return (
        f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
