"""What a trained model says of one sample, whatever it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Say what measuring a missing modality is expected to bring.

    Args:
        modality: that is missing.
        nats: by which the label's entropy is expected to fall.
        accuracy: by which the probability of the most probable class is expected to rise.
    """

    modality: str
    nats: float
    accuracy: float


@dataclass(frozen=True)
class Prediction:
    """A model's answer for one sample: class probabilities, or why there are none.

    Args:
        id: the file's path, or the id in the list of recordings.
        label: the most probable class; "" where there is a problem.
        probabilities: class -> probability; empty where there is a problem.
        found: modalities that its files show, of those that the model takes.
        used: of these, those that were not left out on request.
        problem: why nothing could be said; "" otherwise.
        classes: the set that holds the truth with the asked probability, the most probable first; empty where the model
            is not calibrated for that.
        measure_next: what measuring each missing modality is worth, the most valuable first; None where the model
            cannot say.
    """

    id: str
    label: str
    probabilities: Mapping[str, float]
    found: tuple[str, ...]
    used: tuple[str, ...]
    problem: str = ""
    classes: tuple[str, ...] = ()
    measure_next: tuple[Measurement, ...] | None = None
