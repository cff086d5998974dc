"""Small worlds with finite alphabets, in which everything that the source computes can be had by enumeration."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import reference
from elision.batch import Batch
from elision.fusion import Fusion
from elision.likelihood import log_label_prior
from elision.methods.base import Ingredients
from elision.registries import FUSIONS, METHODS

MISSING, UNLABELLED = -1, -1

CASES = [(fusion, m, None) for fusion in FUSIONS for m in (1, 2, 3)] + [("outer-product", 2, 3)]
"""(fusion, number of modalities, rank): every layout of the label parameter that a fusion documents."""
GRID = [
    (name, f, o)
    for name, m in METHODS.items()
    for f in FUSIONS
    if f not in m.claims.refusals
    for o in m.claims.objectives
]
"""Every method with every fusion and objective that it claims."""


@dataclass(frozen=True)
class World:
    """A fusion, the features of each symbol of each alphabet, and the training samples that fill the banks.

    Args:
        kind: key of the fusion in `FUSIONS`.
        fusion: in float64.
        alphabets: per modality, features (A_m, k).
        training: symbols (n, M), `MISSING` where a modality was not observed.
        labels: shape (n,), `UNLABELLED` where there is none.
    """

    kind: str
    fusion: Fusion
    alphabets: list
    training: np.ndarray
    labels: np.ndarray

    @property
    def modalities(self):
        return self.fusion.modalities

    @property
    def label(self):
        """The fusion's label parameter."""
        (parameter,) = self.fusion.parameters()
        return parameter.detach().numpy()

    @cached_property
    def prior(self):
        """R_Z over the labelled samples."""
        labelled = [z for z in self.labels if z != UNLABELLED]
        return np.array([np.mean([z == label for label in labelled]) for z in range(self.fusion.n_classes)])

    @property
    def log_prior(self):
        return torch.from_numpy(np.log(self.prior))

    @cached_property
    def banks(self):
        """Per modality, the features of the training samples that show it, (N_m, k)."""
        return [self.alphabets[m][column[column != MISSING]] for m, column in enumerate(self.training.T)]

    @property
    def bank(self):
        """The banks as the source wants them."""
        return {m: torch.from_numpy(b) for m, b in zip(self.modalities, self.banks, strict=True)}

    @cached_property
    def shares(self):
        """Per modality, R_m(x_m) of each symbol."""
        shown = [column[column != MISSING] for column in self.training.T]
        return [np.bincount(s, minlength=len(a)) / len(s) for s, a in zip(shown, self.alphabets, strict=True)]

    @cached_property
    def table(self):
        """Q(x_1..x_M, z) of Eq. (3), normalised by enumeration; shape (A_1, ..., A_M, K)."""
        table = np.empty((*map(len, self.alphabets), self.fusion.n_classes))
        for symbols in np.ndindex(*table.shape[:-1]):
            features = [a[s] for a, s in zip(self.alphabets, symbols, strict=True)]
            share = np.prod([self.shares[m][s] for m, s in enumerate(symbols)])
            table[symbols] = share * self.prior * np.exp(reference.score(self.kind, self.label, features))
        return table / table.sum()

    def joint(self, symbols):
        """Q(x_S, z) of one sample, the table summed over what is missing; shape (K,)."""
        index = tuple(slice(None) if s == MISSING else slice(s, s + 1) for s in symbols)
        return self.table[index].sum(axis=tuple(range(len(symbols))))

    def share(self, symbols):
        """prod over S of R_m(x_m)."""
        return np.prod([self.shares[m][s] for m, s in enumerate(symbols) if s != MISSING])

    @cached_property
    def everything(self):
        """Each combination of symbols of each pattern, (n, M): whatever a sample can look like."""
        return np.array(list(itertools.product(*([MISSING, *range(len(a))] for a in self.alphabets))))

    def features(self, samples):
        """Of each sample, the list of features that the reference takes."""
        return [[None if s == MISSING else self.alphabets[m][s] for m, s in enumerate(row)] for row in samples]

    def packed(self, samples):
        """The arguments of `Fusion.scores` but the last: features, rows, number of samples."""
        columns = zip(self.modalities, self.alphabets, samples.T, strict=True)
        columns = [(m, a, c, np.flatnonzero(c != MISSING)) for m, a, c in columns]
        features = {m: torch.from_numpy(a[c[shown]]) for m, a, c, shown in columns}
        return features, {m: torch.from_numpy(shown) for m, _, _, shown in columns}, len(samples)

    def batch(self, samples, labels=None):
        """The samples with one-hot inputs, which `encoders` turn into the features."""
        labels = np.full(len(samples), UNLABELLED) if labels is None else labels
        return one_hot_batch(self.modalities, [len(a) for a in self.alphabets], samples, labels)

    @property
    def encoders(self):
        """Saturated: one free vector of features for each symbol."""
        encoders = {}
        for m, a in zip(self.modalities, self.alphabets, strict=True):
            encoders[m] = nn.Linear(*a.shape, bias=False, dtype=torch.float64)
            encoders[m].weight = nn.Parameter(torch.from_numpy(a.T.copy()))
        return encoders

    def method(self, name="mle", objective="joint", bank="exact", **options):
        shapes = {m: (len(a),) for m, a in zip(self.modalities, self.alphabets, strict=True)}
        ingredients = Ingredients(self.encoders, self.fusion, self.log_prior, objective, bank, shapes)
        return METHODS[name](ingredients, **options)


def make_world(kind, n_modalities, rank=None, seed=0, n_features=4) -> World:
    """A random world of 3 classes; alphabets of 3, banks of different sizes in which symbols occur unequally often."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    fusion = FUSIONS[kind]("abc"[:n_modalities], 3, n_features, rank).double()
    alphabets = [rng.normal(size=(3, n_features)) for _ in range(n_modalities)]
    training = rng.integers(0, 3, size=(7, n_modalities))
    training[:3] = np.arange(3)[:, None]  # every symbol and class occurs
    for m in range(n_modalities):
        training[len(training) - m - 1 :, m] = MISSING
    labels = np.array([0, 1, 2, 2, UNLABELLED, 0, 2])
    return World(kind, fusion, alphabets, training, labels)


def one_hot_batch(modalities, sizes, samples, labels) -> Batch:
    """Samples (n, M) of symbols, one-hot in float64."""
    columns = dict(zip(modalities, samples.T, strict=True))
    values = {m: torch.eye(a, dtype=torch.float64)[c] for a, (m, c) in zip(sizes, columns.items(), strict=True)}
    observed = {m: torch.from_numpy(c != MISSING) for m, c in columns.items()}
    return Batch.pack(values, observed, torch.as_tensor(labels))


def make_method(name, fusion, objective, bank="exact", seed=0, n_modalities=2, dropout=0.0, labels=None, **options):
    """A small method in float64 for `make_samples`: inputs of 3, 4, 5 columns, 3 classes, k = 4."""
    torch.manual_seed(seed)
    modalities = "abc"[:n_modalities]
    encoders = {
        m: nn.Sequential(nn.Linear(3 + i, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 4))
        for i, m in enumerate(modalities)
    }
    log_prior = log_label_prior(torch.tensor([0, 1, 1, 2]) if labels is None else labels, 3)
    shapes = {m: (3 + i,) for i, m in enumerate(modalities)}
    ingredients = Ingredients(encoders, FUSIONS[fusion](modalities, 3, 4), log_prior, objective, bank, shapes)
    return METHODS[name](ingredients, **options).double()


def make_samples(missing="some", n=24, seed=0, n_modalities=2):
    """Dense values, masks and labels: a third unlabelled, modalities missing from "none", "some" or "all" samples."""
    g = torch.Generator().manual_seed(seed)
    values = {m: torch.randn(n, 3 + i, generator=g, dtype=torch.float64) for i, m in enumerate("abc"[:n_modalities])}
    labels = torch.arange(n) % 3
    labels[torch.randperm(n, generator=g)[: n // 3]] = UNLABELLED
    if missing == "none":
        shown = torch.ones(n, n_modalities, dtype=torch.bool)
    elif missing == "all":  # every sample shows one modality only
        shown = torch.eye(n_modalities, dtype=torch.bool)[torch.arange(n) % n_modalities]
    else:  # all patterns, that of nothing among them
        code = torch.arange(n) // 3 % 2**n_modalities
        shown = torch.stack([code >> m & 1 == 1 for m in range(n_modalities)], dim=1)
    return values, dict(zip(values, shown.T, strict=True)), labels


class Memory(TorchDispatchMode):
    """Numbers in the largest tensor that any operation returns, forward or backward, and saved between the two."""

    largest = saved = 0

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.save, lambda x: x)
        self.hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.hooks.__exit__(*error)

    def save(self, x):
        self.saved += x.numel()
        return x

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(x, torch.Tensor)]
        self.largest = max(self.largest, *(x.numel() for x in tensors), 0)
        return out
