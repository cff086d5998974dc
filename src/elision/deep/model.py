"""A trained model as a folder of safetensors and JSON: it loads without the training data, and nothing is unpickled."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elision.batch import Batch
from elision.config import TrainConfig
from elision.data.schema import StoreInfo
from elision.data.store import Store
from elision.deep.assess import sample_posteriors
from elision.deep.build import Modules, build, tune
from elision.deep.rows import Reading
from elision.errors import InputError
from elision.kinds import Modality
from elision.methods import Method
from elision.models import DESCRIPTION, RECORDINGS, TENSORS, model_folder, read_model, write_model


@dataclass(frozen=True, eq=False)
class DeepModel:
    """A trained model.

    Args:
        method: in evaluation mode, its banks stored.
        encoders: modality -> the encoder inside.
        config: it was trained with.
        modalities: what it was trained to take.
        classes: names of the class indices.
        parameters: that its data was prepared with; JSON.
        device: where it computes.
    """

    method: Method
    encoders: Modules
    config: TrainConfig
    modalities: Mapping[str, Modality]
    classes: tuple[str, ...]
    parameters: Mapping[str, Any]
    device: torch.device

    @torch.no_grad()
    def log_posterior(self, batch: Batch) -> Tensor:
        """log Q(z | x_S) of each segment, whatever modalities it shows; shape (n, K)."""
        return self.method.log_posterior(batch.to(self.device))

    def predict(
        self,
        store: Store,
        samples: np.ndarray | None = None,
        observed: Mapping[str, np.ndarray] | None = None,
        average: str = "posteriors",
        workers: int = 0,
    ) -> np.ndarray:
        """log-posteriors of a store's samples, their segments averaged; shape (n, K).

        Args:
            store: prepared as the training data was.
            samples: indices; None takes all.
            observed: which samples show which modality; None is the store's own.
            average: "posteriors" or "logs", see `elision.evaluation.average_segments`.
            workers: loader processes.
        """
        self.check(store.info)
        chosen = np.arange(len(store)) if samples is None else samples
        masks = store.observed if observed is None else observed
        masks = {
            m: masks.get(m, np.zeros(len(store), dtype=bool)) for m in self.modalities if m in store.info.modalities
        }
        reading = Reading(self.device, workers)
        return sample_posteriors(self.method, store, chosen, masks, reading, len(self.classes), average)

    def check(self, info: StoreInfo) -> None:
        """Raise `InputError` unless a store holds what the model takes, prepared in the same way."""
        for m, ours in self.modalities.items():
            theirs = info.modalities.get(m)
            if theirs is None:
                raise InputError(f"the store has no modality {m!r}: the model takes {', '.join(self.modalities)}")
            if (theirs.kind, theirs.shape) != (ours.kind, ours.shape):
                raise InputError(
                    f"modality {m!r} is {theirs.kind} {theirs.shape} in the store, and the model takes {ours.kind} "
                    f"{ours.shape}: prepare the store with the model's settings"
                )
        for name in _MUST_AGREE:
            value, other = (p.get("settings", {}).get(name) for p in (self.parameters, info.parameters))
            if value != other:
                raise InputError(
                    f"the store was prepared with {name} = {other!r}, and the model's data with {value!r}: prepare the "
                    "store with the model's settings"
                )


_MUST_AGREE = ("mel", "seconds")


def save_model(method: Method, config: TrainConfig, info: StoreInfo, path: Path) -> None:
    """Write a settled method; ``info`` is that of the store that it was trained on."""
    description = {
        "config": asdict(config),
        "modalities": {m: asdict(modality) for m, modality in info.modalities.items()},
        "classes": list(info.classes),
        "parameters": dict(info.parameters),
    }
    write_model(path, RECORDINGS, json.loads(json.dumps(description)), method.state_dict())


def load_model(path: str | Path, device: str = "cpu", modules: Modules | None = None) -> DeepModel:
    """Read what `save_model` wrote, or the model of a run's folder.

    Args:
        path: the folder.
        device: where it is to compute.
        modules: the user's own encoders, of the same architecture, by modality.

    Raises:
        InputError: it is no model, or not what was written.
    """
    folder = model_folder(Path(path))
    saved = read_model(folder)
    if saved.kind != RECORDINGS:
        raise InputError(
            f"{folder} holds a model of kind {saved.kind!r}, of tables, and none trained from recordings: "
            f"elision.load({str(folder)!r}) opens it"
        )
    description = saved.description
    config = TrainConfig.of(description["config"], str(folder / DESCRIPTION))
    modalities = {m: Modality(**{**v, "shape": tuple(v["shape"])}) for m, v in description["modalities"].items()}
    encoders = {m: replace(e, weights=None, frozen=False) for m, e in config.encoders.items()}
    classes = tuple(description["classes"])
    method, networks = build(replace(config, encoders=encoders), modalities, torch.zeros(len(classes)), modules or {})
    try:
        method.load_state_dict(saved.tensors)
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS} does not fit the model that {DESCRIPTION} describes: {error}") from error
    tune(networks, replace(config, compile=False))
    method.to(device).eval()
    parameters = description["parameters"]
    return DeepModel(method, networks, config, modalities, classes, parameters, torch.device(device))
