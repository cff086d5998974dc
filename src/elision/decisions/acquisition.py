"""Which missing modality to measure next, and in which order, before anything of it is known.

Every value is that of the average of the members that the joint objective trained: the conditional objective leaves
Q(y | x_S) undetermined. See `elision.measuring`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from numbers import Real

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elision.batch import Batch
from elision.ensemble import Member
from elision.errors import InputError, check_choice
from elision.evaluation import evaluate
from elision.measuring import Worth, expected_value
from elision.stacking import PatternWeights

TUPLES = 10_000
"""Tuples of bank rows, at most, that stand for a set of several modalities: all tuples of random rows of each."""
_ROWS = 1024


@torch.no_grad()
def value_of_set(members: Sequence[Member], weights: PatternWeights, batch: Batch, modalities: Sequence[str]) -> Worth:
    """Return what measuring some modalities together is worth to samples that lack all of them.

    Args:
        members: of which those of the joint objective count.
        weights: of the members, for each pattern.
        batch: the samples, standardised; shape (n).
        modalities: to be measured.

    Raises:
        InputError: no member was trained by the joint objective.
    """
    joint = [i for i, member in enumerate(members) if member.specification.objective == "joint"]
    if not joint:
        raise InputError(
            "the value of a measurement needs the joint objective, which says what would be measured: fit method 'mle' "
            "with objective 'joint', or with all of them"
        )
    chosen = _tuples([len(members[joint[0]].method.remembered[m]) for m in modalities])
    parts = []
    for samples in torch.arange(len(batch), device=batch.labels.device).split(_ROWS):
        rows = batch.select(samples)
        shares = weights.of(rows.observed)[joint].double()
        outlooks = []
        for i in joint:
            method = members[i].method
            measured = {
                m: method.remembered[m][index.to(samples.device)] for m, index in zip(modalities, chosen, strict=True)
            }
            outlooks.append(method.outlook(rows.map(members[i].frozen), measured))
        parts.append(expected_value(outlooks, (shares / shares.sum(0)).to(outlooks[0].marginal)))
    return Worth(*(torch.cat([getattr(part, name) for part in parts]).double().cpu() for name in ("nats", "accuracy")))


def values(
    members: Sequence[Member], weights: PatternWeights, batch: Batch, costs: Mapping[str, float] | None, size: int
) -> pd.DataFrame:
    """Return a row per sample and set of up to ``size`` modalities that it lacks, the most valuable first per sample.

    Columns: sample (its position), modality ("a + b" for a set), nats, accuracy, and with ``costs`` also cost and
    nats_per_cost.
    """
    check_costs(costs, batch.modalities)
    frames = []
    for chosen in _sets(batch.modalities, size):
        lacking = (~_shown(batch, chosen).any(1)).nonzero().squeeze(1)
        if not len(lacking):
            continue
        value = value_of_set(members, weights, batch.select(lacking), chosen)
        columns = {
            "sample": lacking.cpu().numpy(),
            "modality": " + ".join(chosen),
            "nats": value.nats.numpy(),
            "accuracy": value.accuracy.numpy(),
        }
        if costs is not None:
            columns["cost"] = float(sum(costs[m] for m in chosen))
            with np.errstate(divide="ignore", invalid="ignore"):
                columns["nats_per_cost"] = columns["nats"] / columns["cost"]
        frames.append(pd.DataFrame(columns))
    if not frames:
        raise InputError("every sample shows every modality: there is nothing left to measure")
    by = "nats" if costs is None else "nats_per_cost"
    table = pd.concat(frames).sort_values(["sample", by], ascending=[True, False], kind="stable")
    return table.reset_index(drop=True)


def greedy_plan(
    members: Sequence[Member],
    weights: PatternWeights,
    batch: Batch,
    costs: Mapping[str, float] | None,
    budget: float | None,
) -> pd.DataFrame:
    """Return for each sample in which order to measure what it lacks: each step adds the most nats per cost.

    The order is fixed before anything is measured; once something was, ask again. Columns: sample, step (from 1),
    modality, nats (that the step adds to those before it), cost, total_cost.

    Args:
        members, weights, batch: as `values` takes them.
        costs: modality -> cost, above 0; None counts each as 1.
        budget: largest total cost for a sample; None is no limit.
    """
    check_costs(costs, batch.modalities)
    if budget is not None and not budget >= 0:
        raise InputError(f"budget is {budget!r}: expected a number, 0 or more")
    price = dict.fromkeys(batch.modalities, 1.0) if costs is None else {m: float(costs[m]) for m in batch.modalities}
    if min(price.values()) <= 0:
        raise InputError("a plan needs costs above 0: it goes by value per cost")
    prices = np.array(list(price.values()))
    planned: list[tuple[str, ...]] = [() for _ in range(len(batch))]
    reached, spent = np.zeros(len(batch)), np.zeros(len(batch))
    steps = []
    for step in range(1, len(prices) + 1):
        gains = _next_gains(members, weights, batch, planned) - reached[:, None]
        if budget is not None:
            gains[spent[:, None] + prices > budget * (1 + 1e-9)] = -np.inf  # .1 + .2 is within .3
        best = (gains / prices).argmax(1)
        for sample in np.flatnonzero(np.isfinite(gains.max(1))):
            m, gain = batch.modalities[best[sample]], gains[sample, best[sample]]
            planned[sample] = (*planned[sample], m)
            gain = max(gain, 0.0)  # a set is averaged over fewer tuples than each part of it: below 0 is error
            reached[sample] += gain
            spent[sample] += price[m]
            steps.append((int(sample), step, m, gain, price[m], spent[sample]))
    columns = ["sample", "step", "modality", "nats", "cost", "total_cost"]
    return pd.DataFrame(steps, columns=columns).sort_values(["sample", "step"], kind="stable").reset_index(drop=True)


def order_curves(  # noqa: PLR0913
    members: Sequence[Member],
    weights: PatternWeights,
    log_posterior: Callable[[Batch], np.ndarray],
    batch: Batch,
    codes: np.ndarray,
    costs: Mapping[str, float] | None,
    start: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return how good predictions become as what samples show is measured piece by piece, in several orders.

    Orders: "value", each sample's own, the most nats per cost next given what was found before; "fixed", one for all,
    the plan of a sample that shows nothing; "random"; and "all", everything at once. Columns: order, step, measured and
    cost (of all that was measured, means over samples), accuracy, nll (nats).

    Args:
        members, weights: as `values` takes them.
        log_posterior: of the average.
        batch: labelled samples, as much of them as can be measured.
        codes: class indices, shape (n,).
        costs: modality -> cost, above 0; None counts each as 1.
        start: modalities that all samples show at first, at no cost.
        seed: of the random order.
    """
    for m in start:
        check_choice("modality", m, batch.modalities)
    available = batch.observed.cpu().numpy()
    free = available & np.isin(batch.modalities, list(start))
    nobody = batch.select(torch.zeros(1, dtype=torch.long, device=batch.labels.device))
    plan = greedy_plan(members, weights, nobody.showing(torch.zeros_like(nobody.observed)), costs, None)["modality"]
    price = np.array([1.0 if costs is None else costs[m] for m in batch.modalities])
    fixed = np.array([-plan.tolist().index(m) for m in batch.modalities], dtype=float)
    noise = np.random.default_rng(seed).random(available.shape)
    orders: dict[str, Callable[[Batch], np.ndarray]] = {
        "value": lambda now: _next_gains(members, weights, now, [()] * len(now)) / price,
        "fixed": lambda now: np.broadcast_to(fixed, available.shape),
        "random": lambda now: noise,
    }
    rows = []
    for order, score in orders.items():
        shown, left = free.copy(), available & ~free
        for step in range(len(price) + 1):
            now = batch.showing(torch.from_numpy(shown).to(batch.labels.device))
            bought = shown & ~free
            found = evaluate(log_posterior(now), codes)
            cost = float((bought @ price).mean())
            rows.append((order, step, float(bought.sum(1).mean()), cost, found.accuracy, found.nll))
            samples = np.flatnonzero(left.any(1))
            if not len(samples):
                break
            best = np.where(left, score(now), -np.inf).argmax(1)[samples]
            shown[samples, best], left[samples, best] = True, False
    rows.append(("all", *rows[-1][1:]))
    return pd.DataFrame(rows, columns=["order", "step", "measured", "cost", "accuracy", "nll"])


def check_costs(costs: Mapping[str, float] | None, modalities: Sequence[str]) -> None:
    """Raise `InputError` unless there is a cost, finite and 0 or more, for each modality."""
    if costs is None:
        return
    if not isinstance(costs, Mapping):
        raise InputError(f"costs is {costs!r}: expected a dict, modality -> cost, of {', '.join(modalities)}")
    for m in costs:
        check_choice("modality of costs", m, modalities)
    lacking = [m for m in modalities if m not in costs]
    if lacking:
        raise InputError(f"no cost is given for {', '.join(lacking)}: give every modality one")
    for m, cost in costs.items():
        if not isinstance(cost, Real) or isinstance(cost, bool) or not 0 <= cost < np.inf:
            raise InputError(f"the cost of {m!r} is {cost!r}: expected a finite number, 0 or more")


def _next_gains(
    members: Sequence[Member], weights: PatternWeights, batch: Batch, planned: Sequence[tuple[str, ...]]
) -> np.ndarray:
    """Return the nats of each sample's plan with one modality more, -inf where it shows or plans it; shape (n, M)."""
    gains = np.full((len(batch), len(batch.modalities)), -np.inf)
    shown = batch.observed.cpu().numpy()
    sets = np.array([" ".join(str(batch.modalities.index(m)) for m in sorted(plan)) for plan in planned])
    for key in np.unique(sets):
        plan = [batch.modalities[int(i)] for i in str(key).split()]
        for index, m in enumerate(batch.modalities):
            samples = np.flatnonzero((sets == key) & ~shown[:, index])
            if m not in plan and len(samples):
                rows = batch.select(torch.from_numpy(samples).to(batch.labels.device))
                gains[samples, index] = value_of_set(members, weights, rows, [*plan, m]).nats.numpy()
    return gains


def _sets(modalities: Sequence[str], size: int) -> list[tuple[str, ...]]:
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= len(modalities):
        raise InputError(f"size is {size!r}: expected a whole number from 1 to {len(modalities)}, modalities in a set")
    return [chosen for k in range(1, size + 1) for chosen in combinations(modalities, k)]


def _shown(batch: Batch, modalities: Sequence[str]) -> Tensor:
    return batch.observed[:, [batch.modalities.index(m) for m in modalities]]


def _tuples(sizes: Sequence[int]) -> list[Tensor]:
    """Return rows of several banks that are measured together: all tuples of a fixed random part of each."""
    if len(sizes) == 1:
        return [torch.arange(sizes[0])]
    most = max(int(TUPLES ** (1 / len(sizes)) + 1e-9), 2)
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randperm(size, generator=generator)[:most] for size in sizes]
    return list(torch.cartesian_prod(*parts).T)
