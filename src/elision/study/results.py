"""What became of a run: typed from its end until it is written, and checked when it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from elision.errors import InputError
from elision.evaluation import Assessment, Metrics
from elision.study.plain import revived
from elision.study.run import Run

COLUMNS = (
    "data", "table", "method", "fusion", "objective", "extractor", "missing", "rate", "by_group", "seed", "n_train",
    "n_complete", "n_test", "accuracy", "nll", "ece", "brier", "seconds",
)  # fmt: skip
"""Of ``results.csv``, of which those that are blank in every row are left out."""
COMPLETE = "as they are"


@dataclass(frozen=True)
class Result:
    """Hold what a run came to.

    Args:
        run: what was carried out.
        n_train: training samples.
        n_complete: those of them that show every modality.
        test: how good it is on the test samples.
        seconds: that training took.
        details: of the training, JSON.
    """

    run: Run
    n_train: int
    n_complete: int
    test: Assessment
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Result":
        """Return a result from the JSON that was written, or raise `InputError` if it is none."""
        try:
            return revived(cls, content)
        except (TypeError, ValueError) as error:
            raise InputError(f"is not a result that this version of Elision reads ({error})") from error


def results_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row per run, with `COLUMNS`: test samples as they are."""
    return pd.DataFrame([_row(r) | _numbers(r) for r in results], columns=list(COLUMNS))


def patterns_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row per run and set of test samples: as they are, and with each modality removed."""
    rows = [
        _row(result) | {"test": test} | vars(metrics)
        for result in results
        for test, metrics in tests_of(result).items()
    ]
    columns = ["data", "method", "fusion", "objective", "missing", "rate", "seed", "test", *METRICS, "n"]
    return pd.DataFrame(rows, columns=columns)


def tests_of(result: Result) -> dict[str, Metrics]:
    """Return the sets of test samples of a result -> its metrics on them."""
    return {COMPLETE: result.test.metrics} | {f"without {m}": metrics for m, metrics in result.test.removed.items()}


METRICS = {"accuracy": False, "nll": True, "ece": True, "brier": True}
"""metric -> whether less is better."""


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV, without the columns that are blank in every row."""
    return frame[[name for name in frame.columns if set(frame[name]) != {""}]].to_csv(index=False)


def _row(result: Result) -> dict[str, Any]:
    return vars(result.run)


def _numbers(result: Result) -> dict[str, Any]:
    metrics = vars(result.test.metrics)
    counts = {"n_train": result.n_train, "n_complete": result.n_complete, "n_test": result.test.metrics.n}
    return metrics | counts | {"seconds": result.seconds}
