"""The classifier's parameters: what cannot be meant is refused, and what is meant made concrete."""

import pytest
import torch
from torch import nn

from elision import FUSIONS, METHODS, InputError, MultimodalClassifier
from elision import choices as chosen
from elision.fusion import Addition
from elision.methods.zero_padding import ZeroPadding


def parameters(**changes):
    return MultimodalClassifier(**changes).get_params(deep=False)


@pytest.mark.parametrize(("changes", "words"), [
    ({"encoders": None}, "encoders is a NoneType: expected a name"),
    ({"encoders": {"a": 3, "b": "linear"}}, "no torch.nn.Module"),
    ({"modalities": ["a", "b"]}, "expected a dict"),
    ({"modalities": {}}, "expected a dict"),
    ({"method": "ae2", "method_options": {"round": 3}}, "no option 'round'.*rounds"),
    ({"method": "late-fusion", "method_options": {"rate": 3}}, "no option 'rate'.*none"),
    ({"method": 3}, "method is 3: expected a name, or a subclass of Method"),
    ({"fusion": nn.Linear}, "expected a name, or a subclass of Fusion"),
    ({"objective": "both"}, "unknown objective 'both': choose from all, auto, conditional, joint"),
    ({"device": "abacus"}, "device 'abacus' cannot be used here; 'cpu' always can"),
])  # fmt: skip
def test_choices_of_the_wrong_kind_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        chosen.check(parameters(**changes))


@pytest.mark.parametrize("changes", [
    {"n_features": 0}, {"n_features": 2.5}, {"n_features": True}, {"patience": 0}, {"learning_rate": -1},
    {"learning_rate": float("nan")}, {"learning_rate": float("inf")}, {"validation_fraction": 1.0},
    {"validation_fraction": 0}, {"max_steps": 0}, {"max_steps": -5}, {"max_steps": 2.5}, {"batch_size": 0},
    {"batch_size": -5}, {"weight_decay": -1}, {"rank": 0, "fusion": "outer-product"},
], ids=str)  # fmt: skip
def test_a_number_out_of_range_is_refused_by_name(changes):
    name, value = next(iter(changes.items()))
    with pytest.raises(InputError, match=f"{name} is {value!r}: expected a "):
        chosen.check(parameters(**changes))


def test_a_method_of_the_users_own_class_of_fusion_is_still_held_to_its_objectives():
    class Mine(Addition):
        """Not registered."""

    with pytest.raises(InputError, match="no objective 'joint'"):
        chosen.check(parameters(method="lower-bound", fusion=Mine, objective="joint"))


def test_auto_is_a_methods_own_objective_and_the_methods_beside_it():
    mle, beside = METHODS["mle"], METHODS["modality-dropout"]
    found = chosen.specifications(parameters(method_options={"bank_of": "all"}), ("a",))
    assert [(s.method, s.objective, s.encoders["a"], s.options) for s in found] == [
        (method, objective, encoder, options)
        for encoder in ("kernel", "mlp")
        for method, objective, options in ((mle, "joint", {"bank_of": "all"}), (beside, "conditional", {}))
    ]
    alone = chosen.specifications(parameters(method="late-fusion"), ("a",))
    assert [(s.method, s.objective) for s in alone] == [(METHODS["late-fusion"], "conditional")] * 2


def test_all_is_every_objective_under_every_set_of_encoders():
    found = chosen.specifications(parameters(rank=3, n_features=5, objective="all"), ("b", "a"))
    assert [(s.encoder_names, s.objective) for s in found] == [
        ({"b": encoder, "a": encoder}, objective)
        for encoder in ("kernel", "mlp")
        for objective in METHODS["mle"].claims.objectives
    ]
    assert {(s.method, s.fusion, s.rank, s.n_features) for s in found} == {(METHODS["mle"], FUSIONS["addition"], 3, 5)}
    assert [list(s.encoders) for s in found] == [["b", "a"]] * 4, "in the order of the data"


def test_an_encoder_of_ones_own_stands_in_every_set():
    module = nn.Linear(2, 32)
    found = chosen.specifications(
        parameters(method=ZeroPadding, encoders={"a": module, "b": "auto"}, objective="conditional"), ("a", "b")
    )
    assert [(s.encoders["a"] is module, s.encoders["b"]) for s in found] == [(True, "kernel"), (True, "mlp")]


def test_every_modality_needs_an_encoder():
    with pytest.raises(InputError, match=r"encoders are given for \['a'\]: expected one for each of \['a', 'b'\]"):
        chosen.specifications(parameters(encoders={"a": "mlp"}), ("a", "b"))


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert chosen.device("auto").type == expected
