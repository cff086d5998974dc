"""What a trained model says of one sample, whatever it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass


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
        measure_next: the missing modality that is most worth measuring; "" where none is, or the model cannot say.
        nats: by how much measuring it is expected to lower the entropy of the label.
    """

    id: str
    label: str
    probabilities: Mapping[str, float]
    found: tuple[str, ...]
    used: tuple[str, ...]
    problem: str = ""
    classes: tuple[str, ...] = ()
    measure_next: str = ""
    nats: float = 0.0
