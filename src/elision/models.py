"""A model as a folder of JSON and safetensors: whole or not there, hashed throughout, and nothing in it is code.

Classifiers, deep models and checkpoints are such folders. `model.json` describes what the tensors are of; its digest
covers the description and the tensors' hash, so that no bit that decides a prediction can change unnoticed.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elision.errors import InputError
from elision.files import sha256_of, sha256_of_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
CLASSIFIER, RECORDINGS = "classifier", "recordings"
"""Kinds of trained models: of a table, and of recordings."""
MODEL, DESCRIPTION, TENSORS = "model", "model.json", "tensors.safetensors"
NOT_AS_SAVED = "take the folder from where it was saved, or train again"


@dataclass(frozen=True)
class SavedModel:
    """Hold what lies in a model's folder.

    Args:
        kind: what wrote it, such as "classifier".
        description: plain values.
        tensors: by name.
    """

    kind: str
    description: Mapping[str, Any]
    tensors: Mapping[str, "Tensor"]


def write_model(path: Path, kind: str, description: Mapping[str, Any], tensors: Mapping[str, "Tensor"]) -> None:
    """Write a model's folder in one step; an earlier model there gives way once the new one is complete.

    Args:
        path: a folder that does not exist yet, or holds a model and nothing else.
        kind: told back by `read_model`.
        description: what JSON can hold.
        tensors: by name; two names of one memory are written twice.

    Raises:
        InputError: the folder holds something else.
    """
    if path.exists() and not is_model(path):
        raise InputError(f"{path} exists and is not a saved model: choose a folder that does not exist yet")
    content = _serialize(tensors)
    whole = {"format": FORMAT, "kind": kind, "tensors": sha256_of(content), **description}
    whole["digest"] = _digest(whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    retired = staging.with_name(staging.name + "-old")
    try:
        (staging / TENSORS).write_bytes(content)
        (staging / DESCRIPTION).write_text(json.dumps(whole, indent=1), encoding="utf-8")
        staging.chmod(0o755)
        if path.exists():
            path.rename(retired)
        try:
            staging.rename(path)
        except OSError:
            if retired.exists():
                retired.rename(path)
            raise
    finally:
        for left in (staging, retired):
            shutil.rmtree(left, ignore_errors=True)


def read_model(path: Path) -> SavedModel:
    """Read a model's folder, and check that it is what was written.

    Raises:
        InputError: it is no model, one of another format, or it was changed.
    """
    from safetensors.torch import load

    try:
        whole = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        content = (path / TENSORS).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"{Path(error.filename).name} is missing" if path.is_dir() else "there is no such folder"
        raise InputError(f"{path} is not a saved model: {what}") from error
    except ValueError as error:
        raise InputError(f"{path / DESCRIPTION} is damaged: {error}; {NOT_AS_SAVED}") from error
    version = whole.get("format") if isinstance(whole, dict) else None
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        hint = "install a newer elision" if newer else NOT_AS_SAVED
        raise InputError(f"{path / DESCRIPTION} has format {version}, and this elision reads {FORMAT}: {hint}")
    if _digest(whole) != whole.get("digest"):
        raise InputError(f"{path / DESCRIPTION} is not what was saved (its hash differs): {NOT_AS_SAVED}")
    if sha256_of(content) != whole["tensors"]:
        raise InputError(f"{path / TENSORS} is not what was saved (its hash differs): {NOT_AS_SAVED}")
    body = {name: value for name, value in whole.items() if name not in ("format", "kind", "tensors", "digest")}
    return SavedModel(whole["kind"], body, load(content))


def model_folder(path: Path) -> Path:
    """Return where the model of a run's folder lies; the folder itself where it is a model's own."""
    inside = path / MODEL
    return inside if (inside / DESCRIPTION).exists() else path


def kind_of(path: Path) -> str:
    """Return what wrote the model in a folder; what else is in it is not looked at.

    Raises:
        InputError: there is none.
    """
    try:
        return str(json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))["kind"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{path} holds no trained model: expected the folder of a saved model, or of a finished run; one that was "
            "begun goes on with elision train --resume"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path / DESCRIPTION} is not a model's description: {NOT_AS_SAVED}") from error


def is_model(path: Path) -> bool:
    """Return whether the folder holds a model's two files and nothing else; whether they are whole is not looked at."""
    if not path.is_dir() or {p.name for p in path.iterdir()} != {DESCRIPTION, TENSORS}:
        return False
    try:
        return "format" in json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    except (TypeError, ValueError):
        return False


def _digest(whole: Mapping[str, Any]) -> str:
    body = {name: value for name, value in whole.items() if name != "digest"}
    return sha256_of_json(body)


def _serialize(tensors: Mapping[str, "Tensor"]) -> bytes:
    from safetensors.torch import save

    plain, seen = {}, set()
    for name, tensor in tensors.items():
        x = tensor.detach().cpu().contiguous()
        pointer = x.untyped_storage().data_ptr()
        plain[name] = x.clone() if pointer in seen else x
        seen.add(pointer)
    return save(plain)
