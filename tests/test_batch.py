"""A batch against dense indexing: what was observed is there, once, and nothing else is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elision.batch import Batch


@st.composite
def dense(draw, max_samples=6):
    """Dense values with two shapes of rows, masks, labels; an unobserved row holds NaN, or -1 where integers stand."""
    n = draw(st.integers(0, max_samples))
    masks = {m: torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool) for m in "xy"}
    values = {"x": torch.arange(n * 6.0).view(n, 2, 3), "y": torch.arange(n)}
    values["x"][~masks["x"]] = torch.nan
    values["y"][~masks["y"]] = -1
    return values, masks, torch.tensor(draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)), dtype=torch.long)


@st.composite
def selected(draw):
    """A dense sample and indices into it, in any order, repeated or not, possibly none."""
    sample = draw(dense())
    n = len(sample[2])
    indices = draw(st.lists(st.integers(0, n - 1), max_size=8)) if n else []
    return sample, torch.tensor(indices, dtype=torch.long)


def assert_same(batch: Batch, other: Batch):
    assert batch.modalities == other.modalities
    assert torch.equal(batch.labels, other.labels)
    for m in batch.modalities:
        assert torch.equal(batch.inputs[m], other.inputs[m])
        assert batch.inputs[m].dtype == other.inputs[m].dtype
        assert torch.equal(batch.rows[m], other.rows[m])


@given(dense())
def test_pack_keeps_observed_rows_in_order(sample):
    values, masks, labels = sample
    batch = Batch.pack(values, masks, labels)
    assert len(batch) == len(labels)
    for m in batch.modalities:
        assert torch.equal(batch.inputs[m], values[m][masks[m]])
        assert batch.rows[m].tolist() == [i for i, shown in enumerate(masks[m]) if shown]
        assert torch.equal(batch.source[m], torch.arange(int(masks[m].sum())))


@given(dense())
def test_views_are_those_of_the_masks(sample):
    values, masks, labels = sample
    batch = Batch.pack(values, masks, labels)
    assert torch.equal(batch.observed, torch.stack([masks["x"], masks["y"]], 1))
    assert batch.complete.tolist() == [i for i in range(len(labels)) if masks["x"][i] and masks["y"][i]]
    assert batch.labelled.tolist() == [i for i, z in enumerate(labels) if z >= 0]
    for m in batch.modalities:
        shown = (batch.positions[m] >= 0).nonzero().squeeze(1)
        assert torch.equal(shown, batch.rows[m])
        assert torch.equal(batch.positions[m][shown], torch.arange(len(shown)))


@given(selected())
@settings(max_examples=200)
def test_select_is_dense_indexing(case):
    (values, masks, labels), chosen = case
    ours = Batch.pack(values, masks, labels).select(chosen)
    indexed = ({m: x[chosen] for m, x in d.items()} for d in (values, masks))
    assert_same(ours, Batch.pack(*indexed, labels[chosen]))


@given(selected(), st.data())
def test_source_points_into_the_batch_selected_from(case, data):
    """Also after a second selection: it is that batch's rows that a memory of features is indexed by."""
    (values, masks, labels), chosen = case
    first = Batch.pack(values, masks, labels)
    second = first.select(chosen)
    again = data.draw(st.lists(st.integers(0, len(second) - 1), max_size=5)) if len(second) else []
    third = second.select(torch.tensor(again, dtype=torch.long))
    for outer, inner in ((first, second), (second, third)):
        for m in first.modalities:
            assert torch.equal(outer.inputs[m][inner.source[m]], inner.inputs[m])
    for m in first.modalities:
        assert first.rows[m][second.source[m]].tolist() == [i for i in chosen.tolist() if masks[m][i]]


@given(dense(), st.sampled_from("xy"))
def test_without_is_packing_with_an_empty_mask(sample, m):
    values, masks, labels = sample
    batch = Batch.pack(values, masks, labels)
    batch.observed  # a cached view of the old pattern must not survive  # noqa: B018
    emptied = batch.without(m)
    expected = Batch.pack(values, masks | {m: torch.zeros_like(masks[m])}, labels)
    assert_same(emptied, expected)
    assert torch.equal(emptied.observed, expected.observed)
    assert len(emptied.source[m]) == 0
    assert_same(batch, Batch.pack(values, masks, labels))


@given(selected(), st.sampled_from("xy"))
def test_without_and_select_commute(case, m):
    sample, chosen = case
    batch = Batch.pack(*sample)
    assert_same(batch.without(m).select(chosen), batch.select(chosen).without(m))


@given(dense())
def test_fill_puts_values_where_a_modality_is_missing_and_only_there(sample):
    values, masks, labels = sample
    batch, others = Batch.pack(values, masks, labels), {"x": torch.full_like(values["x"], 99), "y": values["y"] + 99}
    shown = {m: mask.view(-1, *[1] * (values[m].dim() - 1)) for m, mask in masks.items()}
    dense = {m: torch.where(shown[m], values[m], others[m]) for m in values}
    everywhere = {m: torch.ones_like(mask) for m, mask in masks.items()}
    filled = batch.fill(others)
    assert_same(filled, Batch.pack(dense, everywhere, labels))
    assert filled.complete.tolist() == list(range(len(labels)))
    assert all(torch.equal(filled.source[m], torch.arange(len(labels))) for m in "xy")


class Rows(nn.Module):
    """Counts the rows that it is given."""

    def forward(self, x):
        assert not x.isnan().any()
        return torch.stack([x.flatten(1).sum(1), x.flatten(1)[:, 0]], 1)


@given(selected())
def test_map_sees_observed_rows_only_and_commutes_with_select(case):
    (values, masks, labels), chosen = case
    floats = {"x": values["x"], "y": values["y"].float()[:, None]}
    batch, functions = Batch.pack(floats, masks, labels), {"x": Rows(), "y": nn.Identity()}
    mapped = batch.map(functions)
    assert torch.equal(mapped.inputs["x"], Rows()(floats["x"][masks["x"]]))
    assert_same(mapped.select(chosen), batch.select(chosen).map(functions))
    for m in "xy":
        assert torch.equal(mapped.source[m], batch.source[m])


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
def test_to_moves_floating_point_inputs_only(dtype):
    values, shown = {"x": torch.rand(3, 2), "y": torch.arange(3)}, torch.ones(3) > 0
    batch = Batch.pack(values, {"x": shown, "y": shown}, torch.arange(3))
    moved = batch.to("cpu", dtype)
    assert moved.inputs["x"].dtype == (dtype or torch.float32)
    assert [x.dtype for x in (moved.inputs["y"], moved.labels, moved.rows["x"], moved.source["x"])] == [torch.int64] * 4


def test_to_moves_every_tensor_to_the_device():
    batch = Batch.pack({"x": torch.rand(3, 2)}, {"x": torch.ones(3) > 0}, torch.arange(3)).to("meta")
    tensors = [batch.labels, *batch.inputs.values(), *batch.rows.values(), *batch.source.values()]
    assert {x.device.type for x in tensors} == {"meta"}
