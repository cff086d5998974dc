"""What a store is prepared with, and how its manifest.json says so."""

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elision import __version__
from elision.data.layouts import LAYOUTS, Found, LayoutOptions
from elision.data.layouts.found import relative
from elision.data.schema import Modality
from elision.errors import InputError, check_choice
from elision.media.extract import MediaSettings

_PACKAGES = ("av", "numpy", "pillow", "pyarrow", "torch")


@dataclass(frozen=True)
class Job:
    """How a store is prepared.

    Args:
        layout: a name in `LAYOUTS`.
        settings: how files become numbers.
        options: of the layout.
        per_shard: samples in a shard, at most; less where they hold more than 32 MB together.
    """

    layout: str
    settings: MediaSettings = field(default_factory=MediaSettings)
    options: LayoutOptions = field(default_factory=LayoutOptions)
    per_shard: int = 256

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, LAYOUTS)
        if self.per_shard < 1:
            raise InputError(f"{self.per_shard} samples in a shard: expected at least 1")


def root(source: Path) -> Path:
    """The folder that a source's files are named from."""
    return source if source.is_dir() else source.parent


def modalities(found: Found, settings: MediaSettings) -> dict[str, Modality]:
    """Of all recordings, whether or not they turn out to show them."""
    mel, side = settings.mel, (3, settings.size, settings.size)
    spectrogram = (mel.bands, mel.frames(round(settings.seconds * mel.sample_rate)))
    media = {
        "visual": Modality("frames", side, settings.windows),
        "audio": Modality("spectrogram", spectrogram, settings.windows),
        "image": Modality("image", side),
    }
    named = {m for recording in found.recordings for m in recording.sources}
    features = {m: Modality("features", (len(names),)) for m, names in found.features.items()}
    return {m: modality for m, modality in media.items() if m in named} | features


def parameters(source: Path, found: Found, job: Job) -> dict[str, Any]:
    """All that decides a store's content, in JSON's terms: equal for copies of a source."""
    settings = asdict(job.settings)
    if job.settings.crop:
        settings["crop"] = f"{job.settings.crop.__module__}:{job.settings.crop.__qualname__}"
    content = {
        "layout": job.layout,
        "options": asdict(job.options),
        "settings": settings,
        "per_shard": job.per_shard,
        "features": found.features,
        "source": {"recordings": len(found.recordings), "sha256": _fingerprint(root(source), found)},
    }
    return json.loads(json.dumps(content))


def _fingerprint(root: Path, found: Found) -> str:
    """Of which recordings there are, and how large their files are."""
    digest = hashlib.sha256()
    for r in found.recordings:
        files = [(m, relative(path, root), _size(path)) for m, path in sorted(r.sources.items())]
        features = [(m, list(values)) for m, values in sorted(r.features.items())]
        digest.update(json.dumps([r.id, r.label, r.group, r.split, r.start, r.end, files, features]).encode())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def versions() -> dict[str, str]:
    """Of what decides a store's bytes beside its parameters."""
    return {"elision": __version__, **{p: importlib.metadata.version(p) for p in _PACKAGES}}
