"""Learning rates by fan-in: activations move alike at any width, and so does what is learnt from a wide modality."""

import numpy as np
import pytest
import torch
from torch import nn

from elision.encoders import UnitRowLinear, kernel
from elision.estimator import MultimodalClassifier
from elision.rates import FAN_IN, fan_in, parameter_groups

LAYERS = [
    (nn.Linear(6144, 3), 6144),
    (nn.Conv2d(64, 8, 3), 64 * 9),
    (nn.Conv2d(64, 64, 3, groups=64), 9),
    (nn.Conv1d(40, 4, 5), 200),
    (nn.ConvTranspose2d(32, 4, 2), 32 * 4),
    (nn.Embedding(7, 20), 20),
    (UnitRowLinear(900, 2), 30),
]


@pytest.mark.parametrize(("layer", "inputs"), LAYERS, ids=lambda x: type(x).__name__)
def test_fan_in_counts_what_an_output_sums_over(layer, inputs):
    assert fan_in(layer, layer.weight) == inputs
    if getattr(layer, "bias", None) is not None:
        assert fan_in(layer, layer.bias) == 1


@pytest.mark.parametrize("width", [16, FAN_IN, 1000, 6144])
def test_a_step_of_adam_moves_activations_alike_at_any_width(width):
    """Adam's first step moves each weight by its rate against the gradient's sign: an output by rate times width."""
    torch.manual_seed(0)
    layer = nn.Linear(width, 4, bias=False, dtype=torch.float64)
    x = torch.randint(0, 2, (1, width)).double() * 2 - 1
    optimizer = torch.optim.Adam(parameter_groups(layer, layer.parameters(), 1e-3), eps=0.0, fused=True)
    before = layer(x).detach()
    layer(x).sum().backward()
    optimizer.step()
    torch.testing.assert_close(before - layer(x).detach(), torch.full((1, 4), 1e-3 * min(width, FAN_IN)).double())


def test_a_row_of_a_kernel_adds_up_to_the_fan_in_of_its_layer_at_most():
    encoder = kernel((5,), 400, 4)
    rows = torch.randn(500, 5)
    encoder.frozen.fit(rows[:400], 0)
    features = encoder.frozen(rows)
    assert features.square().sum(1).max() < 1 + 1e-4  # new rows are projected: shorter
    assert features.abs().sum(1).max() <= fan_in(encoder.trained, encoder.trained.weight) == 20


def test_every_parameter_is_in_one_group_and_vectors_keep_the_base_rate():
    model = nn.Sequential(nn.Conv2d(512, 2, 1), nn.Flatten(), nn.Linear(256, 300), nn.LayerNorm(300), nn.Linear(300, 2))
    groups = parameter_groups(model, model.parameters(), 0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(model.parameters()))
    expected = {"0.weight": 0.125, "2.weight": 0.25, "4.weight": 0.5 * 128 / 300}
    for name, p in model.named_parameters():
        assert rates[id(p)] == pytest.approx(expected.get(name, 0.5))
    kept = parameter_groups(model, model.parameters(), 0.5, convolutions=False)
    assert next(group["lr"] for group in kept if any(p is model[0].weight for p in group["params"])) == 0.5


def test_a_wide_and_a_narrow_copy_of_a_modality_learn_alike():
    """Each of 20 columns 300 times over tells no more than once.

    A fifth of what the narrow copy gains over chance may be lost: the copies' first weights add up to larger ones.
    Without the rule the wide copy ends worse than chance.
    """
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    a, b = (rng.normal(size=(4, 20))[y] + 1.5 * rng.normal(size=(400, 20)) for _ in range(2))
    nll = {}
    for name, times in (("narrow", 1), ("wide", 300)):
        x = {"a": np.tile(a, (1, times)), "b": np.where(rng.random((400, 1)) < 0.5, np.nan, b)}
        model = MultimodalClassifier(encoders="mlp", objective="conditional", random_state=0)
        model.fit({m: v[:200] for m, v in x.items()}, y[:200])
        rows = model.predict_log_proba({"a": x["a"][200:], "b": b[200:]})
        nll[name] = -rows[np.arange(200), y[200:]].mean()
    assert nll["wide"] - nll["narrow"] < 0.2 * (np.log(4) - nll["narrow"])
