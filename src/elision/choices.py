"""The classifier's parameters, checked once and made concrete: which models to train, on which device."""

import inspect
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from elision.bank import BANKS
from elision.encoders import AUTO
from elision.ensemble import Specification
from elision.errors import InputError, check_choice
from elision.fusion import Fusion
from elision.imputation import IMPUTERS
from elision.methods import Method
from elision.registries import ENCODERS, FUSIONS, METHODS

OBJECTIVES = ("auto", "all", "joint", "conditional")
"""What `MultimodalClassifier` takes for an objective."""
_OPTIONAL = ("rank", "max_steps", "batch_size")
_ABOVE_ZERO = dict.fromkeys(("n_features", "patience", *_OPTIONAL), numbers.Integral) | {"learning_rate": numbers.Real}


def specifications(parameters: Mapping[str, Any], modalities: Sequence[str]) -> list[Specification]:
    """One per (set of encoders, objective or method beside): what the classifier trains and averages.

    Args:
        parameters: the constructor's arguments, by name.
        modalities: of the training data.
    """
    method = _part("method", parameters["method"], METHODS, Method)
    fusion = _part("fusion", parameters["fusion"], FUSIONS, Fusion)
    kinds = [(method, o, parameters["method_options"]) for o in method.claims.meant(parameters["objective"])]
    if parameters["objective"] == "auto":
        kinds += [(METHODS[name], METHODS[name].claims.objectives[0], None) for name in method.claims.beside]
    return [
        Specification(
            method=kind,
            fusion=fusion,
            objective=objective,
            encoders=encoders,
            n_features=parameters["n_features"],
            rank=parameters["rank"],
            bank=parameters["bank"],
            options=dict(options or {}),
        )
        for encoders in _encoder_sets(parameters["encoders"], modalities)
        for kind, objective, options in kinds
    ]


def check(parameters: Mapping[str, Any], weighted: bool = False) -> None:
    """Raise `InputError` for whatever can be told to be wrong before any data is read; ``weighted``: samples are."""
    method = _part("method", parameters["method"], METHODS, Method)
    fusion = _part("fusion", parameters["fusion"], FUSIONS, Fusion)
    named = parameters["method"] if isinstance(parameters["method"], str) else method.__name__
    if method.claims.unweighted and (weighted or parameters["class_weight"] is not None):
        raise InputError(f"method {named!r} takes no weights: {method.claims.unweighted}; leave them out")
    check_choice("objective", parameters["objective"], OBJECTIVES)
    check_choice("bank", parameters["bank"], ("auto", *BANKS))
    check_choice("impute", parameters["impute"], IMPUTERS)
    registered = next((name for name, f in FUSIONS.items() if f is fusion), fusion.__name__)
    for objective in method.claims.meant(parameters["objective"]):
        method.claims.check(named, registered, objective)
    _check_encoders(parameters["encoders"])
    if parameters["modalities"] is not None and not (
        isinstance(parameters["modalities"], Mapping) and parameters["modalities"]
    ):
        raise InputError(f"modalities is {parameters['modalities']!r}: expected a dict, name -> columns of the table")
    options = list(inspect.signature(method).parameters)[1:]
    for name in parameters["method_options"] or {}:
        if name not in options:
            known = ", ".join(options) or "none"
            raise InputError(f"method {parameters['method']!r} has no option {name!r}: it has {known}")
    for name, kind in _ABOVE_ZERO.items():
        value = parameters[name]
        if value is None and name in _OPTIONAL:
            continue
        if not isinstance(value, kind) or isinstance(value, bool) or not 0 < value < np.inf:
            what = "a whole number" if kind is numbers.Integral else "a finite number"
            raise InputError(f"{name} is {value!r}: expected {what} above 0")
    decay, fraction = parameters["weight_decay"], parameters["validation_fraction"]
    if not isinstance(decay, numbers.Real) or not 0 <= decay < np.inf:
        raise InputError(f"weight_decay is {decay!r}: expected a finite number, 0 or above")
    if not isinstance(fraction, numbers.Real) or not 0 < fraction < 1:
        raise InputError(f"validation_fraction is {fraction!r}: expected a share between 0 and 1")
    if not isinstance(parameters["informative_missingness"], (bool, np.bool_)):
        raise InputError(
            f"informative_missingness is {parameters['informative_missingness']!r}: expected True or False"
        )
    device(parameters["device"])


def device(name: str) -> torch.device:
    """The device of that name, or with "auto" a GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device {name!r} cannot be used here; 'cpu' always can") from error


def _encoder_sets(encoders: Any, modalities: Sequence[str]) -> list[dict[str, Any]]:
    """Encoders by modality, in the data's order, which is that of every batch."""
    given = dict.fromkeys(modalities, encoders) if isinstance(encoders, str) else encoders
    if set(given) != set(modalities):
        raise InputError(f"encoders are given for {sorted(given)}: expected one for each of {sorted(modalities)}")
    chosen = {m: given[m] for m in modalities}
    alternatives = AUTO if any(_is_auto(e) for e in chosen.values()) else ("",)
    return [{m: name if _is_auto(e) else e for m, e in chosen.items()} for name in alternatives]


def _is_auto(encoder: Any) -> bool:
    return isinstance(encoder, str) and encoder == "auto"


def _check_encoders(encoders: Any) -> None:
    if not isinstance(encoders, (str, Mapping)):
        raise InputError(
            f"encoders is a {type(encoders).__name__}: expected a name, or a dict modality -> name or module"
        )
    for encoder in [encoders] if isinstance(encoders, str) else encoders.values():
        if isinstance(encoder, str):
            check_choice("encoder", encoder, ("auto", *ENCODERS))
        elif not isinstance(encoder, nn.Module):
            raise InputError(
                f"encoder {encoder!r} is no torch.nn.Module, and no name: {', '.join(('auto', *ENCODERS))}"
            )


def _part(what: str, given: Any, registry: Mapping[str, type], parent: type) -> type:
    if isinstance(given, str):
        check_choice(what, given, registry)
        return registry[given]
    if not (isinstance(given, type) and issubclass(given, parent)):
        raise InputError(f"{what} is {given!r}: expected a name, or a subclass of {parent.__name__}")
    return given
