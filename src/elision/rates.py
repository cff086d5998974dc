"""Learning rates of a stage's parameters, and the steps by them: rates of wide matrices fall with their fan-in.

Adam moves every weight by about its rate, so one step moves an activation of d inputs by up to d times the rate. At
5e-3 and d in the thousands that is tens; log mean exp over a bank is then ruled by a few of its rows. A rate in
inverse proportion to the fan-in moves activations alike at any width. What moves them is the sum of the inputs'
magnitudes: about d for standardised inputs, and at most its square root for rows of length 1, such as a kernel's.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim.adam import adam

FAN_IN = 128
"""Inputs up to which a weight matrix keeps the base rate: the width of the layers that this rate was chosen on."""


def fan_in(module: nn.Module, parameter: nn.Parameter) -> float:
    """Return how many inputs each output of a parameter sums over; 1 for vectors, such as biases and norms' scales.

    Args:
        module: that holds the parameter itself; its attribute ``fan_in``, if it has one, says how many standardised
            inputs its own are worth.
        parameter: of a convolution, channels of its group times kernel area count; of anything else the last
            dimension, so that a stack of matrices such as the label embeddings (M, K, k) has k inputs.
    """
    if parameter.dim() < 2:
        return 1
    if isinstance(given := getattr(module, "fan_in", None), float):
        return given
    if isinstance(module, _ConvNd):
        return module.in_channels // module.groups * math.prod(module.kernel_size)
    return parameter.shape[-1]


def parameter_groups(
    model: nn.Module, parameters: Iterable[nn.Parameter], rate: float, convolutions: bool = True
) -> list[dict[str, Any]]:
    """Return an Adam optimiser's groups, in which the rate of each weight is multiplied by min(1, 128 / fan-in).

    The maximal-update parametrisation's rule for weights under Adam (Yang and Hu, arXiv 2011.14522; Yang et al., arXiv
    2203.03466, table 3), bounded so that narrow layers keep the rate that was chosen on them. Not for plain gradient
    descent, whose steps shrink with the gradients.

    Args:
        model: holds the parameters.
        parameters: what is optimised; those that the model does not hold go by their last dimension.
        rate: the base rate, > 0.
        convolutions: False leaves these the base rate, where a normalisation behind each takes their scale away.

    Returns:
        A group per factor, ``params``, ``lr`` and ``factor`` in (0, 1]; parameters in each in the order given.

    Example:
        >>> wide = nn.Linear(1280, 10)
        >>> [(group["factor"], len(group["params"])) for group in parameter_groups(wide, wide.parameters(), 1.0)]
        [(0.1, 1), (1.0, 1)]
    """
    holders = {id(p): module for module in model.modules() for p in module.parameters(recurse=False)}
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        module = holders.get(id(parameter), model)
        kept = isinstance(module, _ConvNd) and not convolutions
        factor = 1.0 if kept else min(1.0, FAN_IN / max(fan_in(module, parameter), 1))
        groups.setdefault(factor, []).append(parameter)
    return [{"params": group, "lr": rate * factor, "factor": factor} for factor, group in groups.items()]


def one_cycle(step: int, n_steps: int) -> tuple[float, float]:
    """Return the share of the peak rate and Adam's first momentum at a step, counted from 0.

    The rate rises over the first tenth of the steps from 1/25 of its peak, and falls to 1/250,000 over the others; the
    momentum goes from .95 to .85 and back, all by a cosine (Smith and Topin 2018). Equal to torch's `OneCycleLR`.
    """
    n_steps = max(n_steps, 3)
    peak = max(0.1, 2 / n_steps) * n_steps - 1
    low, share = (1 / 25, step / peak) if step <= peak else (1 / 250_000, (n_steps - 1 - step) / (n_steps - 1 - peak))
    way = (1 - math.cos(math.pi * share)) / 2
    return low + (1 - low) * way, 0.95 - 0.1 * way


class Adam:
    """Adam with L2 regularisation by torch's own function, in one fused step for each group of parameters.

    `torch.optim.Adam` imports torch's compiler when the first one is made: 1.4 s of the first fit in a process.

    Args:
        groups: ``params`` and ``lr`` of each.
        weight_decay: L2 regularisation.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], weight_decay: float) -> None:
        self.groups, self.weight_decay = groups, weight_decay
        self.factor, self.beta = 1.0, 0.9
        self.state: dict[nn.Parameter, tuple[Tensor, Tensor, Tensor]] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient, at ``factor`` times its group's rate."""
        for group in self.groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if p not in self.state:
                    counter = torch.zeros((), dtype=torch.float32, device=p.device)
                    self.state[p] = torch.zeros_like(p), torch.zeros_like(p), counter
            means, squares, steps = zip(*(self.state[p] for p in moved), strict=True) if moved else ((), (), ())
            adam(
                moved, [p.grad for p in moved], list(means), list(squares), [], list(steps), fused=True, amsgrad=False,
                beta1=self.beta, beta2=0.999, lr=self.factor * group["lr"], weight_decay=self.weight_decay, eps=1e-8,
                maximize=False,
            )  # fmt: skip
