"""What a trained model says of one sample, whatever it was trained on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from elision.errors import InputError


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
    label: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    problem: str = ""
    classes: tuple[str, ...] = ()
    measure_next: tuple[Measurement, ...] | None = None


def check_left_out(without: Sequence[str], modalities: Collection[str]) -> None:
    """Raise `InputError` if a model lacks a modality that is to be left out, or none of its own would remain."""
    for m in without:
        if m not in modalities:
            raise InputError(f"the model has no modality {m!r} to leave out: it takes {', '.join(modalities)}")
    if set(modalities) <= set(without):
        raise InputError("every modality is left out: expected one to remain")


def why_unusable(shown: Sequence[str], modalities: Collection[str]) -> str:
    """Return the problem of a sample that shows nothing but what is left out."""
    rest = f"; it shows {', '.join(shown)}" if shown else ""
    return f"shows nothing that the model may use ({', '.join(modalities)}){rest}"
