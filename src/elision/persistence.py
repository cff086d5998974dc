"""Saved models: a folder of safetensors and JSON. Nothing is pickled, and what was written is checked when read."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from elision import choices
from elision.alignment import flat_name
from elision.categories import Categories, Levels
from elision.decisions.gaps import GapTable
from elision.decisions.sets import Calibration
from elision.ensemble import Extent, Member, Specification
from elision.errors import InputError, check_choice
from elision.imputation import Filling
from elision.inputs import Standardizer
from elision.models import CLASSIFIER, read_model, write_model
from elision.registries import FUSIONS, METHODS
from elision.stacking import PatternWeights

LEARNT = (
    "classes_", "class_prior_", "modalities_", "unseen_modalities_", "partial_rows_", "filled_shares_",
    "n_samples_", "rows_seen_", "n_unlabelled_", "members_", "missingness_power_", "n_features_in_",
    "feature_names_in_",
)  # fmt: skip
"""Public attributes of a fitted classifier; the last three only where missingness is informative, or X was a table."""
_ARRAYS = ("classes_", "class_prior_", "feature_names_in_")
_OWN = "own"


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Hold what a classifier is made of, and what it knows of its training.

    Args:
        parameters: the constructor's arguments, by name.
        learnt: the attributes of `LEARNT` that it has, by name.
        columns: modality -> names of its columns, where they have names.
        categories: modality -> the levels of its columns of categories.
        shapes: modality -> shape of a row.
        standardizer: fitted on the training samples.
        members: trained.
        weights: of the members.
        calibration: of sets, if they were calibrated.
        gaps: P(S | z), if missingness is informative.
    """

    parameters: Mapping[str, Any]
    learnt: Mapping[str, Any]
    columns: Mapping[str, Sequence[Hashable]]
    categories: Mapping[str, Categories]
    shapes: Mapping[str, tuple[int, ...]]
    standardizer: Standardizer
    members: Sequence[Member]
    weights: PatternWeights
    calibration: Calibration | None = None
    gaps: GapTable | None = None


def write_classifier(fitted: FittedClassifier, path: Path) -> None:
    """Write a fitted classifier; an earlier model at ``path`` gives way once the new one is complete."""
    write_model(path, CLASSIFIER, json.loads(json.dumps(_describe(fitted), default=_plain)), _tensors(fitted))


def read_classifier(path: Path, modules: Mapping[str, nn.Module], device: str | None) -> FittedClassifier:
    """Read what `write_classifier` wrote; ``modules``: the user's own encoders; ``device`` replaces that of the fit."""
    saved = read_model(path)
    if saved.kind != CLASSIFIER:
        raise InputError(
            f"{path} holds a model of kind {saved.kind!r}, trained from recordings, and no classifier of tables: "
            f"elision.load({str(path)!r}) opens it"
        )
    description = dict(saved.description)
    if device is not None:
        description["parameters"] = description["parameters"] | {"device": device}
    return _restore(description, saved.tensors, modules)


def _describe(fitted: FittedClassifier) -> dict[str, Any]:
    learnt = {name: np.asarray(v).tolist() if name in _ARRAYS else v for name, v in fitted.learnt.items()}
    return {
        "parameters": _plain_parameters(fitted.parameters),
        "learnt": learnt | {"classes_": {"dtype": fitted.learnt["classes_"].dtype.str, "values": learnt["classes_"]}},
        "columns": {m: list(names) for m, names in fitted.columns.items()},
        "categories": {m: [(c, s.values, s.ordered) for c, s in own.items()] for m, own in fitted.categories.items()},
        "shapes": {m: list(shape) for m, shape in fitted.shapes.items()},
        "rows": fitted.members[0].extent.rows,
        "weights": {f.name: getattr(fitted.weights, f.name).tolist() for f in fields(PatternWeights)},
        "calibration": fitted.calibration and fitted.calibration.described(),
        "gaps": fitted.gaps and {f.name: np.asarray(getattr(fitted.gaps, f.name)).tolist() for f in fields(GapTable)},
        "specifications": [_describe_specification(member) for member in fitted.members],
    }


def _plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments as JSON holds them: registered parts by name, slices by their bounds."""
    parameters = dict(parameters)
    for part, registry in (("method", METHODS), ("fusion", FUSIONS)):
        parameters[part] = _name_of(parameters[part], registry)
    if not isinstance(parameters["encoders"], str):
        parameters["encoders"] = {m: e if isinstance(e, str) else _OWN for m, e in parameters["encoders"].items()}
    if parameters["modalities"] is not None:
        parameters["modalities"] = {m: _plain_columns(c) for m, c in parameters["modalities"].items()}
    if isinstance(parameters["class_weight"], Mapping):  # JSON's keys are strings, and classes need not be
        parameters["class_weight"] = [list(pair) for pair in parameters["class_weight"].items()]
    if not isinstance(parameters["random_state"], (int, np.integer)):
        parameters["random_state"] = None  # a generator's state is not a parameter to save
    return parameters


def _plain(value: Any) -> Any:
    """A number or string of numpy's as Python's own, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise InputError(f"a parameter is {value!r}, of type {type(value).__name__}: a saved model holds plain values only")


def _plain_columns(columns: Any) -> Any:
    if isinstance(columns, slice):
        return {"slice": [columns.start, columns.stop, columns.step]}
    return [columns] if np.ndim(columns) == 0 else [flat_name(c) for c in columns]


def _name_of(part: Any, registry: Mapping[str, Any]) -> str:
    names = {id(value): name for name, value in registry.items()} | {id(name): name for name in registry}
    name = part if isinstance(part, str) else names.get(id(part))
    if name is None:
        raise InputError(
            f"{part!r} has no name, and a saved model holds no code by which to find it again: save supports "
            f"{', '.join(registry)}, and a part of your own once it has a name (docs/how-to/own-method.md)"
        )
    return name


def _describe_specification(member: Member) -> dict[str, Any]:
    s = member.specification
    encoders = {m: e if isinstance(e, str) else _OWN for m, e in s.encoders.items()}
    parts = {"method": _name_of(s.method, METHODS), "fusion": _name_of(s.fusion, FUSIONS), "encoders": encoders}
    return vars(s) | parts | {"options": dict(s.options)}


def _tensors(fitted: FittedClassifier) -> dict[str, torch.Tensor]:
    """Return every number of the model under a name; frozen maps that members share are written once."""
    tensors = {}
    for m in fitted.shapes:
        tensors[f"mean/{m}"] = torch.from_numpy(np.asarray(fitted.standardizer.mean[m]))
        tensors[f"scale/{m}"] = torch.from_numpy(np.asarray(fitted.standardizer.scale[m]))
    fillings = fitted.standardizer.fillings
    tensors |= {f"filling/{m}": torch.from_numpy(filling.rows) for m, filling in fillings.items()}
    for i, (member, first) in enumerate(zip(fitted.members, _sharing(fitted.members), strict=True)):
        parts = {f"method/{i}": member.method}
        if first == i:
            parts |= {f"frozen/{i}/{j}": frozen for j, frozen in enumerate(member.frozen.values())}
        for part, module in parts.items():
            tensors |= {
                f"{part}/{name}": value.contiguous().cpu().clone() for name, value in module.state_dict().items()
            }
    return tensors


def _sharing(members: Sequence[Member]) -> list[int]:
    """Return for each member the first one that has the same frozen maps."""
    ids = [id(member.frozen) for member in members]
    return [ids.index(i) for i in ids]


def _restore(description, tensors, modules) -> FittedClassifier:
    parameters = _restored_parameters(description["parameters"], modules)
    shapes = {m: tuple(shape) for m, shape in description["shapes"].items()}
    learnt = dict(description["learnt"])
    learnt["classes_"] = np.array(learnt["classes_"]["values"], dtype=np.dtype(learnt["classes_"]["dtype"]))
    learnt["class_prior_"] = np.array(learnt["class_prior_"])
    for name in ("modalities_", "unseen_modalities_"):
        learnt[name] = tuple(learnt.get(name, ()))
    if "feature_names_in_" in learnt:
        learnt["feature_names_in_"] = np.array(learnt["feature_names_in_"], dtype=object)
    given = description["weights"]
    for old, new in (("weights", "temperatures"), ("general", "general_temperatures")):  # models from before these
        given.setdefault(new, np.ones_like(given[old]).tolist())
    weights = PatternWeights(
        torch.tensor(given["patterns"], dtype=torch.bool),
        *(torch.tensor(given[f.name], dtype=torch.float64) for f in fields(PatternWeights)[1:]),
    )
    fillings = {
        m: Filling(parameters["impute"], tensors[f"filling/{m}"].numpy()) for m in shapes if f"filling/{m}" in tensors
    }
    mean, scale = ({m: tensors[f"{part}/{m}"].numpy() for m in shapes} for part in ("mean", "scale"))
    standardizer = Standardizer(mean, scale, fillings)
    extent = Extent(shapes, description["rows"], len(learnt["classes_"]))
    members = _restored_members(description["specifications"], extent, tensors, modules, parameters["device"])
    calibration, gaps = description.get("calibration"), description.get("gaps")
    categories = {
        m: {c: Levels(tuple(values), ordered) for c, values, ordered in own}
        for m, own in description.get("categories", {}).items()
    }
    answers = calibration and Calibration.restored(calibration), gaps and _gaps(gaps)
    return FittedClassifier(
        parameters, learnt, description["columns"], categories, shapes, standardizer, members, weights, *answers
    )


def _gaps(values: Mapping[str, Any]) -> GapTable:
    shown = np.array(values["shown"])
    patterns = np.array(values["patterns"], dtype=bool).reshape(-1, shown.shape[1])
    counts = np.array(values["counts"]).reshape(-1, len(shown))
    return GapTable(shown, patterns, counts, np.array(values["sizes"]), values["power"])


def _restored_members(specifications, extent: Extent, tensors, modules, device: str) -> list[Member]:
    members: list[Member] = []
    for i, specification in enumerate(specifications):
        member = _restore_member(specification, extent, modules)
        _load_state(member.method.eval(), tensors, f"method/{i}/")
        shared = next((j for j, s in enumerate(specifications[:i]) if s["encoders"] == specification["encoders"]), i)
        if shared < i:
            member.frozen = members[shared].frozen
        else:
            for j, frozen in enumerate(member.frozen.values()):
                _load_state(frozen, tensors, f"frozen/{i}/{j}/")
        members.append(member.to(choices.device(device), member.precision))
    return members


def _restored_parameters(parameters: dict[str, Any], modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    parameters = dict(parameters)
    if isinstance(parameters["encoders"], dict):
        parameters["encoders"] = {m: _module(m, e, modules) for m, e in parameters["encoders"].items()}
    if isinstance(parameters.get("class_weight"), list):
        parameters["class_weight"] = dict(parameters["class_weight"])
    if parameters["modalities"] is not None:
        parameters["modalities"] = {
            m: slice(*c["slice"]) if isinstance(c, dict) else c for m, c in parameters["modalities"].items()
        }
    return parameters


def _restore_member(specification: dict[str, Any], extent: Extent, modules: Mapping[str, nn.Module]) -> Member:
    check_choice("method", specification["method"], METHODS)
    check_choice("fusion", specification["fusion"], FUSIONS)
    encoders = {m: _module(m, e, modules) for m, e in specification["encoders"].items()}
    parts = {
        "method": METHODS[specification["method"]],
        "fusion": FUSIONS[specification["fusion"]],
        "encoders": encoders,
    }
    return Member.build(Specification(**specification | parts), extent, torch.zeros(extent.n_classes), seed=0)


def _module(modality: str, encoder: str, modules: Mapping[str, nn.Module]) -> str | nn.Module:
    if encoder != _OWN:
        return encoder
    if modality not in modules:
        raise InputError(
            f"modality {modality!r} was encoded by a module of your own, which a saved model does not hold: "
            f"pass load(path, encoders={{{modality!r}: module}}) with the same architecture"
        )
    return modules[modality]


def _load_state(module: nn.Module, tensors: Mapping[str, torch.Tensor], prefix: str) -> None:
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        module.double().load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"the saved tensors {prefix}* do not fit the model: {error}") from error
