"""The application: what is at which address, within limits of size and time. No path from outside is ever opened."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elision import __version__
from elision.errors import InputError
from elision.pages import render
from elision.serving.answers import RECORDING, Answer, Respondent
from elision.serving.requests import MOST_SAMPLES, Question, read_parts, read_question

if TYPE_CHECKING:
    from fastapi import FastAPI

_COPY = 2**20
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


@dataclass(frozen=True)
class Limits:
    """Bound what one request may ask for.

    Args:
        megabytes: of its body, 2^20 bytes each.
        seconds: until it is answered, from its first byte on.
    """

    megabytes: float = 64.0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise InputError(f"{name} is {value}: expected a number above 0")


@dataclass(frozen=True)
class Answers:
    """Carry the answers of one request, in the order of its samples."""

    predictions: list[Answer]


def application(model: Respondent, limits: Limits = Limits()) -> "FastAPI":
    """Return the ASGI application that answers for a model; one question after the other is computed.

    Args:
        model: from `elision.serving.answers.respondent`; closed with the application.
        limits: of every request.
    """
    import python_multipart  # noqa: F401  # Starlette would tell of it once a form comes
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.responses import HTMLResponse, JSONResponse, Response
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect

    pool = ThreadPoolExecutor(1, "answers")

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        model.close()
        pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"Elision: {model.name}", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="Class probabilities of samples that show any of the model's modalities.",
    )  # fmt: skip

    async def limited(request: Request) -> AsyncIterator[bytes]:
        """Yield the body; what is beyond the limit is read and forgotten, so that the sender hears the answer."""
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= limits.megabytes * 2**20:
                yield chunk
        if size > limits.megabytes * 2**20:
            raise HTTPException(413, f"the body has {size / 2**20:.1f} MB: expected at most {limits.megabytes:g}")

    async def form(request: Request, folder: Path) -> Question:
        parser = MultiPartParser(request.headers, limited(request), max_files=MOST_SAMPLES, max_fields=MOST_SAMPLES)
        parts: list[tuple[str, str | Path]] = []
        content = await parser.parse()
        try:
            for number, (name, value) in enumerate(content.multi_items()):
                if isinstance(value, str):
                    parts.append((name, value))
                elif value.size or value.filename:  # a form sends nothing at all where no file was chosen
                    path = folder / f"{number}" / "file"
                    path.parent.mkdir()
                    with path.open("wb") as file:
                        while piece := await value.read(_COPY):
                            file.write(piece)
                    parts.append((name, path))
        finally:
            await content.close()
        return read_parts(parts, tuple(model.modalities))

    @app.exception_handler(InputError)
    async def unusable(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the server lives."""
        return {"status": "ok", "model": model.name, "elision": __version__}

    @app.get("/schema")
    async def schema() -> dict[str, Any]:
        """Tell what the model takes and says."""
        return {
            "model": model.name,
            "classes": model.classes,
            "modalities": {m: asdict(taken) for m, taken in model.modalities.items()},
            "limits": {**asdict(limits), "samples": MOST_SAMPLES},
            "lacks": model.limits,
        }

    @app.post("/predict", response_model=Answers, openapi_extra={"requestBody": _request_body(model)})
    async def predict(request: Request) -> Any:
        """Answer about samples of which each shows any of the modalities: JSON for numbers, a form for recordings.

        A modality that is left out, or null throughout, is missing and averaged out.
        """
        loop, kind = (
            asyncio.get_running_loop(),
            request.headers.get("content-type", "").partition(";")[0].strip().lower(),
        )
        until, reading = loop.time() + limits.seconds, True
        with tempfile.TemporaryDirectory(prefix="elision-", ignore_cleanup_errors=True) as folder:
            try:
                async with asyncio.timeout_at(until):
                    if kind == "multipart/form-data":
                        question = await form(request, Path(folder))
                    elif kind in ("", "application/json"):
                        body = b"".join([chunk async for chunk in limited(request)])
                        question = await loop.run_in_executor(pool, read_question, body)
                    else:
                        raise HTTPException(
                            415, f"the body is {kind}: expected application/json, or multipart/form-data for recordings"
                        )
                    reading = False
                    return Answers(await loop.run_in_executor(pool, model.answer, question, until - loop.time()))
            except MultiPartException as error:
                raise InputError(f"the form cannot be read: {error.message}") from error
            except ClientDisconnect:
                return Response(status_code=400)  # nobody hears it
            except TimeoutError as error:
                told = "was not sent" if reading else "could not be answered"
                raise HTTPException(
                    408 if reading else 503,
                    f"the request {told} within {limits.seconds:g} s: send fewer samples or shorter recordings, or try "
                    "again later",
                ) from error

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        content = {"model": model, "limits": limits, "recording": RECORDING, "version": __version__}
        return HTMLResponse(
            render("serve.html", content),
            headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"},
        )

    return app


def _request_body(model: Respondent) -> dict[str, Any]:
    """Return what OpenAPI says of the body of a prediction."""
    number = {"type": "number", "nullable": True}
    numbers, parts = {}, {}
    for m, taken in model.modalities.items():
        if taken.takes == RECORDING:
            parts[m] = {"type": "string", "format": "binary"}
            continue
        kinds = {i: {"enum": [*values, None]} for i, values in taken.categories.items()}
        forms: list[dict[str, Any]] = [
            {"type": "array", "items": number if len(taken.shape) == 1 and not kinds else {}}
        ]
        if taken.columns:
            columns = {c: kinds.get(str(i), number) for i, c in enumerate(taken.columns)}
            forms.append({"type": "object", "properties": columns, "required": taken.columns})
        numbers[m] = {"oneOf": forms, "description": f"shape {tuple(taken.shape)}; null where a value is missing"}
        parts[m] = {"type": "string", "description": f"JSON of shape {tuple(taken.shape)}"}
    if any(m in ("visual", "audio") for m in model.recordings):
        both = "a file whose picture and sound are both used"
        parts[RECORDING] = {"type": "string", "format": "binary", "description": both}
    sample = {
        "type": "object",
        "required": ["modalities"],
        "properties": {"id": {"type": "string"}, "modalities": {"type": "object", "properties": numbers}},
    }
    coverage = {"type": "number", "description": "with which probability the set of classes holds the truth"}
    several = {"type": "array", "items": sample, "maxItems": MOST_SAMPLES}
    batch = {"type": "object", "required": ["samples"], "properties": {"samples": several, "coverage": coverage}}
    alone = sample | {"properties": sample["properties"] | {"coverage": coverage}}
    named = "several samples: a part's name is the sample's id, a slash and the modality"
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [alone, batch]}},
            "multipart/form-data": {"schema": {"type": "object", "properties": parts, "description": named}},
        },
    }


def serve(model: Respondent, host: str, port: int, limits: Limits, tell: Any = print) -> None:
    """Answer at an address until the process is asked to end.

    Args:
        model: from `elision.serving.answers.respondent`.
        host: to bind to; "127.0.0.1" is reached from this machine alone.
        port: 0 takes a free one.
        limits: of every request.
        tell: told the address once it is bound.

    Raises:
        InputError: the address cannot be bound to.
    """
    import logging
    import socket

    import uvicorn

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a sender's mistakes are told to the sender

    app = application(model, limits)
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {port} of {host} cannot be had: {error}; choose another --port or --host") from error
    with bound:
        shown = f"[{host}]" if ":" in host else host
        tell(f"http://{shown}:{bound.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", limit_concurrency=64, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[bound])
