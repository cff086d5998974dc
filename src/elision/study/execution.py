"""How a run is carried out: by the way that its training names."""

from collections.abc import Callable

from elision.registries import Registry
from elision.study.results import Result
from elision.study.run import END_TO_END, Run

WAYS: Registry[Callable[[Run], Result]] = Registry(
    {
        "estimator": "elision.study.on_arrays:by_estimator",
        "segments": "elision.study.on_arrays:by_segments",
        END_TO_END: "elision.study.end_to_end:by_deep_training",
    }
)
"""name -> who trains and assesses a run; imported when it is used, since one needs Lightning and the others do not."""


def execute(run: Run) -> Result:
    """Train the run's method on its training samples, and assess it on its test samples."""
    return WAYS[run.training.way](run)
