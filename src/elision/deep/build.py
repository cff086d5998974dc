"""From a config to a method with its encoders, untrained."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from elision.config import OWN, EncoderConfig, TrainConfig
from elision.deep.partition import StorePartition
from elision.errors import InputError
from elision.kinds import Modality
from elision.methods import Method
from elision.methods.across import ALONE, Across
from elision.methods.base import Ingredients
from elision.registries import FUSIONS, METHODS
from elision.training import seeded
from elision.vision import Own, network

_FIT_ROWS = 512
_HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

Modules = Mapping[str, nn.Module]
"""modality -> a module of the user's own."""


def build(
    config: TrainConfig,
    modalities: Mapping[str, Modality],
    log_prior: Tensor,
    modules: Modules,
    across: Across = ALONE,
) -> tuple[Method, dict[str, nn.Module]]:
    """Build a method, untrained, and the encoders that it was given; all draws are keyed on the config's seed.

    Args:
        config: with an encoder for each modality, see `TrainConfig.resolve`.
        modalities: what each looks like.
        log_prior: log R_Z, shape (K,).
        modules: the user's own encoders.
        across: reaches the other processes.
    """
    with seeded(config.seed):
        encoders = {
            m: encoder(m, config.encoders[m], modality, config.n_features, modules)
            for m, modality in modalities.items()
        }
        fusion = FUSIONS[config.fusion](list(encoders), len(log_prior), config.n_features)
        shapes = {m: modality.shape for m, modality in modalities.items()}
        prior = log_prior.float()
        ingredients = Ingredients(encoders, fusion, prior, config.objective, config.bank, shapes, across)
        try:
            method = METHODS[config.method](ingredients, **config.options)
        except TypeError as error:
            raise InputError(
                f"method {config.method!r} does not take the options {dict(config.options)}: {error}"
            ) from error
    return method.double() if config.precision == "64-true" else method, encoders


def encoder(name: str, config: EncoderConfig, modality: Modality, n_features: int, modules: Modules) -> nn.Module:
    """Build the encoder of one modality."""
    if config.name != OWN:
        return network(
            config.name, modality.kind, modality.shape, n_features, config.weights, config.frozen, config.augment
        )
    if name not in modules:
        raise InputError(f"modality {name!r} is encoded by a module of your own: pass modules={{{name!r}: module}}")
    return Own(copy.deepcopy(modules[name]))


def fit_preparations(encoders: Modules, partition: StorePartition, seed: int) -> None:
    """Let encoders see up to 512 training segments of their modality; the same on every process."""
    for m, net in encoders.items():
        segments = partition.segments(partition.train)
        shown = np.flatnonzero(np.repeat(segments.observed[m], len(segments.windows)))
        chosen = np.sort(np.random.default_rng([seed, 4]).permutation(shown)[:_FIT_ROWS])
        net.fit(_rows(partition, m, chosen))


def tune(encoders: Modules, config: TrainConfig) -> None:
    """Set precision, memory layout and compilation of the encoders, as configured."""
    for net in encoders.values():
        net.autocast = _HALVES.get(config.precision)
        if config.channels_last:
            net.set_channels_last()
        if config.compile:
            net.compile()


def _rows(partition: StorePartition, modality: str, positions: np.ndarray) -> Tensor:
    alone = replace(partition, observed={modality: partition.observed[modality]})
    return alone.segments(partition.train).batch(positions).inputs[modality]
