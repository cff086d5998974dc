"""Learning rates of a stage's parameters: those of wide matrices fall with their fan-in.

Adam moves every weight by about its rate, so one step moves an activation of d inputs by up to d times the rate. At
5e-3 and d in the thousands that is tens; log mean exp over a bank is then ruled by a few of its rows. A rate in
inverse proportion to the fan-in moves activations alike at any width.
"""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

FAN_IN = 128
"""Inputs up to which a weight matrix keeps the base rate: the width of the layers that this rate was chosen on."""


def fan_in(module: nn.Module, parameter: nn.Parameter) -> int:
    """Return how many inputs each output of a parameter sums over; 1 for vectors, such as biases and norms' scales.

    Args:
        module: that holds the parameter itself.
        parameter: of a convolution, channels of its group times kernel area count; of anything else the last
            dimension, so that a stack of matrices such as the label embeddings (M, K, k) has k inputs.
    """
    if parameter.dim() < 2:
        return 1
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
