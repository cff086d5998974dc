"""The winner of a comparison, ready for use: a model of all samples, and what it says of each before it has seen it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elision.data.dataset import Dataset
from elision.data.formats import TableFormat
from elision.data.missing import NONE
from elision.data.partition import Partition
from elision.data.sources import load_again
from elision.data.splits import PARTS, folds
from elision.data.tables import call_of_pandas
from elision.decisions.acquisition import check_costs
from elision.decisions.sets import Calibration, as_classes, needed, prediction_sets
from elision.errors import InputError
from elision.estimator import MultimodalClassifier
from elision.evaluation import Assessment, assess_posteriors
from elision.files import sha256_of_json, write_atomically
from elision.parallel import Watcher
from elision.registries import DATASETS, METHODS
from elision.run_folder import MODEL, READING
from elision.runs.card import Making, write_card
from elision.runs.doors import is_table
from elision.runs.predictions import prediction_table
from elision.study.folders import FailedRun
from elision.study.results import Result
from elision.study.run import Run
from elision.study.runner import RUNS, run_grid
from elision.study.tables import line_of, ranking

FOLDS, FEWER, MANY = 5, 3, 1000
"""Parts of the data, each predicted by a model of the others; and how many where there are so many labelled samples."""
_COVERAGE = 0.9
PREDICTIONS = "predictions.csv"
FOLDER = "winner"
"""Of the fits and of what is told of them, in a comparison's folder."""
_TOLD = "winner.json"
_JUDGED_ON = ("test part of the data", "all labelled samples, each by a model that had not seen it")
"""By whether each sample is held out once."""


@dataclass(frozen=True)
class WinnerFit:
    """Decide one fit of a comparison's winner to the data as they are.

    Args:
        run: the winner's, of which nothing is removed.
        fold: the part that is held out and predicted; None fits all samples.
        n_folds: parts; 1 is the split that the data brings.
        acquire: whether the held-out samples are also measured piece by piece.
        costs: of measuring, (modality, cost).
        saved: where the model goes; "" keeps none. Not part of the fit's identity.
    """

    run: Run
    fold: int | None
    n_folds: int
    acquire: bool = False
    costs: tuple[tuple[str, float], ...] = ()
    saved: str = ""

    @property
    def key(self) -> str:
        """Return a name that is the same on every machine."""
        return sha256_of_json([self.run.key, self.fold, self.n_folds, self.acquire, self.costs])[:16]

    @property
    def title(self) -> str:
        """Return what progress calls it."""
        part = "all samples" if self.fold is None else f"fold {self.fold + 1} of {self.n_folds}"
        return f"{self.run.method}, {part}"

    @property
    def kind(self) -> tuple[str, ...]:
        """Return what tells how long it takes."""
        return self.run.method, self.run.fusion


@dataclass(frozen=True)
class Winner:
    """Tell what can be used of a comparison.

    Args:
        folder: the comparison's, which holds the model.
        source: of the data.
        line: method, fusion and objective.
        n_folds: parts in turn predicted by models of the others; 1 is the split that the data brings.
        predictions: of held-out samples, as in predictions.csv.
        assessed: how good these are.
        covered: share of them whose set holds the truth; None where there are no sets.
        curves: of acquisition, as `MultimodalClassifier.acquisition_curves` gives; None where there are none.
        reader: the call of pandas that reads a table written as the source is; "" where that is none.
    """

    folder: str
    source: str
    line: tuple[str, str, str]
    n_folds: int
    predictions: pd.DataFrame
    assessed: Assessment
    covered: float | None
    curves: pd.DataFrame | None
    reader: str


def save_winner(
    results: Sequence[Result],
    out: Path,
    watch: Watcher,
    workers: int = 2,
    acquire: bool = False,
    costs: Mapping[str, float] | None = None,
) -> list[FailedRun]:
    """Fit the method that ranks first to the data as they are, and write ``out/model`` and ``out/predictions.csv``.

    A model of all samples is saved. What it says of a sample that it has not seen is learnt from `FOLDS` models, each
    fitted without a part of the samples: their predictions of that part are the table, and calibrate the model's sets.
    These models are not trained again on the samples that stopped them, which would double the time.
    Data that bring a split are fitted once, as that says.

    Args:
        results: of the comparison.
        out: its folder.
        watch: told of progress.
        workers: fits at once.
        acquire: also measure the held-out samples piece by piece.
        costs: modality -> cost of measuring it.

    Returns:
        The fits that failed; nothing was written if there are any.
    """
    first = next(rank.line for rank in ranking(results) if rank.line[0] in METHODS)
    run = next(r.run for r in results if line_of(r.run) == first)
    acquire = acquire and has_evidence(run)
    run, data = replace(run, missing=NONE, rate=0.0, seed=0, mechanism="mcar"), load_again(run.source, run.form)
    n_folds = 1 if data.parts is not None else FEWER if (data.codes >= 0).sum() >= MANY else FOLDS
    fit = WinnerFit(run, 0, n_folds, acquire, tuple((costs or {}).items()))
    fits = [replace(fit, fold=i) for i in range(n_folds)]
    saving = replace(fit, fold=None if n_folds > 1 else 0, saved=str(out / MODEL))
    fits = [*fits, saving] if n_folds > 1 else [saving]
    if not (out / MODEL).is_dir() or _line_told(out) != list(first):  # gone, or of another winner
        (out / FOLDER / RUNS / saving.key / "result.json").unlink(missing_ok=True)
    found, failures = run_grid(fits, out / FOLDER, workers, watch, fit_winner)
    if not failures:
        _write(out, run, n_folds, data, [values for values in found if values])
    return failures


def check_use(data: str, form: TableFormat, acquire: bool, costs: Mapping[str, float] | None) -> None:
    """Raise `InputError` unless a winner can be asked what to measure at these costs, before anything is trained."""
    check_costs(costs, list(load_again(data, form).arrays) if costs is not None else ())
    if acquire and costs is not None and min(costs.values()) <= 0:
        raise InputError("--acquire goes by value per cost: expected --costs above 0")


def has_evidence(run: Run) -> bool:
    """Return whether a model of a run can say what a measurement is worth."""
    return "joint" in METHODS[run.method].claims.objectives and run.objective != "conditional"


def read_winner(out: Path) -> Winner | None:
    """Return what `save_winner` wrote into a comparison's folder; None where there is nothing."""
    told, table = out / FOLDER / _TOLD, out / PREDICTIONS
    if not (told.is_file() and table.is_file()):
        return None
    values = json.loads(told.read_text(encoding="utf-8"))
    text: Any = dict.fromkeys(("id", "truth", "class", "set", "shown", "measure_next"), str)
    predictions = pd.read_csv(table, dtype=text, keep_default_na=False, na_values={"nats": [""]})
    curves = pd.DataFrame(values["curves"]) if values["curves"] else None
    assessed = Assessment.of(values["assessed"])
    facts = values["source"], tuple(values["line"]), values["n_folds"]
    return Winner(
        str(out.absolute()), *facts, predictions, assessed, values["covered"], curves, values.get("reader", "")
    )


def lines_of_use(winner: Winner) -> list[str]:
    """Return the lines of Python that load the winner's model and ask it."""
    open_model = f"model = elision.load({winner.folder!r})"
    if winner.reader:
        return ["import elision, pandas", open_model, f"model.predict_proba({winner.reader})"]
    new = winner.source if winner.source in DATASETS else "new-store"
    return ["import elision, elision.data", open_model, f"model.predict_proba(elision.data.load({new!r}).frame())"]


def fit_winner(fit: WinnerFit) -> dict[str, Any]:
    """Carry out one fit; return the predictions of what it holds out, column by column, or {} where that is nothing."""
    run, data = fit.run, load_again(fit.run.source, fit.run.form)
    if data.fingerprint() != run.fingerprint:
        raise InputError(f"{run.source} changed while the study ran: start it again with another --out")
    model = MultimodalClassifier(
        run.method, run.fusion, run.objective, run.training.encoders, data.named_columns,
        n_features=run.training.n_features, refit=fit.fold is None, unlabelled="", random_state=run.seed,
        **dict(run.training.options),
    )  # fmt: skip
    frame, labels = data.frame(), data.labels
    train, validation, test = _division(data, fit)
    held = None if validation is None else (frame.iloc[validation], labels[validation], data.weights_of(validation))
    groups = data.groups[train] if held is None and run.by_group and data.groups is not None else None
    model.fit(frame.iloc[train], labels[train], held, sample_weight=data.weights_of(train), groups=groups)
    if fit.saved:
        model.save(fit.saved)
    if not len(test):
        return {}
    costs = dict(fit.costs) or None
    rows = frame.iloc[test]
    table = prediction_table(model, rows, rows.index, labels[test].tolist(), costs=costs)
    curves = model.acquisition_curves(rows, labels[test], costs).to_dict("list") if fit.acquire else {}
    return {"rows": test.tolist(), "table": table.to_dict("list"), "curves": curves}


def _division(data: Dataset, fit: WinnerFit) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Return which samples are fitted, validate (None: some of the fitted) and are held out."""
    labelled = data.labels != ""
    if data.parts is not None:
        parts = [np.flatnonzero((data.parts == part) & (labelled | (part == "train"))) for part in PARTS]
        return parts[0], parts[1], parts[2]
    if fit.fold is None:
        return np.arange(len(labelled)), None, np.arange(0)
    fold = folds(data.codes, data.groups if fit.run.by_group else None, fit.n_folds, fit.run.seed)
    return np.flatnonzero(fold != fit.fold), None, np.flatnonzero(fold == fit.fold)


def _write(out: Path, run: Run, n_folds: int, data: Dataset, found: Sequence[Mapping[str, Any]]) -> None:
    """Calibrate and save the model, and write the predictions and what the report tells of them."""
    rows = np.concatenate([values["rows"] for values in found])
    table = pd.concat([pd.DataFrame(values["table"]) for values in found], ignore_index=True).iloc[np.argsort(rows)]
    rows = np.sort(rows)
    classes, codes = data.classes, data.codes[rows]
    shares = table.reindex(columns=[f"p.{c}" for c in classes]).fillna(0).to_numpy()
    with np.errstate(divide="ignore"):
        logs = np.log(shares)
    shown = {m: mask[rows] for m, mask in data.observed.items()}
    observed = np.stack(list(shown.values()), axis=1)
    model = MultimodalClassifier.load(out / MODEL, device="cpu")
    model.set_calibration_ = Calibration.of(logs, codes, observed)
    model.save(out / MODEL)
    covered = None
    if len(rows) >= needed(_COVERAGE):
        held = prediction_sets(logs, observed, model.set_calibration_, _COVERAGE)
        covered = float(held[np.arange(len(rows)), codes].mean())
        told_sets = ["; ".join(map(str, one)) for one in as_classes(held, logs, classes)]
        table.insert(list(table).index("shown"), "set", told_sets)
    from_table = is_table(run.source) and run.source not in DATASETS
    assessed = replace(
        assess_posteriors(np.maximum(logs, -700), codes, classes.tolist(), shown),
        data=run.source, samples=_JUDGED_ON[n_folds > 1],
    )  # fmt: skip
    told = {
        "source": run.source,
        "reader": call_of_pandas(Path(run.source), run.form) if from_table else "",
        "line": [run.method, run.fusion, run.objective],
        "n_folds": n_folds,
        "assessed": asdict(assessed),
        "covered": covered,
        "curves": _mean_curves([pd.DataFrame(v["curves"]) for v in found], [len(v["rows"]) for v in found]),
    }
    write_atomically(out / READING, json.dumps(asdict(run.form), indent=1))
    write_atomically(out / PREDICTIONS, table.to_csv(index=False))
    write_atomically(out / FOLDER / _TOLD, json.dumps(told, indent=1))
    _write_card(out, run, n_folds, data, assessed)


def _write_card(out: Path, run: Run, n_folds: int, data: Dataset, assessed: Assessment) -> None:
    """Write MODEL.md beside the model."""
    parts = Partition.of(data, run.seed, run.by_group)
    division, counts = "Split as the data says.", parts.counts()
    if n_folds > 1:
        parts = replace(parts, train=np.arange(len(data.labels)))
        division = (
            f"The model is fitted to all of them; those with a label were judged in {n_folds} parts, each by a model "
            f"that was fitted without it ({'whole groups' if run.by_group else 'sample by sample'}, seed {run.seed})."
        )
        counts = {"train": len(data.labels), "complete": int(parts.complete.sum())}
    winner = read_winner(out)
    python = lines_of_use(winner) if winner else []
    shell = [f"elision predict {out.name} NEW.csv", f"elision serve {out.name}"] if winner and winner.reader else []
    caution = "It was chosen as the best of several on the same data, so its figures are somewhat too good."
    training = asdict(run.training)
    config = {"method": run.method, "fusion": run.fusion, "objective": run.objective, "seed": run.seed, **training}
    address = str(Path(run.source).absolute()) if Path(run.source).exists() else run.source
    made = Making({"address": address, "fingerprint": run.fingerprint}, config, counts, parts.training_counts(),
                  division, (python, shell), [caution])  # fmt: skip
    write_card(out, assessed, made)


def _mean_curves(curves: Sequence[pd.DataFrame], sizes: Sequence[int]) -> dict[str, list]:
    """Return curves of acquisition averaged over folds, each weighing as many samples as it holds."""
    if any(curve.empty for curve in curves):
        return {}
    numbers = ["measured", "cost", "accuracy", "nll"]
    weighed = [curve.assign(**{n: curve[n] * size for n in numbers}) for curve, size in zip(curves, sizes, strict=True)]
    sums = pd.concat(weighed).groupby(["order", "step"], sort=False)[numbers]
    total, counts = pd.DataFrame(sums.sum()), np.asarray(sums.size())
    whole = total[counts == len(curves)] / sum(sizes)
    return whole.reset_index().to_dict("list")


def _line_told(out: Path) -> list[str] | None:
    told = out / FOLDER / _TOLD
    return json.loads(told.read_text(encoding="utf-8"))["line"] if told.is_file() else None
