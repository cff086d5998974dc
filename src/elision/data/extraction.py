"""A store with features in the place of its pictures, made once by extractors of the user's own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from elision.data.schema import MANIFEST, StoreInfo, shard_name, write_manifest
from elision.data.shards import write_shard
from elision.data.store import Store
from elision.errors import InputError
from elision.extractors import OwnExtractor, OwnExtractors
from elision.files import Address, cache_folder, sha256_of_json
from elision.kinds import Modality

_SAMPLES_AT_ONCE = 16


def with_features(
    address: Address,
    extractors: OwnExtractors,
    folder: Path | None = None,
    tell: Callable[[str], None] = lambda message: None,
) -> Store:
    """Return a store in which features stand in the place of modalities; one that was made before is opened again.

    Its name is a hash of the store's content, and of each function's name and file: where one of them changes, the
    functions are called anew, and so is one that its name does not lead to, such as a notebook's or a lambda.

    Args:
        address: of a store of pictures; it is left as it is.
        extractors: modality -> ``package.module:function``, or the function: see `elision.extractors`.
        folder: where such stores are kept; None is ``elision/features`` in the user's cache folder.
        tell: of what is done.

    Raises:
        InputError: a function cannot be imported, fails, or returns something else than as many finite features for
            every sample; or the store holds no pictures of that modality.
    """
    store = Store(address)
    own = {m: OwnExtractor.of(function) for m, function in extractors.items()}
    for m in own:
        _check(store, m)
    settings = store.info.parameters.get("settings") or {}
    known = dict(settings.get("extractors") or {}) | {m: extractor.identity for m, extractor in own.items()}
    key = sha256_of_json([store.fingerprint(), store.info.parameters, known])[:16]
    dest = (folder or cache_folder() / "features") / f"{store.name}-{key}"
    if not (all(extractor.sha256 for extractor in own.values()) and (dest / MANIFEST).is_file()):
        features: dict[str, dict[int, np.ndarray]] = {}
        for m, extractor in own.items():
            tell(f"features of {m} by {extractor.name}")
            features[m] = _features(store, m, extractor)
        dest.mkdir(parents=True, exist_ok=True)
        parameters = {**store.info.parameters, "settings": {**settings, "extractors": known}}
        _write(store, features, dest, parameters)
    return Store(dest)


def _check(store: Store, m: str) -> None:
    modalities = store.info.modalities
    if m not in modalities:
        raise InputError(f"an extractor is given for {m!r}: {store.address} has {', '.join(modalities)}")
    if modalities[m].kind == "spectrogram":
        raise InputError(
            f"{store.address} has {m} as spectrograms, and an extractor takes the sound itself: give it to `elision "
            "prepare`, which reads the recordings"
        )
    if not modalities[m].form.picture:
        raise InputError(f"{store.address} has {m} as {modalities[m].kind}: they need no extractor")


def _features(store: Store, m: str, extractor: OwnExtractor) -> dict[int, np.ndarray]:
    """Return sample -> its features, of the samples that show a modality."""
    shown, windows = np.flatnonzero(store.observed[m]).tolist(), range(store.info.modalities[m].windows)
    found: dict[int, np.ndarray] = {}
    for first in range(0, len(shown), _SAMPLES_AT_ONCE):
        samples = shown[first : first + _SAMPLES_AT_ONCE]
        try:
            rows = extractor.features(np.stack([[store.window(sample, m, w) for w in windows] for sample in samples]))
        except InputError as error:
            raise InputError(f"{m} of sample {str(store.ids[samples[0]])!r} and after: {error}") from error
        width = len(found[shown[0]]) if found else rows.shape[1]
        if rows.shape[1] != width:
            raise InputError(
                f"extractor {extractor.name} returned {width} features for the first samples and {rows.shape[1]} for "
                f"{m} of {str(store.ids[samples[0]])!r} and after: expected as many for all"
            )
        found.update(zip(samples, rows, strict=True))
    return found


def _write(store: Store, features: Mapping[str, Mapping[int, np.ndarray]], dest: Path, parameters: Mapping) -> None:
    widths = {m: len(next(iter(rows.values()))) for m, rows in features.items() if rows}
    made = {m: Modality("features", (width,)) for m, width in widths.items()}
    modalities = {m: made.get(m, modality) for m, modality in store.info.modalities.items()}
    shards, first = [], 0
    for number, shard in enumerate(store.info.shards):
        rows = []
        for sample in range(first, first + shard.samples):
            row = store.read(sample)
            own = {m: found[sample] for m, found in features.items() if sample in found}
            rows.append(replace(row, values={**row.values, **own}))
        shards.append(write_shard(dest / shard_name(number), rows, modalities))
        first += shard.samples
    write_manifest(dest, StoreInfo(modalities, tuple(shards), parameters, store.info.versions))
