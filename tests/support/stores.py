"""Stores of known content for tests: JPEGs of one grey each, numbers that say where they stand."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from elision.data.schema import Row, StoreInfo, shard_name, write_manifest
from elision.data.shards import write_shard
from elision.kinds import Modality

WINDOWS = 3
MODALITIES = {
    "visual": Modality("frames", (3, 16, 24), WINDOWS),
    "audio": Modality("spectrogram", (4, 5), WINDOWS),
    "image": Modality("image", (3, 16, 16)),
    "face": Modality("features", (2,)),
}


def jpeg(grey: int, height: int = 16, width: int = 24) -> bytes:
    """A picture of one grey, in [0, 255]."""
    content = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(content, "JPEG", quality=95)
    return content.getvalue()


def grey(sample: int, window: int = 0) -> int:
    """What `row` paints: a grey that no other sample and window has, for up to 12 samples."""
    return 20 * sample + 5 * window


def row(sample: int, shown: Sequence[str] = tuple(MODALITIES), label: str | None = None) -> Row:
    values = {
        "visual": [jpeg(grey(sample, window)) for window in range(WINDOWS)],
        "audio": (sample + np.arange(WINDOWS)[:, None, None] / 8 + np.zeros((4, 5))).astype(np.float16),
        "image": jpeg(grey(sample), 16, 16),
        "face": np.array([sample, sample / 3], np.float32),
    }
    name = "uvw"[sample % 3] if label is None else label
    return Row(f"s{sample:02d}", name, f"g{sample % 4}", "", 1.5 + sample, {m: values[m] for m in shown})


def written(folder: Path | str, rows: Sequence[Row], per_shard: int = 3, modalities=MODALITIES) -> str:
    """A finished store at the folder or address."""
    if "://" not in str(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    pieces = [rows[i : i + per_shard] for i in range(0, len(rows), per_shard)]
    shards = [write_shard(f"{folder}/{shard_name(i)}", piece, modalities) for i, piece in enumerate(pieces)]
    write_manifest(folder, StoreInfo(modalities, tuple(shards), {"seconds": 0.5}, {"elision": "0"}))
    return str(folder)
