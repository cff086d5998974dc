"""Tasks on a Ray cluster."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from elision.errors import InputError
from elision.parallel.tasks import TICK, Done, Failure, Outcome, Placing, carry_out, failure

_RETRIES = 2  # of a task whose worker or node died


def on_ray(tasks: deque, function: Callable, placing: Placing, tell: Callable) -> Iterator[Done]:
    """As `work_through` says; Ray itself tries the task of a dead worker or node again, twice."""
    ray, ours = _cluster(placing)
    under_way: dict[Any, Any] = {}
    try:
        remote = ray.remote(num_cpus=1, num_gpus=placing.gpus, max_retries=_RETRIES)(carry_out)
        function = ray.put(function)
        while tasks or under_way:
            while tasks and len(under_way) < placing.workers:
                task = tasks.popleft()
                under_way[remote.remote(function, task)] = task
            tell(list(under_way.values()))
            ended, _ = ray.wait(list(under_way), timeout=TICK)
            for reference in ended:
                yield _outcome(ray, reference).of(under_way.pop(reference))
        tell(())
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _outcome(ray: Any, reference: Any) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # of what surrounds the function: a result that cannot be sent
        return Outcome(failure=failure(error.cause))
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        return Outcome(failure=Failure(f"{type(error).__name__}: {first}", str(error), died=True))


def _cluster(placing: Placing) -> tuple[Any, bool]:
    """Ray, connected, and whether it was not before."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("the engine 'ray' needs Ray: pip install 'elision[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS") or "local"
        options = {"num_cpus": placing.workers, "include_dashboard": False} if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level="error", **options)
    if ray.cluster_resources().get("GPU", 0) < placing.gpus:
        if ours:
            ray.shutdown()
        raise InputError(f"gpus is {placing.gpus}: the Ray cluster has none; start Ray with GPUs, or use gpus 0")
    return ray, ours
