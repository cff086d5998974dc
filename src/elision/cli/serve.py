"""`elision serve`."""

import sys
from pathlib import Path


def serve(
    run: Path,
    port: int = 8000,
    host: str = "127.0.0.1",
    max_megabytes: float = 64.0,
    max_seconds: float = 60.0,
    device: str = "cpu",
) -> None:
    """Answer over HTTP with a trained model, and show a page to try it by hand.

    POST /predict takes any of the model's modalities, of one sample or of many, as JSON or as a form with recordings,
    and answers class probabilities, a set of classes, the modalities used, and which to measure next. GET /schema tells
    what the model takes, /openapi.json the whole interface, /health that the server lives. It needs an extra:
    pip install 'elision[serve]'.

    Parameters
    ----------
    run
        Folder of a run, or of a saved model.
    port
        Where to listen; 0 takes a free port.
    host
        The address to bind to. The default is reached from this machine alone; 0.0.0.0 from every other too, without
        any password: put a server in front that asks for one.
    max_megabytes
        Of a request; a larger one is refused.
    max_seconds
        Within which a request has to be sent and answered.
    device
        Where it is computed: cpu, cuda, cuda:1, ...
    """
    from elision.serving.answers import respondent
    from elision.serving.application import Limits
    from elision.serving.application import serve as answer

    limits = Limits(max_megabytes, max_seconds)
    model = respondent(run, device)
    if model.limits:
        print(f"elision: of {run}: {model.limits}", file=sys.stderr)
    answer(model, host, port, limits, lambda address: print(f"{run} answers at {address}; Ctrl-C ends", flush=True))
