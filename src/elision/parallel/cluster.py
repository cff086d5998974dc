"""Tasks on a Ray cluster."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from elision.errors import InputError
from elision.parallel.tasks import TICK, Done, Failure, Placing, Reply, carry_out, failure

_RETRIES = 2  # of a task whose worker or node died


def on_ray(tasks: deque, function: Callable, placing: Placing, tell: Callable) -> Iterator[Done]:
    """Do tasks on a Ray cluster, see `work_through`; Ray itself tries the task of a dead worker or node twice more."""
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
                yield _reply(ray, reference).of(under_way.pop(reference))
        tell(())
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _reply(ray: Any, reference: Any) -> Reply:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # of what surrounds the function: a result that cannot be sent
        return Reply(failure=failure(error.cause))
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        return Reply(failure=Failure(f"{type(error).__name__}: {first}", str(error), died=True))


def _cluster(placing: Placing) -> tuple[Any, bool]:
    """Return Ray, connected, and whether this call connected it."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("the engine 'ray' needs Ray: pip install 'elision[ray]'") from error
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS") or "local"
        options = {"num_cpus": placing.workers, "include_dashboard": False} if address == "local" else {}
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    if ray.cluster_resources().get("GPU", 0) < placing.gpus:
        if ours:
            ray.shutdown()
        raise InputError(f"gpus is {placing.gpus}: the Ray cluster has none; start Ray with GPUs, or use gpus 0")
    return ray, ours
