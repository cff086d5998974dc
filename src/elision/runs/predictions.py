"""What a classifier says of each sample of a data set, in a table to be written beside a report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import entr

from elision.decisions.acquisition import check_costs
from elision.estimator import MultimodalClassifier
from elision.prediction import Measurement


def measurements(
    model: MultimodalClassifier, X: Any, costs: Mapping[str, float] | None = None, without: Sequence[str] = ()
) -> list[tuple[Measurement, ...]] | None:
    """Return what measuring each missing modality is worth to each sample, the most valuable, or per cost, first.

    Args:
        model: fitted on other samples.
        X: as the model takes it.
        costs: modality -> cost, for each of the model's.
        without: modalities that are not to be measured.

    Returns:
        None where the model cannot say, since no member has the joint objective.
    """
    check_costs(costs, model.modalities_)
    if not any(m["objective"] == "joint" for m in model.members_):
        return None
    shown = model.shown(X)
    found: list[tuple[Measurement, ...]] = [()] * len(shown)
    if not shown.all():
        for row in model.value_of(X, costs).to_dict("records"):
            if row["modality"] not in without:
                found[row["sample"]] += (Measurement(row["modality"], row["nats"], row["accuracy"]),)
    return found


def prediction_table(
    model: MultimodalClassifier,
    X: Any,
    ids: Sequence[str],
    truth: Sequence[Any] | None = None,
    coverage: float = 0.9,
    costs: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return a row per sample; those of several folds can be put below each other, and written as predictions.csv.

    Args:
        model: fitted on other samples.
        X: as the model takes it.
        ids: of the samples, shape (n,).
        truth: their labels, shape (n,), if they are known.
        coverage: of the sets, in (0, 1).
        costs: of measuring each modality; see `measurements`.

    Returns:
        Columns: id, truth if given, class (the most probable), p.CLASS for each, entropy (nats), set ("a; b", the most
        probable first) if the model's sets are calibrated, shown ("m + n"), and measure_next (the missing modality of
        greatest value) with its value in nats, if the model can say, blank where nothing is missing.
    """
    probabilities = model.predict_proba(X)
    table: dict[str, Any] = {"id": list(ids)}
    if truth is not None:
        table["truth"] = list(truth)
    table["class"] = model.classes_[probabilities.argmax(1)]
    table |= {f"p.{c}": share for c, share in zip(model.classes_, probabilities.T, strict=True)}
    table["entropy"] = entr(probabilities).sum(1)
    if model.is_calibrated(coverage):
        table["set"] = ["; ".join(map(str, held)) for held in model.predict_set(X, coverage)["classes"]]
    observed = model.shown(X)
    table["shown"] = [" + ".join(np.array(model.modalities_)[row]) for row in observed]
    frame = pd.DataFrame(table)
    worth = measurements(model, X, costs)
    if worth and any(worth):
        frame["measure_next"] = [found[0].modality if found else "" for found in worth]
        frame["nats"] = [found[0].nats if found else np.nan for found in worth]
    return frame


def uncertain_samples(table: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Return the rows of a `prediction_table` that the model is least sure of, the least sure first."""
    return table.sort_values("entropy", ascending=False, kind="stable").head(most)
