"""What became of a run: typed from its end until it is written, and checked when it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from elision.errors import InputError
from elision.evaluation import Assessment, Metrics
from elision.plain import revived
from elision.study.run import Run

COLUMNS = (
    "data", "table", "method", "fusion", "objective", "extractor", "missing", "rate", "by_group", "seed", "n_train",
    "n_complete", "n_test", "accuracy", "nll", "ece", "brier", "seconds",
)  # fmt: skip
"""Of ``results.csv``, of which those that are blank in every row are left out."""
METRICS = ("accuracy", "nll", "ece", "brier")
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

    @property
    def tests(self) -> dict[str, Metrics]:
        """Return the metrics by what the test samples show: as they are, and without each modality."""
        return {COMPLETE: self.test.metrics} | {f"without {m}": metrics for m, metrics in self.test.removed.items()}


def results_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row per run, with `COLUMNS`: test samples as they are."""
    rows = [vars(r) | vars(r.run) | vars(r.test.metrics) | {"n_test": r.test.metrics.n} for r in results]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def patterns_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row per run and set of test samples: as they are, and with each modality removed."""
    rows = [vars(r.run) | {"test": test} | vars(metrics) for r in results for test, metrics in r.tests.items()]
    columns = ["data", "method", "fusion", "objective", "missing", "rate", "seed", "test", *METRICS, "n"]
    return pd.DataFrame(rows, columns=columns)


def to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV, without the columns that are blank in every row."""
    return frame[[name for name in frame.columns if set(frame[name]) != {""}]].to_csv(index=False)
