"""Identities 2, 3, 4 and 6 of MATH.md for every fusion, pattern and number of modalities, and the subsets."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

import reference
from elision import bank as bank_module
from elision import fusion as module
from elision.fusion import Addition
from elision.likelihood import log_evidence, log_posterior
from elision.registries import FUSIONS
from small import small_model, small_world
from worlds import CASES, MISSING, Memory, make_world

EXACT = {"rtol": 1e-12, "atol": 1e-12}
OUTER = [case for case in CASES if case[0] == "outer-product"]


@pytest.fixture(params=CASES, ids=str)
def world(request):
    return make_world(*request.param, seed=1)


def scores(world, samples, bank):
    return world.fusion.scores(*world.packed(samples), world.fusion.marginals(bank))


def everything(world, bank):
    """s_S of all that a sample can look like, and s_{} after them."""
    empty = world.fusion.empty_scores(world.fusion.marginals(bank))
    return torch.cat([scores(world, world.everything, bank), empty[None]])


def test_scores_are_the_literal_averages_over_tuples(world):
    """Identity 2, by loops."""
    cases = [*world.features(world.everything), [None] * len(world.modalities)]
    expected = [reference.marginal_score(world.kind, world.label, f, world.banks) for f in cases]
    assert_close(everything(world, world.bank).detach().numpy(), np.array(expected), **EXACT)


def test_a_missing_modality_is_the_log_mean_of_paired_scores(world):
    """Identity 2 within the source: s_S is the log-sum-exp of scores that show one modality more, less log N."""
    last, m = world.modalities[-1], len(world.modalities) - 1
    shown = world.training[world.training[:, m] != MISSING, m]
    for sample in world.everything[world.everything[:, m] == MISSING]:
        paired = np.array([[*sample[:-1], symbol] for symbol in shown])
        expected = torch.logsumexp(scores(world, paired, world.bank), 0) - np.log(len(world.bank[last]))
        assert_close(scores(world, sample[None], world.bank)[0], expected, **EXACT)


def test_bank_order_is_irrelevant(world):
    """Identity 3."""
    flipped = {m: b.flip(0) for m, b in world.bank.items()}
    assert_close(everything(world, flipped), everything(world, world.bank), **EXACT)


def test_a_bank_twice_over_changes_nothing(world):
    """Identity 3, one bank at a time: doubling all of them could hide a wrong count."""
    for m in world.modalities:
        doubled = world.bank | {m: world.bank[m].repeat(2, 1)}
        assert_close(everything(world, doubled), everything(world, world.bank), **EXACT)


def test_a_bank_of_one_sample_gives_the_complete_score(world):
    """Identity 3: with one symbol in each bank, a sample that lacks it scores as one that shows it."""
    symbols = np.arange(len(world.modalities)) % 3
    rows = [torch.from_numpy(a[s : s + 1]) for a, s in zip(world.alphabets, symbols, strict=True)]
    bank = dict(zip(world.modalities, rows, strict=True))
    filled = np.where(world.everything == MISSING, symbols, world.everything)
    assert_close(scores(world, world.everything, bank), scores(world, filled, bank), **EXACT)


def test_the_order_in_which_modalities_are_packed_is_irrelevant(world):
    features, rows, n = world.packed(world.everything)
    backwards = [dict(reversed(d.items())) for d in (features, rows, world.bank)]
    ours = world.fusion.scores(*backwards[:2], n, world.fusion.marginals(backwards[2]))
    assert_close(ours, scores(world, world.everything, world.bank), **EXACT)


def test_samples_do_not_see_each_other(world):
    """Each sample on its own scores as it does among all others, in any order."""
    order = np.random.default_rng(0).permutation(len(world.everything))
    together = scores(world, world.everything[order], world.bank)
    alone = torch.cat([scores(world, world.everything[i : i + 1], world.bank) for i in order])
    assert_close(together, alone, **EXACT)


def test_gradcheck_of_scores_and_empty_scores(world, monkeypatch):
    """Identity 6: features, banks and label parameter, all patterns at once, the bank in several blocks."""
    monkeypatch.setattr(bank_module, "BLOCK", 8)
    features, rows, n = world.packed(world.everything[::3])
    tensors = [x.requires_grad_() for x in (*features.values(), *world.bank.values())]

    def function(*tensors):
        features, bank = (dict(zip(world.modalities, t, strict=False)) for t in (tensors, tensors[len(rows) :]))
        marginals = world.fusion.marginals(bank)
        empty = world.fusion.empty_scores(marginals)
        return torch.cat([world.fusion.scores(features, rows, n, marginals), empty[None]])

    assert gradcheck(function, (*tensors, *world.fusion.parameters()), fast_mode=True)


def test_scores_of_1e4_stay_finite_in_float32(world):
    """Identity 4. Features, label parameter, products and sums are each rounded, by eps x 1e4 = 1e-3."""
    complete = world.everything[(world.everything != MISSING).all(1)]
    (label,) = world.fusion.parameters()
    with torch.no_grad():  # a score is linear in this part, in the CP form too
        part = label[0] if world.kind == "outer-product" else label
        part.mul_(1e4 / scores(world, complete, world.bank).abs().max())
    truth = everything(world, world.bank)
    world.fusion.float()
    bank = {m: b.float().requires_grad_() for m, b in world.bank.items()}
    features, rows, n = world.packed(world.everything)
    marginals = world.fusion.marginals(bank)
    low = world.fusion.scores({m: f.float() for m, f in features.items()}, rows, n, marginals)
    empty, log_prior = world.fusion.empty_scores(marginals), world.log_prior.float()
    assert truth.abs().max() > 5e3
    assert_close(torch.cat([low, empty[None]]).double(), truth, rtol=0, atol=1e-2)
    (log_evidence(low, empty, log_prior).sum() + log_posterior(low, log_prior).sum()).backward()
    assert all(x.grad.isfinite().all() for x in (label, *bank.values()) if x.grad is not None)
    assert label.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_costs_its_rounding_and_no_more(world, dtype):
    """Four factors at most, their products and sums: each off by eps / 2 of the sum of absolute terms, 4 eps in all."""
    truth, bank = everything(world, world.bank), {m: b.to(dtype) for m, b in world.bank.items()}
    features, rows, n = world.packed(world.everything)
    world.fusion.to(dtype)
    marginals = world.fusion.marginals(bank)
    low = world.fusion.scores({m: f.to(dtype) for m, f in features.items()}, rows, n, marginals)
    error = (torch.cat([low, world.fusion.empty_scores(marginals)[None]]).double() - truth).abs().max()
    world.fusion.double()
    with torch.no_grad():
        next(world.fusion.parameters()).abs_()
    sizes = world.fusion.marginals({m: b.abs() for m, b in world.bank.items()})
    absolute = world.fusion.scores({m: f.abs() for m, f in features.items()}, rows, n, sizes)
    assert error < 4 * torch.finfo(dtype).eps * absolute.max()


@pytest.mark.parametrize("kind", ["addition", "concatenation"])
def test_closed_form_of_an_empty_bank_is_zero(kind):
    """As a mini-batch's own bank may be; the other modality keeps its c_m."""
    world = make_world(kind, 2)
    marginals = world.fusion.marginals(world.bank | {"a": world.bank["a"][:0]})
    assert torch.equal(marginals["a"], torch.zeros(3, dtype=torch.float64))
    assert torch.equal(marginals["b"], world.fusion.marginals(world.bank)["b"])


@pytest.mark.parametrize(("kind", "shape"), [("addition", (3,)), ("concatenation", (3,)), ("outer-product", (6, 4))])
def test_what_has_a_closed_form_keeps_one_number_a_class(kind, shape):
    world = make_world(kind, 2)
    assert world.fusion.marginals(world.bank)["a"].shape == shape


def test_cp_form_of_full_rank_contains_the_full_tensor():
    """rank k^2 with one-hot factors: H_z[i, j] e_i^T (x) e_j."""
    full, cp = FUSIONS["outer-product"]("ab", 3, 2).double(), FUSIONS["outer-product"]("ab", 3, 2, rank=4).double()
    pairs = torch.cartesian_prod(torch.arange(2), torch.arange(2))  # (j, i)
    eye = torch.eye(2, dtype=torch.float64)
    with torch.no_grad():
        cp.label_tensor[0] = full.label_tensor[0].flatten(1)[:, :, None] * eye[pairs[:, 1]]
        cp.label_tensor[1] = eye[pairs[:, 0]].expand(3, 4, 2)
    arguments = make_world("outer-product", 2, n_features=2).packed(np.array([[0, 1], [2, 2], [1, 0]]))
    assert_close(cp.scores(*arguments, {}), full.scores(*arguments, {}), **EXACT)


# Memory


def traced(fusion, n, sizes, shown):
    """Largest tensor ever returned, and numbers saved for the backward pass, of n samples that show ``shown``."""
    bank = {m: torch.randn(size, 4, requires_grad=True) for m, size in zip(fusion.modalities, sizes, strict=True)}
    rows = {m: torch.arange(n if m in shown else 0) for m in fusion.modalities}
    features = {m: torch.randn(len(r), 4, requires_grad=True) for m, r in rows.items()}
    with Memory() as memory:
        fusion.scores(features, rows, n, fusion.marginals(bank)).logsumexp(1).sum().backward()
    return memory.largest, memory.saved


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_table_of_one_missing_modality_is_never_built(kind, monkeypatch):
    """150 samples x 2000 bank rows (x 3 classes) are averaged with blocks, features and queries in memory."""
    monkeypatch.setattr(bank_module, "BLOCK", 4096)
    fusion, features, queries = FUSIONS[kind]("ab", 3, 4), 4 * (150 + 40 + 2000), 150 * 3 * 4
    largest, saved = traced(fusion, 150, [40, 2000], "a")
    assert largest <= 8000  # the larger bank itself
    assert saved <= 2 * features + 8 * queries


@pytest.mark.parametrize("sizes", [[5, 3, 700], [5, 700, 3]], ids=str)
def test_the_table_of_all_tuples_is_never_built(sizes, monkeypatch):
    """50 samples x 3 classes x 2100 tuples, whichever of the two missing modalities has the larger bank."""
    monkeypatch.setattr(bank_module, "BLOCK", 4096)
    monkeypatch.setattr(module, "_CHUNK", 512)
    largest, saved = traced(FUSIONS["outer-product"]("abc", 3, 4), 50, sizes, "a")
    assert largest <= 50 * 3 * 2100 / 10
    assert saved <= 50 * 3 * 2100 / 2


def test_the_table_of_subsets_is_never_built(monkeypatch):
    """50 samples x 3 classes x 44 x 45 rows: 11 samples' queries, 11 x 44 x 3 x 4 numbers, are held at a time."""
    monkeypatch.setattr(module, "PAIRS", 2000)
    monkeypatch.setattr(module, "_CHUNK", 512)
    monkeypatch.setattr(bank_module, "BLOCK", 4096)
    largest, saved = traced(FUSIONS["outer-product"]("abc", 3, 4), 50, [5, 60, 70], "a")
    assert largest <= 512 * 3 * 4
    assert saved <= 50 * 3 * 2000 / 10


# Subsets


@pytest.fixture
def paired(monkeypatch):
    """A function that makes the world of a case, and draws so many pairs wherever several modalities are missing."""

    def make(case, pairs, chunk=2**14):
        monkeypatch.setattr(module, "PAIRS", pairs)
        monkeypatch.setattr(module, "ALL_PAIRS", pairs)
        monkeypatch.setattr(module, "_CHUNK", chunk)
        return make_world(*case, seed=2)

    return make


PAIRED = [case for case in OUTER if case[1] > 1]


@pytest.mark.parametrize("case", PAIRED, ids=str)
def test_subsets_converge_to_all_tuples(case, paired):
    """Within 5 standard errors of a mean over 141 x 141 rows.

    Its variance is at most 1 / 141 of that of exp s over all pairs, which is E exp 2s - (E exp s)^2.
    """
    world = make_world(*case, seed=2)
    exhaustive, bank = everything(world, world.bank), world.bank
    with torch.no_grad():
        world.fusion.label_tensor[0] *= 2  # doubles every score
    error = ((everything(world, bank) - 2 * exhaustive).exp() - 1).clamp(min=0).sqrt() / 141**0.5
    world = paired(case, 20_000)
    world.fusion.eval()
    random = everything(world, {m: b.repeat(100, 1) for m, b in bank.items()})  # at least 4e2 x 5e2 tuples
    assert ((random - exhaustive).abs() < 5 * error + 1e-12).all()
    assert not torch.allclose(random[-1], exhaustive[-1], rtol=1e-9)


@pytest.mark.parametrize("case", PAIRED, ids=str)
def test_subsets_are_unbiased_in_the_mean_of_exp(case, paired):
    """Two rows by two a draw: the mean over draws is within 5 standard errors of the mean over all tuples."""
    world = make_world(*case, seed=2)
    exhaustive = everything(world, world.bank)[[0, -1]].exp()
    world = paired(case, 5)
    marginals = world.fusion.train().marginals(world.bank)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([world.fusion.empty_scores(marginals).exp() for _ in range(1500)])
    error = (draws.mean(0) - exhaustive[-1]).abs() / (draws.std(0) / 1500**0.5)
    assert (draws.std(0) / draws.mean(0) > 0.05).all()
    assert error.max() < 5


@pytest.mark.parametrize("pairs", [1600, 1000, 49], ids=str)
def test_the_error_against_all_pairs_is_that_of_its_rows(paired, pairs):
    """Over draws: variance at most 1 / rows of that of exp s over all 40 x 40 pairs; none where all are taken."""
    torch.manual_seed(0)
    bank = {m: torch.randn(40, 4, dtype=torch.float64) + 0.5 for m in "ab"}
    paired(("outer-product", 2), pairs)
    fusion = FUSIONS["outer-product"]("ab", 3, 4).double().train()
    table = torch.einsum("ik,zlk,jl->zij", bank["a"], fusion.label_tensor.detach()[0], bank["b"]).exp().flatten(1)
    with torch.no_grad():
        draws = torch.stack([fusion.empty_scores(bank).exp() for _ in range(600)])
    if pairs == 1600:
        assert_close(draws, table.mean(1).expand_as(draws), **EXACT)
        return
    bound = table.var(1, correction=0) / math.isqrt(pairs)
    assert (draws.var(0) > 0).all()
    assert (draws.var(0) <= bound).all()
    assert ((draws.mean(0) - table.mean(1)).abs() <= 5 * (draws.var(0) / 600).sqrt()).all()


@pytest.mark.parametrize("case", PAIRED, ids=str)
def test_subsets_are_fixed_in_evaluation_and_fresh_in_training(case, paired):
    world = paired(case, 11)
    world.fusion.eval()
    before = torch.get_rng_state()
    first = everything(world, world.bank)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(everything(world, world.bank), first)
    world.fusion.train()
    assert not torch.equal(everything(world, world.bank), everything(world, world.bank))


@pytest.mark.parametrize(("n_modalities", "limit", "n_tuples"), [(2, "ALL_PAIRS", 6 * 5), (3, "PAIRS", 5 * 4)])
def test_all_tuples_up_to_the_limit_and_subsets_beyond(paired, n_modalities, limit, n_tuples):
    """Of two banks: s_{} has a limit of its own, the score of a sample that shows something the usual one."""
    case = "outer-product", n_modalities
    world = make_world(*case, seed=2)
    sample = np.array([[MISSING, MISSING] if n_modalities == 2 else [0, MISSING, MISSING]])
    exhaustive = scores(world, sample, world.bank)
    for pairs, same in [(n_tuples, True), (n_tuples - 1, False)]:
        world = paired(case, 5)
        setattr(module, limit, pairs)
        assert torch.allclose(scores(world, sample, world.bank), exhaustive, rtol=1e-12) is same


def test_only_the_rows_of_the_subsets_are_projected(monkeypatch):
    """Of banks of 5,000 and 6,000 rows, 1,000 of the first go through the label tensor."""
    fusion, seen = FUSIONS["outer-product"]("ab", 3, 4), []
    project = fusion._project

    def counted(modality, features):
        seen.append(len(features))
        return project(modality, features)

    monkeypatch.setattr(fusion, "_project", counted)
    fusion.empty_scores({"a": torch.randn(5000, 4), "b": torch.randn(6000, 4)})
    assert seen == [1000]


def test_random_rows_are_used_equally_often():
    for size in (6, 5, 40):
        rows = module._random_rows(torch.arange(size)[:, None], 33, None)
        counts = torch.bincount(rows.squeeze(1), minlength=size)
        assert counts.sum() == 33
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("case", PAIRED, ids=str)
def test_gradcheck_of_subsets(case, paired):
    """Identity 6, through chunks that are computed again in the backward pass."""
    world = paired(case, 16, chunk=1)
    world.fusion.eval()
    tensors = [b.requires_grad_() for b in world.bank.values()]

    def function(*tensors):
        return world.fusion.empty_scores(dict(zip(world.modalities, tensors, strict=False)))

    assert gradcheck(function, (*tensors, *world.fusion.parameters()), fast_mode=True)


def test_chunks_change_no_gradient_in_training(paired):
    """The backward pass sees the rows of the forward pass, not new ones."""

    def gradient(chunk):
        world = paired(("outer-product", 3), 16, chunk)
        torch.manual_seed(0)
        loss = everything(world, world.bank).square().sum()
        return torch.autograd.grad(loss, tuple(world.fusion.parameters()))[0]

    assert_close(gradient(1), gradient(2**14), **EXACT)


def test_a_fusion_needs_one_line_in_its_registry(monkeypatch):
    class Gated(Addition):
        """As good as any."""

    monkeypatch.setitem(FUSIONS, "gated", Gated)
    X, y = small_world()
    assert small_model(fusion="gated").fit(X, y).score(X, y) > 0.8
    assert small_model(fusion=Gated).fit(X, y).score(X, y) > 0.8
