"""Training end to end from frames and sound: any method, on one process or many, resumed exactly."""

from elision.lazy import lazily

_HOMES = {
    "DeepModel": "elision.deep.model",
    "EncoderConfig": "elision.config",
    "Prediction": "elision.prediction",
    "TrainConfig": "elision.config",
    "evaluate_run": "elision.deep.evaluate",
    "load_model": "elision.deep.model",
}

__all__ = sorted(_HOMES)

__getattr__, __dir__ = lazily(__name__, _HOMES)
