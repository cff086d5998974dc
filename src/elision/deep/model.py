"""A trained model as a folder of safetensors and JSON: it loads without the training data, and nothing is unpickled."""

import json
from collections.abc import Mapping, Sequence
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
from elision.decisions.sets import Calibration, as_classes, needed, prediction_sets
from elision.deep.assess import sample_posteriors
from elision.deep.build import Modules, build, tune
from elision.deep.rows import Reading
from elision.errors import InputError
from elision.kinds import Modality
from elision.measuring import expected_value
from elision.methods import Method
from elision.models import DESCRIPTION, RECORDINGS, TENSORS, model_folder, read_model, write_model
from elision.plain import revived
from elision.prediction import Measurement


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
        calibration: of sets of classes, by the test part as it is and with each modality taken away; None in models
            from before there was one.
    """

    method: Method
    encoders: Modules
    config: TrainConfig
    modalities: Mapping[str, Modality]
    classes: tuple[str, ...]
    parameters: Mapping[str, Any]
    device: torch.device
    calibration: Calibration | None = None

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

    def is_calibrated(self, coverage: float = 0.9) -> bool:
        """Return whether `set_of` can give sets of that coverage."""
        most = 0 if self.calibration is None else max(self.calibration.own.values())
        return most >= needed(coverage)  # of one pattern, since taking modalities away makes no new samples

    def set_of(self, log_posterior: np.ndarray, used: Sequence[str], coverage: float = 0.9) -> tuple[str, ...]:
        """Return the classes that hold the truth with the asked probability, the most probable first.

        Args:
            log_posterior: of one sample, its segments averaged as posteriors; shape (K,).
            used: modalities that it shows.
            coverage: in (0, 1).
        """
        if self.calibration is None:
            raise InputError("the model's sets are not calibrated: train it again")
        shown = np.array([[m in used for m in self.modalities]])
        held = prediction_sets(log_posterior[None], shown, self.calibration, coverage)
        return as_classes(held, log_posterior[None], np.array(self.classes))[0]

    @property
    def says_value(self) -> bool:
        """Return whether it can say what a measurement is worth: it was trained by the joint objective."""
        kept = self.method.remembered.values()
        return bool(kept) and all(map(len, kept))

    @torch.no_grad()
    def value_of(self, batch: Batch, modality: str) -> Measurement:
        """Return what measuring a modality is worth to one sample that lacks it, the mean over its segments.

        Each segment is taken for itself: what one segment of that modality is expected to say about it.

        Args:
            batch: the segments of a sample.
            modality: that none of them shows.
        """
        batch = batch.to(self.device)
        outlook = self.method.outlook(batch, {modality: self.method.remembered[modality]})
        worth = expected_value([outlook], outlook.marginal.new_ones(1, len(batch)))
        return Measurement(modality, worth.nats.mean().item(), worth.accuracy.mean().item())

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


def save_model(
    method: Method, config: TrainConfig, info: StoreInfo, path: Path, calibration: Calibration | None = None
) -> None:
    """Write a settled method, and what its sets are made with; ``info`` is that of the store that it was trained on."""
    description = {
        "config": asdict(config),
        "modalities": {m: asdict(modality) for m, modality in info.modalities.items()},
        "classes": list(info.classes),
        "parameters": dict(info.parameters),
        "calibration": calibration and calibration.described(),
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
    modalities = revived(dict[str, Modality], description["modalities"])
    encoders = {m: replace(e, weights=None, frozen=False) for m, e in config.encoders.items()}
    classes = tuple(description["classes"])
    method, networks = build(replace(config, encoders=encoders), modalities, torch.zeros(len(classes)), modules or {})
    try:
        method.load_state_dict(saved.tensors)
    except RuntimeError as error:
        raise InputError(f"{folder / TENSORS} does not fit the model that {DESCRIPTION} describes: {error}") from error
    tune(networks, replace(config, compile=False))
    method.to(device).eval()
    own = description.get("calibration")
    calibration = Calibration.restored(own) if own else None
    parameters, where = description["parameters"], torch.device(device)
    return DeepModel(method, networks, config, modalities, classes, parameters, where, calibration)
