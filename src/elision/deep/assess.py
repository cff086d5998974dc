"""How good a trained model is: segments to samples, per pattern of observed modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from elision.data.segments import Segments, collate
from elision.data.store import Store
from elision.deep import processes
from elision.deep.rows import Reading
from elision.evaluation import Assessment, assess_posteriors, average_segments, class_codes
from elision.methods import Method

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Log-posteriors (n, K), class indices (n,), and which modalities were shown (n, M), of some samples."""


@torch.no_grad()
def segment_posteriors(method: Method, segments: Segments, reading: Reading, n_classes: int) -> Tensor:
    """Return log Q(z | x_S) of each segment, in order, shape (len(segments), K), float64 on the CPU."""
    loader = DataLoader(
        segments,
        batch_size=reading.piece,
        num_workers=reading.workers,
        collate_fn=collate,
        generator=torch.Generator(),
    )
    pieces = [method.log_posterior(batch.to(reading.device)).double().cpu() for batch in loader]
    return torch.cat([torch.empty(0, n_classes, dtype=torch.float64), *pieces])


def sample_posteriors(
    method: Method,
    store: Store,
    samples: np.ndarray,
    observed: Mapping[str, np.ndarray],
    reading: Reading,
    n_classes: int,
    average: str = "posteriors",
) -> np.ndarray:
    """Return log-posteriors of whole samples, shape (n, K): those of their segments, averaged.

    Where several processes train together each takes its share, and every one gets the whole.
    """
    n_processes, rank = processes.count(), processes.rank()
    share = samples[rank::n_processes]
    segments = Segments(store, share, observed)
    logs = segment_posteriors(method, segments, reading, n_classes).numpy()
    own = average_segments(logs.reshape(len(share), len(segments.windows), -1), average)
    if n_processes == 1:
        return own
    where = processes.gather_rows(torch.from_numpy(np.arange(len(samples))[rank::n_processes]).to(reading.device))
    values = processes.gather_rows(torch.from_numpy(own).to(reading.device))
    whole = np.empty((len(samples), own.shape[1]))
    whole[where.cpu().numpy()] = values.cpu().numpy()
    return whole


def assess(  # noqa: PLR0913
    method: Method,
    store: Store,
    samples: np.ndarray,
    observed: Mapping[str, np.ndarray],
    reading: Reading,
    average: str = "posteriors",
    classes: Sequence[str] | None = None,
    scored: list[Scored] | None = None,
) -> Assessment:
    """Judge labelled samples as they are, for each pattern among them, and with each modality taken away.

    Args:
        method: settled, in evaluation mode.
        store: that holds the samples.
        samples: indices of labelled ones.
        observed: modality -> which of the store's samples show it.
        reading: how rows are read.
        average: see `elision.evaluation.average_segments`.
        classes: the method's; None are the store's.
        scored: takes what the method said of the samples as they are, and of those that a modality was taken from.
    """
    known: list[str] = store.classes.tolist() if classes is None else list(classes)
    codes = class_codes(store.labels[samples], known, store.address)
    logs = sample_posteriors(method, store, samples, observed, reading, len(known), average)

    shown = {m: mask[samples] for m, mask in observed.items()}
    kept = [] if scored is None else scored
    kept.append((logs, codes, np.stack(list(shown.values()), axis=1)))

    def without(m: str, rest: np.ndarray) -> np.ndarray:
        others = {**observed, m: np.zeros_like(observed[m])}
        less = sample_posteriors(method, store, samples[rest], others, reading, len(known), average)
        lost = shown[m][rest]
        rows = samples[rest][lost]
        kept.append((less[lost], codes[rest][lost], np.stack([mask[rows] for mask in others.values()], axis=1)))
        return less

    return replace(assess_posteriors(logs, codes, known, shown, without), average=average)
