"""The settings that a store is prepared with, and how its manifest.json records them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elision.data.layouts.found import Found, LayoutOptions, relative
from elision.errors import InputError, check_choice
from elision.extractors import name_of
from elision.files import sha256_of
from elision.kinds import Modality
from elision.media.extract import MediaSettings
from elision.registries import LAYOUTS

PREPARED_BY = ("av", "numpy", "pillow", "pyarrow", "torch")
"""Packages whose versions decide a store's bytes beside its parameters."""


@dataclass(frozen=True)
class Preparation:
    """The settings that a store is prepared with.

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
    """Return the folder that a source's files are named from."""
    return source if source.is_dir() else source.parent


def modalities(found: Found, settings: MediaSettings) -> dict[str, Modality]:
    """Return the modalities that recordings name, whether or not their files turn out to show them.

    Raises:
        InputError: an extractor cannot be used, or no recording names its modality.
    """
    mel, side = settings.mel, (3, settings.size, settings.size)
    spectrogram = (mel.bands, mel.frames(round(settings.seconds * mel.sample_rate)))
    media = {
        "visual": Modality("frames", side, settings.windows),
        "audio": Modality("spectrogram", spectrogram, settings.windows),
        "image": Modality("image", side),
    }
    named = {m for recording in found.recordings for m in recording.sources}
    features = {m: Modality("features", (len(names),)) for m, names in found.features.items()}
    shown = {m: modality for m, modality in media.items() if m in named}
    for m, extractor in settings.extractors.items():
        if m not in shown:
            raise InputError(
                f"an extractor is given for {m}, and the recordings name {', '.join({**shown, **features})}"
            )
        if m == "audio":
            samples = settings.windows, round(settings.seconds * mel.sample_rate)
            shown[m] = Modality("features", (extractor.width(samples, mel.sample_rate),))
        else:
            pictures = shown[m].windows, settings.size, settings.size, 3
            shown[m] = Modality("features", (extractor.width(pictures),))
    return shown | features


def parameters(source: Path, found: Found, preparation: Preparation) -> dict[str, Any]:
    """Return all that decides a store's content, as plain values; copies of a source give equal ones."""
    settings = asdict(preparation.settings)
    if preparation.settings.crop:
        settings["crop"] = name_of(preparation.settings.crop)
    settings["extractors"] = {m: extractor.identity for m, extractor in preparation.settings.extractors.items()}
    content = {
        "layout": preparation.layout,
        "options": {name: value for name, value in asdict(preparation.options).items() if name != "dialect"},
        "settings": settings,
        "per_shard": preparation.per_shard,
        "features": found.features,
        "source": {"recordings": len(found.recordings), "sha256": _fingerprint(root(source), found)},
    }
    return json.loads(json.dumps(content))


def _fingerprint(root: Path, found: Found) -> str:
    """Return a hash of which recordings there are, and of how large their files are."""
    lines = []
    for r in found.recordings:
        files = [(m, relative(path, root), _size(path)) for m, path in sorted(r.sources.items())]
        features = [(m, list(values)) for m, values in sorted(r.features.items())]
        lines.append(json.dumps([r.id, r.label, r.group, r.split, r.start, r.end, files, features]))
    return sha256_of("".join(lines).encode())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
