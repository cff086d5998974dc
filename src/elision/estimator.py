"""`MultimodalClassifier`: scikit-learn's contract over the methods."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing, check_random_state, estimator_html_repr
from sklearn.utils.validation import check_is_fitted
from torch import nn

from elision import choices, persistence
from elision.alignment import Splittable, check_apart, check_pairs
from elision.batch import Batch
from elision.data.splits import folds as division
from elision.data.splits import grouped_part, stratified_part
from elision.decisions import acquisition, priors, sets
from elision.decisions import contributions as explaining
from elision.decisions.gaps import GapTable, best_power
from elision.ensemble import (
    KeptMembers,
    Specification,
    continue_members,
    fit_members,
    fit_weights,
    log_evidences,
    log_posteriors,
)
from elision.errors import InputError, warn
from elision.evaluation import reliability_table
from elision.fusion import Fusion
from elision.inputs import (
    Samples,
    Standardizer,
    filled_share,
    observed_rows,
    partial_rows,
    read_groups,
    read_labels,
    read_weights,
    share_right,
)
from elision.likelihood import UNLABELLED, log_label_prior
from elision.methods import Method
from elision.pages import render
from elision.reading import ReadsModalities, named_modalities
from elision.stacking import mixture
from elision.training import Schedule

_VALIDATION_ROWS = 10_000


class MultimodalClassifier(ReadsModalities, ClassifierMixin, BaseEstimator):
    """A classifier for samples of several modalities, of which each may lack some, in training and in prediction.

    X is a dict, modality -> array (n, ...), in which a row that is NaN throughout is missing; or one table (2-D array
    or DataFrame) with ``modalities={"audio": columns, ...}``; for scikit-learn to split it a dict is `Splittable`. A
    modality that the dict lacks in prediction is missing everywhere. A row partly NaN takes the training means there,
    or what ``impute`` says.
    Labels are of any type; None and NaN mean no label.

    Columns hold numbers, booleans or categories: texts that repeat and categories of pandas become one column per value
    that training showed, ordered categories of pandas one number. A value that training did not show is missing.

    By default four models are trained, kernel and MLP encoders under the joint likelihood and with modality dropout,
    and their posteriors averaged: for every pattern of modalities, each has the temperature and the weight that make
    validation samples reduced to that pattern most likely. On a CPU predictions are computed in float64, so that a
    row's probabilities depend on the rows beside it by rounding alone, some 1e-11 (float32 with modules of your own).

    Args:
        method: a name in `elision.METHODS`, or a `Method` class.
        fusion: "addition", "concatenation", "outer-product", or a `Fusion` class.
        objective: "conditional" (the paper's), "joint" (also explains the inputs, and learns from unlabelled samples),
            "all" (every objective that the method has, averaged), or "auto": the method's own, and for mle joint
            averaged with the method modality-dropout.
        encoders: a name in `elision.ENCODERS` for all modalities, a dict modality -> name or ``nn.Module`` (rows of any
            shape to ``n_features`` numbers), or "auto": kernel and MLP, averaged. A module is copied, never changed.
        modalities: for a table, modality -> column names, positions or a slice; None is one modality of all columns.
        n_features: k, the features per modality.
        rank: of the outer product's label tensor; None is the full tensor for two modalities, k for more.
        bank: how to estimate the averages over training samples while training: "exact", "bank", "batch", or "auto":
            exact up to 4,096 samples and 16 million input numbers, else bank.
        method_options: the method's own options, such as ``{"rule": "correlation"}`` for hgr; see its class.
        class_weight: None, "balanced" (all classes as heavy), or a dict class -> number above 0; it multiplies the
            sample weights, in every place where these count. "balanced" makes `class_prior_` uniform.
        informative_missingness: the modalities that a sample shows tell of its class too, by Q(z | x_S) P(S | z)^t with
            t in [0, 1] fitted on the validation set (`missingness_power_`). Only for samples that lose modalities in
            prediction as those in training did. `value_of`, `contributions` and what else hides modalities on
            purpose leave it out.
        impute: what a blank takes in a row that shows others of its modality: "mean", that of training; "knn", the mean
            of the 5 nearest training rows; "iterative", what ridge regressions on its other numbers say. By
            scikit-learn's imputers, of 2,000 training rows, for modalities whose rows are lists of numbers.
        validation_fraction: of the labelled samples, set aside for early stopping and weights, in (0, 1); of many,
            10,000 are.
        refit: train on with all samples, validation included, for half as many steps as were best, at half the rate.
            Means, deviations and kernels stay those of the others. Not done when a validation set is passed to `fit`.
        max_steps: optimiser steps; None means 20 epochs of mini-batches, at least 200 steps and at most 4,000.
        batch_size: None means all samples at once up to 4,096 of them, 256 beyond.
        learning_rate: Adam's, at its peak.
        weight_decay: L2 regularisation.
        patience: validations (30 in all) without improvement before a stage stops.
        unlabelled: a further value of y that means no label, such as scikit-learn's -1. `cross_val_score` sorts labels
            for its stratified folds, and cannot sort None: give it such a value.
        device: "cpu", "cuda", ..., or "auto": a GPU if there is one.
        random_state: seed; the same seed gives the same model, bit for bit, on one machine.
        verbose: 1 prints a line per trained model, and one when it has gone on with all samples.

    Attributes:
        classes_: the labels, sorted; shape (K,).
        class_prior_: each label's share of the labelled training samples, R_Z; shape (K,).
        modalities_: the modalities' names.
        members_: what was averaged: one dict per model, with method, encoders, objective, and its weight, temperature
            and validation NLL for the validation samples as they are.
        categories_: modality -> column -> the values that training showed, of columns of categories.
        unseen_modalities_: those that no training sample showed; they are ignored.
        partial_rows_: modality -> training rows that were partly NaN and were filled in.
        n_samples_: training samples that count, those of weight 0 left out.
        rows_seen_: modality -> training samples that show it.
        filled_shares_: modality -> the share of the numbers in rows that show it that were NaN, and filled in.
        n_unlabelled_: training samples without a label.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 2
        >>> X = {"a": rng.normal(size=(60, 2)) + 3 * y[:, None], "b": rng.normal(size=(60, 3)) - y[:, None]}
        >>> X["b"][10:] = np.nan
        >>> model = MultimodalClassifier(encoders="linear", random_state=0).fit(X, y)
        >>> model.predict({"a": [[3.0, 3.0]]}), model.score(X, y) > 0.9
        (array([1]), True)
    """

    def __init__(  # noqa: PLR0913
        self,
        method: str | type[Method] = "mle",
        fusion: str | type[Fusion] = "addition",
        objective: str = "auto",
        encoders: str | Mapping[str, str | nn.Module] = "auto",
        modalities: Mapping[str, Any] | None = None,
        *,
        n_features: int = 32,
        rank: int | None = None,
        bank: str = "auto",
        method_options: Mapping[str, Any] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        informative_missingness: bool = False,
        impute: str = "mean",
        validation_fraction: float = 0.15,
        refit: bool = True,
        max_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        patience: int = 8,
        unlabelled: Any = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.fusion = fusion
        self.objective = objective
        self.encoders = encoders
        self.modalities = modalities
        self.n_features = n_features
        self.rank = rank
        self.bank = bank
        self.method_options = method_options
        self.class_weight = class_weight
        self.informative_missingness = informative_missingness
        self.impute = impute
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.unlabelled = unlabelled
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether a fit has come to its end."""
        return hasattr(self, "_members")

    def _html_repr(self) -> str:
        """Show scikit-learn's diagram in a notebook, and below it what a fit came to."""
        diagram = estimator_html_repr(self)
        if not self.__sklearn_is_fitted__():
            return diagram
        modalities = [(m, self._shapes[m], self.rows_seen_[m]) for m in self.modalities_]
        content = {"modalities": modalities, "members": self.members_, "n_classes": len(self.classes_)}
        counts = {"n_samples": self.n_samples_, "n_unlabelled": self.n_unlabelled_}
        return diagram + render("fitted.html", content | counts)

    def __sklearn_tags__(self):
        """NaN means missing, and sparse matrices are made dense."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, ...] | None = None,
        checkpoints: str | Path | None = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> "MultimodalClassifier":
        """Learn from samples of which each shows some modalities.

        Args:
            X: dict of arrays, or a table; see the class.
            y: labels, shape (n,).
            validation: (X, y), or (X, y, sample_weight), for early stopping and the members' weights; by default a
                part of the training samples.
            checkpoints: a folder in which each model is kept once it is trained. A fit that was stopped, started again
                with the same samples, parameters and folder, takes the models from there, and ends in the same bits.
            sample_weight: 0 or more for each sample, shape (n,). A weight of w is w copies of the sample, in both sums
                of the likelihood, the class prior R_Z, the banks R_m, means and deviations of the inputs, and the
                members' weights; 0 leaves it out. Only a kernel encoder's landmarks are drawn without it.
            groups: of each sample, such as its speaker, shape (n,): the part that is set aside for validation takes
                whole groups, so that it tells how well others are recognised.

        Raises:
            InputError: the data or a choice cannot be used; the message says which, where, and what to do.
        """
        for learnt in ("_members", "_gaps", "set_calibration_", "missingness_power_"):
            vars(self).pop(learnt, None)  # a fit that fails leaves an unfitted model
        choices.check(self.get_params(deep=False), weighted=sample_weight is not None)
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        arrays = self._read(X, reset=True)
        check_pairs(X, y)
        check_apart(X, y, vars(self).get("feature_names_in_", ()))
        labels = read_labels(y, self.unlabelled)
        if isinstance(sample_weight, pd.Series):
            check_pairs(X, sample_weight, "sample_weight")
        weights = read_weights(sample_weight, self.class_weight, labels)
        if groups is not None:
            check_pairs(X, groups, "groups")
            groups = read_groups(groups, len(labels.codes))
        if weights is not None and not weights.all():
            kept_rows = np.flatnonzero(weights)
            labels, weights = labels.take(kept_rows), weights[kept_rows]
            arrays = {m: a[kept_rows] for m, a in arrays.items()}
            groups = None if groups is None else groups[kept_rows]
        self.classes_ = labels.classes
        empty = [c for c in labels.classes.tolist() if isinstance(c, str) and c.strip() in ("", "nan")]
        if empty:
            warn(
                f"the label {empty[0]!r} is {'what numpy makes of NaN' if empty[0].strip() else 'an empty text'} and "
                f"counts as a class: unlabelled={empty[0]!r} makes it mean that there is no label"
            )
        arrays = self._without_unseen(arrays)
        samples = Samples(arrays, labels.codes, weights)
        self.n_samples_ = len(labels.codes)
        self.rows_seen_ = {m: int(observed_rows(values).sum()) for m, values in arrays.items()}
        self.partial_rows_ = {m: partial_rows(a) for m, a in arrays.items()}
        self.filled_shares_ = {m: filled_share(a) for m, a in arrays.items()}
        shares = None if weights is None else torch.from_numpy(weights)
        prior = log_label_prior(torch.from_numpy(labels.codes), len(labels.classes), shares)
        self.class_prior_ = prior.exp().numpy()
        self.n_unlabelled_ = int((labels.codes == UNLABELLED).sum())
        parameters = self.get_params(deep=False)
        if isinstance(self.encoders, Mapping):
            own = {m: e for m, e in self.encoders.items() if m not in self.unseen_modalities_}
            parameters["encoders"] = own
        specifications = choices.specifications(parameters, self.modalities_)
        if self.n_unlabelled_ and not any(s.objective == "joint" for s in specifications):
            warn(
                f"{self.n_unlabelled_} samples have no label: the conditional objective learns nothing from them "
                "but how their features are distributed; method='mle' with objective='joint' does"
            )
        kept = None if checkpoints is None else Path(checkpoints)
        self._fit(samples, self._held_out(validation), groups, specifications, kept)
        return self

    def predict_proba(self, X: Any, class_prior: Any = None) -> np.ndarray:
        """Q(z | x_S) of every sample, each with its own pattern of modalities; shape (n, K), columns as `classes_`.

        Args:
            X: dict of arrays, or a table; see the class.
            class_prior: how common each class is where the samples come from, if it is not as in training: a number
                for each of `classes_`, or a dict or Series class -> number; they sum to 1. See `estimate_prior`.
        """
        return np.exp(self.predict_log_proba(X, class_prior))

    def predict_log_proba(self, X: Any, class_prior: Any = None) -> np.ndarray:
        """log Q(z | x_S); shape (n, K). Arguments as `predict_proba`'s."""
        logs = self._answer(self._batch(X))
        if class_prior is None:
            return logs
        return priors.with_prior(logs, np.log(self.class_prior_), priors.read_prior(class_prior, self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of every sample; shape (n,)."""
        chosen = self.predict_log_proba(X).argmax(1)
        return self.classes_[chosen]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on labelled samples, in [0, 1]; ``sample_weight`` as scikit-learn's, shape (n,)."""
        check_pairs(X, y)
        if isinstance(sample_weight, pd.Series):
            check_pairs(X, sample_weight, "sample_weight")
        return share_right(self.predict(X), y, self.unlabelled, sample_weight)

    def evidence(self, X: Any) -> np.ndarray:
        """log Q(x_S) / prod R_m(x_m) of every sample, in nats; shape (n,).

        How well a sample's modalities go together, and with a clear class: low where they contradict each other, or
        resemble nothing that the classes know. 0 for a sample that shows nothing. It is a ratio to the modalities'
        own distributions, so an input that is rare in itself is not low for that. Averaged over the members that the
        joint objective trained; the conditional one leaves it undetermined.
        """
        batch = self._batch(X)
        return self._evidence(batch, batch.observed)

    def _evidence(self, batch: Batch, weighed: torch.Tensor) -> np.ndarray:
        """Return the evidence by the members' weights for the patterns ``weighed``, (n, M)."""
        joint = [i for i, member in enumerate(self._members) if member.specification.objective == "joint"]
        if not joint:
            raise InputError("evidence needs the joint objective: fit method 'mle' with objective 'joint', or with all")
        weights = self._weights.of(weighed)[joint]
        values = log_evidences([self._members[i] for i in joint], batch)
        return mixture(values, weights / weights.sum(0)).double().cpu().numpy()

    def agreement(self, X: Any) -> pd.DataFrame:
        """Return how well each modality of a sample goes with the others that it shows, in nats.

        The evidence of all that a sample shows less that without the modality, the members weighed as for all of it:
        log Q(x_m | x_rest) / R_m(x_m). Low where a modality is of another sample, or damaged: the lowest of a sample's
        values tells such samples better than its evidence as a whole, which also holds what each modality says by
        itself, and names the modality.

        Returns:
            A row per sample and modality that it shows: sample (its position), modality, nats.

        Raises:
            InputError: no member has the joint objective.
        """
        batch = self._batch(X)
        whole = self._evidence(batch, batch.observed)
        rest = [self._evidence(batch.without(m), batch.observed) for m in batch.modalities]
        gained = whole[:, None] - np.stack(rest, axis=1)
        sample, modality = np.nonzero(batch.observed.cpu().numpy())
        names = np.array(batch.modalities, dtype=object)[modality]
        return pd.DataFrame({"sample": sample, "modality": names, "nats": gained[sample, modality]})

    def shown(self, X: Any) -> np.ndarray:
        """Return which modalities each sample shows, in the order of `modalities_`; shape (n, M), bool."""
        return self._batch(X).observed.cpu().numpy()

    def value_of(self, X: Any, costs: Mapping[str, float] | None = None, size: int = 1) -> pd.DataFrame:
        """Return what measuring a modality that a sample lacks is worth, before anything of it is known.

        The expected reduction of the label's entropy, I(z; x_m | x_S) in nats, and the expected gain in the
        probability of the most probable class, both averaged over the training samples that show the modality,
        weighted by how well they go with what the sample shows. Values are of the members trained by the joint
        objective, before the average's temperatures. A set of several modalities is averaged over up to 10,000
        combinations of a random part of each.

        Args:
            X: dict of arrays, or a table; see the class. A sample that shows nothing is worth what the prior leaves.
            costs: modality -> cost of measuring it, 0 or more.
            size: sets of up to so many modalities.

        Returns:
            A row per sample and set that it lacks, the most valuable first: sample (its position), modality, nats,
            accuracy, and with ``costs`` cost and nats_per_cost.

        Raises:
            InputError: nobody lacks anything, costs miss a modality, or no member has the joint objective.
        """
        batch = self._batch(X)
        return acquisition.values(self._members, self._weights, batch, costs, size)

    def plan(self, X: Any, costs: Mapping[str, float] | None = None, budget: float | None = None) -> pd.DataFrame:
        """Return in which order to measure what each sample lacks: every step adds the most nats per cost.

        Args:
            X: dict of arrays, or a table; see the class.
            costs: modality -> cost, above 0; None counts each as 1.
            budget: largest total cost for a sample; None is no limit.

        Returns:
            A row per step: sample, step (from 1), modality, nats that it adds, cost, total_cost.
        """
        batch = self._batch(X)
        return acquisition.greedy_plan(self._members, self._weights, batch, costs, budget)

    def acquisition_curves(
        self, X: Any, y: Any, costs: Mapping[str, float] | None = None, start: Sequence[str] = (), random_state: int = 0
    ) -> pd.DataFrame:
        """Return how good predictions become as labelled samples are measured piece by piece, in several orders.

        Each sample's own order by value per cost, asked anew after each measurement; one fixed order for all, the
        plan of a sample that shows nothing; a random one; everything at once. `elision.plots.acquisition_lines` draws.

        Args:
            X: dict of arrays, or a table; see the class. What a sample lacks cannot be measured.
            y: labels, shape (n,).
            costs: modality -> cost, above 0; None counts each as 1.
            start: modalities that are known at first.
            random_state: seed of the random order.

        Returns:
            Columns: order, step, measured and cost (means over samples), accuracy, nll (nats).
        """
        batch, codes = self._labelled(X, y)
        asked = self._members, self._weights, self._log_posterior
        return acquisition.order_curves(*asked, batch, codes, costs, start, random_state)

    def contributions(self, X: Any) -> pd.DataFrame:
        """Return what each modality of a sample adds to the log-posterior of each class, in nats.

        Shapley values over the modalities that the sample shows, the others averaged out, nothing imputed: for each
        class they sum to log Q(z | x_S) - log Q(z | nothing). Exact up to 10 modalities.

        Returns:
            A row per sample, modality that it shows, and class: sample, modality, class, nats, standard_error.
        """
        return explaining.contribution_table(self._log_posterior, self._batch(X), self.classes_)

    def importance(self, X: Any, y: Any) -> pd.DataFrame:
        """Return what each modality is worth on labelled samples; a row per modality, indexed by its name.

        Columns: n (samples that show it), without_nll and without_accuracy (what averaging it out costs), alone_nll
        and alone_accuracy (what it alone brings, against nothing), shapley_nll (its share of the whole). NLL in nats.
        """
        batch, codes = self._labelled(X, y)
        return explaining.importance_table(self._log_posterior, batch, codes)

    def reliability(self, X: Any, y: Any) -> pd.DataFrame:
        """Return how honest the probabilities are for each pattern of modalities; a row per pattern, and "all".

        Columns: n, accuracy, confidence (of the first choice, on average), nll (nats), ece, brier.
        """
        batch, codes = self._labelled(X, y)
        observed = dict(zip(batch.modalities, batch.observed.cpu().numpy().T, strict=True))
        return reliability_table(self._answer(batch), codes, observed)

    def calibrate_sets(
        self, X: Any, y: Any, folds: int | None = None, groups: Any = None, sample_weight: Any = None
    ) -> "MultimodalClassifier":
        """Learn from samples that `fit` has not seen how large the sets of `predict_set` must be.

        Their scores on samples that were learnt from are too good: sets calibrated on these hold the truth far less
        often than asked for (about half the time instead of nine times in ten on RAVDESS). With the default ``refit``
        the inner validation samples were learnt from too, and without it members were chosen by them: hold samples out,
        or cross-fit with ``folds``. A fit forgets the calibration; `save` keeps it with the model.

        Args:
            X: dict of arrays, or a table, lacking modalities as the samples to come will; see the class.
            y: labels, shape (n,); samples without one are left out.
            folds: X and y are the samples of the fit: so many further models are trained, each without a part of
                them, which it then scores. No sample is lost to calibration; what holds strictly for each of these
                models holds nearly for the one of all samples. None: X and y are samples that `fit` has not seen.
            groups: samples of one group stay together in a fold, and in the validation part of each fit, shape (n,).
            sample_weight: of each fit, as the model's own had them, shape (n,).
        """
        batch, codes = self._labelled(X, y)
        if folds is None:
            if groups is not None or sample_weight is not None:
                raise InputError("groups and sample_weight are for cross-fitting: give folds too, or leave them out")
            logs = self._answer(batch)
        else:
            logs = self._cross_fitted(X, y, folds, groups, sample_weight)
        self.set_calibration_ = sets.Calibration.of(logs, codes, batch.observed.cpu().numpy())
        return self

    def _cross_fitted(self, X: Any, y: Any, n: int, groups: Any, weights: Any) -> np.ndarray:
        """Return log-posteriors of the labelled samples, each from a model of the same parameters fitted without it."""
        codes = read_labels(y, self.unlabelled, self.classes_).codes
        fold = division(codes, groups, n, int(check_random_state(self.random_state).randint(2**31 - 1)))
        logs = np.full((len(codes), len(self.classes_)), -np.inf)
        X = Splittable(X) if isinstance(X, dict) else X
        for i in range(n):
            rest, held = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
            of = {"groups": groups, "sample_weight": weights}
            own: dict[str, Any] = {n: _safe_indexing(values, rest) for n, values in of.items() if values is not None}
            other = cast(MultimodalClassifier, clone(self))
            other.fit(_safe_indexing(X, rest), _safe_indexing(y, rest), **own)
            columns = np.searchsorted(self.classes_, other.classes_)
            logs[held[:, None], columns] = other.predict_log_proba(_safe_indexing(X, held))
        return logs[codes != UNLABELLED]

    def is_calibrated(self, coverage: float = 0.9) -> bool:
        """Return whether `predict_set` can give sets of that coverage."""
        calibration: sets.Calibration | None = vars(self).get("set_calibration_")
        enough = sets.needed(coverage)
        return calibration is not None and len(calibration.everything) >= enough

    def predict_set(self, X: Any, coverage: float = 0.9) -> pd.DataFrame:
        """Return for each sample a set of classes that holds the truth with the asked probability.

        Split-conformal, for each pattern of modalities on its own; a pattern with fewer than 100 calibration samples
        borrows those of the patterns nearest to it, and ``pooled`` says so: the guarantee then holds on average over
        these patterns.

        Args:
            X: dict of arrays, or a table; see the class.
            coverage: in (0, 1).

        Returns:
            A row per sample: classes (a tuple, the most probable first), size, pooled.

        Raises:
            InputError: `calibrate_sets` was not called, or had too few samples for that coverage.
        """
        if not hasattr(self, "set_calibration_"):
            raise InputError("sets are not calibrated: call calibrate_sets(X, y) with samples that fit has not seen")
        batch = self._batch(X)
        logs, observed = self._answer(batch), batch.observed.cpu().numpy()
        held = sets.prediction_sets(logs, observed, self.set_calibration_, coverage)
        chosen = sets.as_classes(held, logs, self.classes_)
        pooled = self.set_calibration_.pooled(observed)
        return pd.DataFrame({"classes": chosen, "size": held.sum(1), "pooled": pooled})

    def estimate_prior(self, X: Any, level: float = 0.01) -> pd.DataFrame:
        """Estimate how common each class is where some unlabelled samples come from, by EM.

        Args:
            X: dict of arrays, or a table; see the class.
            level: of a likelihood-ratio test; where it finds no shift, the prior is the training samples'.

        Returns:
            A row per class, indexed by it: training, prior (to be given to `predict_proba`), likeliest (the EM
            estimate whatever the test says), p_value.
        """
        found = priors.estimate_prior(self._answer(self._batch(X)), np.log(self.class_prior_), level)
        columns = {"training": self.class_prior_, "prior": found.prior, "likeliest": found.likeliest}
        return pd.DataFrame(columns | {"p_value": found.p_value}, index=pd.Index(self.classes_, name="class"))

    def save(self, path: str | Path) -> None:
        """Write the fitted model as a folder of safetensors and JSON; nothing is pickled.

        Args:
            path: a folder that does not exist yet, or holds a saved model and nothing else, which is replaced.
        """
        check_is_fitted(self)
        learnt = {name: value for name, value in vars(self).items() if name in persistence.LEARNT}
        own = self._columns, self.categories_, self._shapes, self._standardizer, self._members, self._weights
        own = *own, vars(self).get("set_calibration_"), vars(self).get("_gaps")
        persistence.write_classifier(
            persistence.FittedClassifier(self.get_params(deep=False), learnt, *own), Path(path)
        )

    @classmethod
    def load(
        cls, path: str | Path, encoders: Mapping[str, nn.Module] | None = None, device: str | None = None
    ) -> "MultimodalClassifier":
        """Read a model that `save` wrote.

        Args:
            path: the folder.
            encoders: modality -> module of the same architecture, where the model was fitted with the user's own.
            device: to predict on; None is the one that the model was fitted with.
        """
        fitted = persistence.read_classifier(Path(path), encoders or {}, device)
        model = cls(**fitted.parameters)
        vars(model).update(fitted.learnt)
        model._columns, model.categories_ = dict(fitted.columns), dict(fitted.categories)
        model._shapes = dict(fitted.shapes)
        model._standardizer, model._members, model._weights = fitted.standardizer, list(fitted.members), fitted.weights
        kept = {"set_calibration_": fitted.calibration, "_gaps": fitted.gaps}
        vars(model).update({name: value for name, value in kept.items() if value is not None})
        return model

    def _log_posterior(self, batch: Batch) -> np.ndarray:
        logs = self._weights.average(log_posteriors(self._members, batch), batch.observed, self._log_prior)
        return torch.log_softmax(logs, dim=1).double().cpu().numpy()

    @property
    def _log_prior(self) -> torch.Tensor:
        return torch.from_numpy(np.log(self.class_prior_))

    def _answer(self, batch: Batch) -> np.ndarray:
        """Return the log-posterior of samples as they came: of what they show, and if asked of that they show it."""
        logs = self._log_posterior(batch)
        gaps: GapTable | None = vars(self).get("_gaps")
        return logs if gaps is None else gaps.posterior(logs, batch.observed.cpu().numpy())

    def _labelled(self, X: Any, y: Any) -> tuple[Batch, np.ndarray]:
        """The labelled samples, and their class indices."""
        batch = self._batch(X)
        check_pairs(X, y)
        codes = read_labels(y, self.unlabelled, self.classes_).codes
        if len(codes) != len(batch):
            raise InputError(f"X has {len(batch)} samples and y has {len(codes)}: expected as many")
        labelled = np.flatnonzero(codes != UNLABELLED)
        if not len(labelled):
            raise InputError("no sample has a label: expected some")
        return batch.select(torch.from_numpy(labelled).to(batch.labels.device)), codes[labelled]

    def _without_unseen(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The modalities that some training sample shows; the others are said, and ignored from now on."""
        unseen = [m for m, values in arrays.items() if not observed_rows(values).any()]
        if len(unseen) == len(arrays):
            raise InputError(f"no training sample shows any modality ({', '.join(arrays)}): expected some that do")
        if unseen:
            warn(
                f"no training sample shows {named_modalities(unseen)}: the model learns from the others and ignores it"
            )
        self.unseen_modalities_ = tuple(unseen)
        self.modalities_ = tuple(m for m in arrays if m not in unseen)
        self._shapes = {m: self._shapes[m] for m in self.modalities_}
        return {m: arrays[m] for m in self.modalities_}

    def _set_aside(self, samples: Samples, seed: int, groups: np.ndarray | None) -> np.ndarray:
        """Which samples validate: a share of each class, or whole groups; no modality is taken as a whole."""
        rng = np.random.default_rng(seed)
        fraction = min(self.validation_fraction, _VALIDATION_ROWS / max((samples.codes >= 0).sum(), 1))
        observed = np.stack([observed_rows(values) for values in samples.arrays.values()], axis=1)
        if groups is not None:
            needed = np.hstack([observed, samples.codes[:, None] == np.arange(len(self.classes_))])
            return grouped_part(samples.codes, groups, fraction, rng, needed)
        chosen = stratified_part(samples.codes, fraction, rng, self.classes_.tolist())
        lost = ~np.delete(observed, chosen, axis=0).any(0)
        kept = chosen[~observed[chosen][:, lost].any(1)]
        if not len(kept):
            raise InputError(
                f"{named_modalities(np.array(self.modalities_)[lost].tolist())} is observed in {len(chosen)} training "
                "sample(s), all of which the inner validation split took: give more, or a validation set of your own"
            )
        return kept

    def _fit(
        self,
        samples: Samples,
        held_out: Samples | None,
        groups: np.ndarray | None,
        specifications: list[Specification],
        kept: Path | None,
    ) -> None:
        """Train with a validation set, weigh the members by it, and train on with everything."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        training, validation = samples, held_out
        if validation is None:
            chosen = self._set_aside(samples, seed, groups)
            training, validation = samples.without(chosen), samples.take(chosen)
        standardizer = Standardizer.fit(training.arrays, training.weights, self.impute)
        schedule = Schedule(self.max_steps, self.batch_size, self.learning_rate, self.weight_decay, self.patience)

        def batch(part: Samples) -> Batch:
            packed = standardizer.batch(part.arrays, part.codes, np.float32, part.weights)
            return packed.to(choices.device(self.device))

        data, how = (batch(training), batch(validation)), (schedule, seed)
        report = partial(self._report, "trained")
        members, histories = fit_members(
            specifications, data, len(self.classes_), *how, report, kept and KeptMembers(kept)
        )
        shown = np.stack([observed_rows(training.arrays[m]) for m in self.modalities_], axis=1)
        weights, likelihoods = fit_weights(members, torch.from_numpy(shown), data[1], self._log_prior)
        power = self._missingness_power(members, weights, data[1], training) if self.informative_missingness else None
        if self.refit and held_out is None:
            report = partial(self._report, "went on with all samples:")
            continue_members(members, histories, batch(samples), *how, report, kept and KeptMembers(kept / "refit"))
            training = samples
        counts = None if validation.weights is None else validation.weights[validation.codes != UNLABELLED]
        learnt = {
            "weight": weights.general.tolist(),
            "temperature": weights.general_temperatures.tolist(),
            "validation_nll": (-np.average(likelihoods, axis=1, weights=counts)).tolist(),
            "steps": [[h.best_step for h in stages] for stages in histories],
        }
        self.members_ = [
            {"method": s.method_name, "encoders": s.encoder_names, "objective": s.objective}
            | {name: of[i] for name, of in learnt.items()}
            for i, s in enumerate(specifications)
        ]
        self._standardizer, self._weights = standardizer, weights
        if power is not None:
            self.missingness_power_, self._gaps = power, _gap_table(training, len(self.classes_), power)
        self._members = [member.to(choices.device(self.device), member.precision) for member in members]

    def _missingness_power(self, members, weights, held: Batch, training: Samples) -> float:
        """Return how much the validation set wants patterns to count, learnt from the training samples alone."""
        held = held.select(held.labelled)
        logs = weights.average(log_posteriors(members, held), held.observed, self._log_prior).double().cpu().numpy()
        counts = None if held.weights is None else held.weights.cpu().numpy()
        seen = held.observed.cpu().numpy(), held.labels.cpu().numpy(), counts
        return best_power(_gap_table(training, len(self.classes_), 1.0), logs, *seen)

    def _report(self, what: str, specification: Specification, stage: str, done: float) -> None:
        if self.verbose and done == 1:
            encoders = ", ".join(f"{m}: {e}" for m, e in specification.encoder_names.items())
            print(f"{what} {stage} ({specification.method_name}, {specification.objective} objective; {encoders})")

    def _batch(self, X: Any) -> Batch:
        check_is_fitted(self)
        arrays = self._read(X, reset=False)
        none = np.full(len(next(iter(arrays.values()))), UNLABELLED)
        member = next(self._members[0].method.parameters())
        return self._standardizer.batch(arrays, none).to(member.device, member.dtype)

    def _held_out(self, validation: tuple[Any, ...] | None) -> Samples | None:
        """A validation set given by the user, its labels in the training data's classes."""
        if validation is None:
            return None
        if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
            raise InputError(f"validation is a {type(validation).__name__}: expected a pair (X, y), or with weights")
        for values, name in zip(validation[1:], ("y", "sample_weight"), strict=False):
            if name == "y" or isinstance(values, pd.Series):
                check_pairs(validation[0], values, name)
        labels = read_labels(validation[1], self.unlabelled, self.classes_)
        weights = read_weights(validation[2] if len(validation) == 3 else None, self.class_weight, labels)
        samples = Samples(self._read(validation[0], reset=False), labels.codes, weights)
        if (labels.codes == UNLABELLED).all():
            raise InputError("no validation sample has a label")
        return samples


def _gap_table(samples: Samples, n_classes: int, power: float) -> GapTable:
    labelled = samples.take(np.flatnonzero(samples.codes != UNLABELLED))
    observed = np.stack([observed_rows(values) for values in labelled.arrays.values()], axis=1)
    return GapTable.of(observed, labelled.codes, n_classes, labelled.weights, power)
