"""Splits: functions of (labels, groups, seed), the same for every method."""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from elision.errors import InputError

PARTS = ("train", "val", "test")
FRACTIONS = {"val": 0.15, "test": 0.15}
UNGROUPED = "split sample by sample: by_group=False, --no-by-group in train, --split-random in compare"
"""How groups are not kept together, for errors."""


def stratified_part(
    codes: np.ndarray, fraction: float, rng: np.random.Generator, classes: Sequence[object] | None = None
) -> np.ndarray:
    """Return some of the samples, in which every class has its share; at least one of each class in and out.

    Args:
        codes: class of each sample, shape (n,); negative ones (no label) are never drawn.
        fraction: of each class, in (0, 1).
        rng: decides which.
        classes: the classes' names, for errors.

    Returns:
        Sorted indices.

    Raises:
        InputError: a class has a single sample.
    """
    chosen = []
    for code in np.unique(codes[codes >= 0]):
        members = np.flatnonzero(codes == code)
        if len(members) < 2:
            name = classes[code] if classes is not None else code
            raise InputError(
                f"class {str(name)!r} has one sample only, so it cannot be both trained on and held out: "
                "add samples of it, or remove it"
            )
        count = min(max(math.floor(fraction * len(members) + rng.random()), 1), len(members) - 1)
        chosen.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))


def folds(codes: np.ndarray, groups: np.ndarray | None, n: int, seed: int) -> np.ndarray:
    """Return which of n folds each sample is held out in, stratified by class, groups whole; -1 without a label.

    Args:
        codes: class of each sample, -1 where there is no label; shape (n_samples,).
        groups: samples of one group stay together; None deals sample by sample. Shape (n_samples,).
        n: folds, at least 2.
        seed: decides who is in which.

    Raises:
        InputError: there are fewer labelled samples, or groups, than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is not None and len(groups) != len(codes):
        raise InputError(f"groups has {len(groups)} entries: expected one for each of {len(codes)} samples")
    labelled = np.flatnonzero(codes >= 0)
    owners = None if groups is None else np.asarray(groups)[labelled]
    units = len(labelled) if owners is None else len(np.unique(owners))
    if not isinstance(n, int) or isinstance(n, bool) or not 2 <= n <= units:
        what = "labelled samples" if owners is None else "groups"
        raise InputError(f"folds is {n!r}: expected a whole number from 2 to {units}, the number of {what}")
    dealer = (StratifiedKFold if owners is None else StratifiedGroupKFold)(n, shuffle=True, random_state=seed)
    fold = np.full(len(codes), -1)
    with warnings.catch_warnings():  # a class of fewer samples than folds is in some of them only
        warnings.simplefilter("ignore", UserWarning)
        for i, (_, held) in enumerate(dealer.split(labelled, codes[labelled], owners)):
            fold[labelled[held]] = i
    return fold


def grouped_part(
    codes: np.ndarray, groups: np.ndarray, fraction: float, rng: np.random.Generator, needed: np.ndarray
) -> np.ndarray:
    """Return the samples of some whole groups, about that share of each class.

    Args:
        codes: class of each sample, -1 where there is no label; shape (n,).
        groups: of each sample, shape (n,).
        fraction: of the samples, in (0, 1).
        rng: decides which.
        needed: what some sample that is not drawn must have too; shape (n, any number), bool.

    Returns:
        Sorted indices.

    Raises:
        InputError: no groups can be drawn without which the others have all that is needed.
    """
    known = codes >= 0
    units = min(len(np.unique(groups[known])), int(np.bincount(codes[known]).max()))
    n = min(max(round(1 / fraction), 2), units)
    fold = folds(codes, groups, n, int(rng.integers(2**31))) if n > 1 else np.full(len(codes), -1)
    for i in range(n):
        chosen = np.isin(groups, groups[fold == i])
        if chosen.any() and (needed[~chosen].any(0) | ~needed.any(0)).all():
            return np.flatnonzero(chosen)
    raise InputError(
        f"{len(np.unique(groups))} group(s) cannot be parted so that the larger part shows every class and modality: "
        "give more groups, or a validation set of your own"
    )


def split(
    codes: np.ndarray, groups: np.ndarray | None, seed: int, classes: Sequence[object] | None = None
) -> np.ndarray:
    """Return "train", "val" or "test" for each sample: 70 / 15 / 15, stratified by class, or by whole groups.

    Args:
        codes: class of each sample, -1 where there is no label (such a sample is trained on); shape (n,).
        groups: samples of one group stay together; None splits sample by sample. Shape (n,).
        seed: the only source of chance.
        classes: the classes' names, for errors.

    Raises:
        InputError: a class is too small, there are too few groups, or a class is left out of training.
    """
    rng = np.random.default_rng([seed, 0])
    parts = np.full(len(codes), "train", dtype="U5")
    if groups is None:
        remaining = codes.copy()
        for part, fraction in FRACTIONS.items():
            share = fraction if part == "val" else fraction / (1 - FRACTIONS["val"])
            chosen = stratified_part(remaining, share, rng, classes)
            parts[chosen], remaining[chosen] = part, -1
        return parts
    names = rng.permutation(np.unique(groups))
    if len(names) < 3:
        raise InputError(f"the data names {len(names)} group(s): expected at least 3, or {UNGROUPED}")
    n_held = max(round(FRACTIONS["val"] * len(names)), 1)
    parts[np.isin(groups, names[:n_held])] = "val"
    parts[np.isin(groups, names[n_held : 2 * n_held])] = "test"
    trained = codes[parts == "train"]
    missing = np.setdiff1d(codes[codes >= 0], trained)
    for part in ("val", "test"):
        if not (codes[parts == part] >= 0).any():
            raise InputError(
                f"split by group with seed {seed} leaves no labelled sample for {part!r}: "
                f"use more groups, fewer or other seeds, or {UNGROUPED}"
            )
    if len(missing):
        name = classes[missing[0]] if classes is not None else missing[0]
        raise InputError(
            f"split by group with seed {seed} leaves class {str(name)!r} out of training: "
            f"use more groups, fewer or other seeds, or {UNGROUPED}"
        )
    return parts
