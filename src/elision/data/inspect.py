"""What a store holds: counts, durations, a check of all hashes, and a page with samples of every class."""

import base64
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from elision.data.dataset import pattern_counts
from elision.data.problems import read_problems
from elision.data.recording import Problem
from elision.data.schema import StoreInfo
from elision.data.splits import PARTS
from elision.data.store import Store
from elision.errors import InputError
from elision.files import Address, local, write_atomically
from elision.kinds import Modality, Scale
from elision.pages import render

PAGE = "inspect.html"
_PER_CLASS = 3  # samples shown
_PER_CLASS_NARROW = 6  # where one window is all there is
_CLASSES = 40  # shown with samples
_GROUPS = 60  # listed by name
_WINDOWS = 4  # of a sample: its first, its last, and between
_SIDE = 112  # pixels of a picture on the page
_PROBLEMS = 200  # listed; problems.csv has all
_NUMBERS = 24  # of a sample's features
_BINS = 24


@dataclass(frozen=True)
class Example:
    """A sample to look at.

    Args:
        id: of the sample.
        group: "" where there is none.
        duration: seconds, or None.
        pictures: modality -> images as data addresses, one per window chosen.
        numbers: modality -> its features, as many as can be shown.
        missing: modalities that it lacks.
    """

    id: str
    group: str
    duration: float | None
    pictures: Mapping[str, Sequence[str]]
    numbers: Mapping[str, str]
    missing: Sequence[str]


@dataclass(frozen=True)
class Inspection:
    """The content of a store, and whether it is whole; fields marked * are empty where shards are damaged.

    Args:
        address: of the store.
        info: its manifest.
        damaged: names of shards that are gone, cut short or changed.
        classes: label -> samples.
        unlabelled: samples without a label.
        observed: label -> modality -> samples that show it; "" for those without a label. *
        groups: group -> samples; *, and empty where not given.
        split: "train", "val", "test" -> samples; *, and empty where not given.
        patterns: the modalities that samples show -> how many show just these; the most frequent first. *
        durations: seconds of the samples that were recorded over time, sorted, shape (n,). *
        set_aside: what preparation left out, and why.
        lacking: modality -> samples that were expected to show it, and why they do not.
    """

    address: Address
    info: StoreInfo
    damaged: tuple[str, ...]
    classes: Mapping[str, int]
    unlabelled: int
    observed: Mapping[str, Mapping[str, int]]
    groups: Mapping[str, int]
    split: Mapping[str, int]
    patterns: Mapping[tuple[str, ...], int]
    durations: np.ndarray
    set_aside: tuple[Problem, ...]
    lacking: Mapping[str, tuple[Problem, ...]]

    @property
    def samples(self) -> int:
        """The number of samples."""
        return self.info.counts["samples"]


def inspect_store(address: Address, page: Path | None = None) -> Inspection:
    """Read all of a store, check it, and write ``inspect.html``.

    Args:
        address: the store's folder, or an fsspec address.
        page: where the page goes; by default into the store's folder, and needed where that is an address.

    Raises:
        InputError: it is no store. Damaged shards are reported, not raised.
    """
    folder = local(address)
    if page is None and folder is None:
        raise InputError(f"{address} is an address: say with page (--page) where {PAGE} goes")
    store = Store(address)
    report = _report(store, tuple(store.verify()))
    examples = {} if report.damaged else _examples(store)
    write_atomically(page or folder / PAGE, _render(report, examples))
    return report


def _report(store: Store, damaged: tuple[str, ...]) -> Inspection:
    counts = store.info.counts
    set_aside, lacking, _ = read_problems(store.address)
    observed, groups, split, patterns, durations = {}, {}, {}, {}, np.empty(0)
    if not damaged:
        observed = _observed(store)
        groups, split = (dict(Counter([] if v is None else v.tolist())) for v in (store.groups, store.parts))
        patterns = pattern_counts(store.observed)
        durations = np.sort(store.durations[~np.isnan(store.durations)])
    return Inspection(
        address=store.address,
        info=store.info,
        damaged=damaged,
        classes=counts["labels"],
        unlabelled=counts["unlabelled"],
        observed=observed,
        groups=dict(sorted(groups.items(), key=lambda item: _as_people_count(item[0]))),
        split={value: split[value] for value in PARTS if value in split},
        patterns=patterns,
        durations=durations,
        set_aside=set_aside,
        lacking=lacking,
    )


def _observed(store: Store) -> dict[str, dict[str, int]]:
    labels = store.labels
    return {
        str(label): {m: int(mask[labels == label].sum()) for m, mask in store.observed.items()}
        for label in np.unique(labels)
    }


def _as_people_count(name: str) -> list[tuple[str, int]]:
    """Return a key for sorting by which actor 2 comes before actor 10."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)]


def _examples(store: Store) -> dict[str, list[Example]]:
    """Return a few samples of each class: the one with the most modalities, and others evenly spread over it."""
    shown = sum(mask.astype(int) for mask in store.observed.values())
    labels = [*store.classes.tolist(), *([""] if (store.labels == "").any() else [])][:_CLASSES]
    most = _PER_CLASS_NARROW if _is_narrow(store.info) else _PER_CLASS
    chosen = {}
    for label in labels:
        members = np.flatnonzero(store.labels == label)
        order = np.argsort(-shown[members], kind="stable")
        fullest, others = members[order[:1]], members[np.sort(order[1:])]
        places = np.linspace(0, len(others) - 1, min(most - 1, len(others))).round().astype(int)
        chosen[label] = sorted([*fullest.tolist(), *others[places].tolist()])
    scale = _scale(store, [i for members in chosen.values() for i in members])
    return {label: [_example(store, i, scale) for i in members] for label, members in chosen.items()}


def _is_narrow(info: StoreInfo) -> bool:
    return all(modality.windows == 1 for modality in info.modalities.values())


def _example(store: Store, sample: int, scale: Mapping[str, Scale | None]) -> Example:
    modalities = store.info.modalities
    shown = {m: modality for m, modality in modalities.items() if store.observed[m][sample]}
    duration = float(store.durations[sample])
    return Example(
        id=str(store.ids[sample]),
        group="" if store.groups is None else str(store.groups[sample]),
        duration=None if np.isnan(duration) else duration,
        pictures={
            m: [_picture(store, sample, m, window, scale[m]) for window in _chosen(modality)]
            for m, modality in shown.items()
            if modality.form.planar
        },
        numbers={m: _numbers(store.window(sample, m)) for m, v in shown.items() if not v.form.planar},
        missing=[m for m in modalities if m not in shown],
    )


def _chosen(modality: Modality) -> list[int]:
    return np.unique(np.linspace(0, modality.windows - 1, _WINDOWS).round().astype(int)).tolist()


def _numbers(values: np.ndarray) -> str:
    text = "  ".join(f"{value:.3g}" for value in values[:_NUMBERS].tolist())
    return f"{text}  and {len(values) - _NUMBERS} more" if len(values) > _NUMBERS else text


def _scale(store: Store, samples: Sequence[int]) -> dict[str, Scale | None]:
    """Return the range of each modality's colours, one for all samples, so that loud and soft can be told apart."""
    scale = {}
    for m, modality in store.info.modalities.items():
        shown = [store.window(i, m, w) for i in samples if store.observed[m][i] for w in range(modality.windows)]
        scale[m] = modality.form.scale(shown) if shown else None
    return scale


def _picture(store: Store, sample: int, m: str, window: int, scale: Scale | None) -> str:
    """Return a picture of a window as a data address."""
    image, format = store.info.modalities[m].form.draw(store.window(sample, m, window), scale)
    if format == "JPEG":
        image.thumbnail((_SIDE * 2, _SIDE * 2))
        return _inline(image, format, quality=80)
    return _inline(image, format)


def _inline(image: Image.Image, format: str, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _render(report: Inspection, examples: Mapping[str, Sequence[Example]]) -> str:
    groups = list(report.groups.items())
    content = {
        "name": Path(str(report.address)).name,
        "report": report,
        "examples": examples,
        "more_classes": max(len(report.classes) - _CLASSES, 0),
        "groups": groups[:_GROUPS],
        "more_groups": max(len(groups) - _GROUPS, 0),
        "narrow": _is_narrow(report.info),
        "bars": _bars(report.durations),
        "problems": _PROBLEMS,
        "megabytes": sum(shard.bytes for shard in report.info.shards) / 2**20,
        "duration": _duration(report.durations),
    }
    return render(PAGE, content)


def _bars(durations: np.ndarray) -> list[tuple[float, float, int, float]]:
    """Return a histogram: (from, to, count, share of the highest count)."""
    if not len(durations) or durations[-1] - durations[0] < 1e-6:
        return []
    counts, edges = np.histogram(durations, min(_BINS, max(int(np.sqrt(len(durations))) * 2, 4)))
    return [(a, b, int(n), n / counts.max()) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]


def _duration(durations: np.ndarray) -> str:
    if not len(durations):
        return "no sample has a duration"
    low, middle, high = np.quantile(durations, [0, 0.5, 1])
    minutes = durations.sum() / 60
    total = f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
    if high - low < 0.005:
        return f"{middle:.2f} s each, {total} in all"
    return f"{low:.2f} to {high:.2f} s, median {middle:.2f} s, {total} in all"
