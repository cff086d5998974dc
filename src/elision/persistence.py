"""Saved models: a folder of safetensors and JSON. Nothing is pickled, and what was written is checked when read."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from elision import choices
from elision.ensemble import Extent, Member, Specification
from elision.errors import InputError, check_choice
from elision.inputs import Standardizer
from elision.models import read_model, write_model
from elision.registries import FUSIONS, METHODS
from elision.stacking import PatternWeights

if TYPE_CHECKING:
    from elision.estimator import MultimodalClassifier

KIND = "classifier"
_OWN = "own"


def save(estimator: "MultimodalClassifier", path: Path) -> None:
    """Write a fitted classifier; an earlier model at ``path`` gives way once the new one is complete."""
    write_model(path, KIND, json.loads(json.dumps(_describe(estimator), default=_plain)), _tensors(estimator))


def load(
    cls: type["MultimodalClassifier"], path: Path, modules: Mapping[str, nn.Module], device: str | None
) -> "MultimodalClassifier":
    """Read what `save` wrote; ``modules`` are the user's own encoders, ``device`` replaces the one it was fitted on."""
    saved = read_model(path)
    if saved.kind != KIND:
        raise InputError(
            f"{path} holds a model of kind {saved.kind!r}, trained from recordings, and no classifier of tables: "
            f"elision.load({str(path)!r}) opens it"
        )
    description = dict(saved.description)
    if device is not None:
        description["parameters"] = description["parameters"] | {"device": device}
    return _restore(cls, description, saved.tensors, modules)


def _describe(estimator: "MultimodalClassifier") -> dict[str, Any]:
    extent = estimator._members[0].extent
    columns = {
        name: getattr(estimator, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(estimator, name)
    }
    return {
        "parameters": _parameters(estimator),
        "classes": {"dtype": estimator.classes_.dtype.str, "values": estimator.classes_.tolist()},
        "class_prior": estimator.class_prior_.tolist(),
        "modalities": list(estimator.modalities_),
        "columns": {name: np.asarray(value).tolist() for name, value in columns.items()},
        "names": {m: list(names) for m, names in estimator._columns.items()},
        "shapes": {m: list(shape) for m, shape in estimator._shapes.items()},
        "rows": extent.rows,
        "partial_rows": estimator.partial_rows_,
        "n_unlabelled": estimator.n_unlabelled_,
        "weights": {f.name: getattr(estimator._weights, f.name).tolist() for f in fields(PatternWeights)},
        "members": estimator.members_,
        "specifications": [_describe_specification(member) for member in estimator._members],
    }


def _parameters(estimator: "MultimodalClassifier") -> dict[str, Any]:
    """The constructor's arguments as JSON holds them: registered parts by name, slices by their bounds."""
    parameters = estimator.get_params(deep=False)
    parameters["method"], parameters["fusion"] = (
        _name_of(parameters["method"], METHODS),
        _name_of(parameters["fusion"], FUSIONS),
    )
    if not isinstance(parameters["encoders"], str):
        parameters["encoders"] = {m: e if isinstance(e, str) else _OWN for m, e in parameters["encoders"].items()}
    if parameters["modalities"] is not None:
        names = {m: _plain_columns(c) for m, c in parameters["modalities"].items()}
        parameters["modalities"] = names
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
    return [columns] if np.ndim(columns) == 0 else list(columns)


def _name_of(part: Any, registry: Mapping[str, Any]) -> str:
    names = {id(value): name for name, value in registry.items()} | {id(name): name for name in registry}
    name = part if isinstance(part, str) else names.get(id(part))
    if name is None:
        raise InputError(
            f"{part!r} is not registered, so a saved model could not find it again: save supports {', '.join(registry)}"
        )
    return name


def _describe_specification(member: Member) -> dict[str, Any]:
    s = member.specification
    return {
        "method": _name_of(s.method, METHODS),
        "fusion": _name_of(s.fusion, FUSIONS),
        "objective": s.objective,
        "encoders": {m: e if isinstance(e, str) else _OWN for m, e in s.encoders.items()},
        "n_features": s.n_features,
        "rank": s.rank,
        "bank": s.bank,
        "options": dict(s.options),
    }


def _tensors(estimator: "MultimodalClassifier") -> dict[str, torch.Tensor]:
    """Every number of the model under a name; frozen maps that members share are written once."""
    tensors = {}
    for m in estimator.modalities_:
        tensors[f"mean/{m}"] = torch.from_numpy(np.asarray(estimator._standardizer.mean[m]))
        tensors[f"scale/{m}"] = torch.from_numpy(np.asarray(estimator._standardizer.scale[m]))
    for i, (member, first) in enumerate(zip(estimator._members, _sharing(estimator._members), strict=True)):
        parts = {f"method/{i}": member.method}
        if first == i:
            parts |= {f"frozen/{i}/{j}": frozen for j, frozen in enumerate(member.frozen.values())}
        for part, module in parts.items():
            tensors |= {
                f"{part}/{name}": value.contiguous().cpu().clone() for name, value in module.state_dict().items()
            }
    return tensors


def _sharing(members: list[Member]) -> list[int]:
    """For each member the first one that has the same frozen maps."""
    ids = [id(member.frozen) for member in members]
    return [ids.index(i) for i in ids]


def _restore(cls, description, tensors, modules) -> "MultimodalClassifier":
    estimator = cls(**_restored_parameters(description["parameters"], modules))
    classes = description["classes"]
    estimator.classes_ = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))
    estimator.class_prior_ = np.array(description["class_prior"])
    estimator.modalities_ = tuple(description["modalities"])
    for name, value in description["columns"].items():
        setattr(estimator, name, np.array(value, dtype=object) if isinstance(value, list) else value)
    estimator._columns = description["names"]
    estimator._shapes = {m: tuple(shape) for m, shape in description["shapes"].items()}
    estimator.partial_rows_, estimator.n_unlabelled_ = description["partial_rows"], description["n_unlabelled"]
    weights = description["weights"]
    patterns = torch.tensor(weights["patterns"], dtype=torch.bool)
    estimator._weights = PatternWeights(
        patterns, *(torch.tensor(weights[name], dtype=torch.float64) for name in ("weights", "general"))
    )
    estimator.members_ = description["members"]
    estimator._standardizer = Standardizer(
        {m: tensors[f"mean/{m}"].numpy() for m in estimator.modalities_},
        {m: tensors[f"scale/{m}"].numpy() for m in estimator.modalities_},
    )
    extent = Extent(estimator._shapes, description["rows"], len(estimator.classes_))
    device = choices.device(estimator.device)
    estimator._members = []
    for i, specification in enumerate(description["specifications"]):
        member = _restore_member(specification, extent, modules)
        _load_state(member.method.eval(), tensors, f"method/{i}/")
        shared = next(
            (j for j, s in enumerate(description["specifications"][:i]) if s["encoders"] == specification["encoders"]),
            i,
        )
        if shared < i:
            member.frozen = estimator._members[shared].frozen
        else:
            for j, frozen in enumerate(member.frozen.values()):
                _load_state(frozen, tensors, f"frozen/{i}/{j}/")
        estimator._members.append(member.to(device, member.precision))
    return estimator


def _restored_parameters(parameters: dict[str, Any], modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    parameters = dict(parameters)
    if isinstance(parameters["encoders"], dict):
        parameters["encoders"] = {m: _module(m, e, modules) for m, e in parameters["encoders"].items()}
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
