"""Checkpoints: whole or passed over, the last two kept, and the best weights that they need."""

import torch

from elision.checkpoints import Checkpoint, Checkpoints


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    there = Checkpoints(tmp_path)
    tensors = {"a/b": torch.randn(3, 2), "n": torch.tensor(7.0), "half": torch.ones(2, dtype=torch.bfloat16)}
    there.save(Checkpoint(3, tensors, {"progress": {"best_step": None}, "x": 0.1}))
    found = there.latest()
    assert found.step == 3
    assert found.values["x"] == 0.1
    assert all(torch.equal(found.tensors[k], x) and found.tensors[k].dtype == x.dtype for k, x in tensors.items())


def test_a_checkpoint_whose_best_weights_are_damaged_is_passed_over(tmp_path):
    there = Checkpoints(tmp_path)
    for step in (2, 4):
        there.save_best(step, {"w": torch.full((3,), float(step))})
        there.save(Checkpoint(step, {"w": torch.zeros(3)}, {"progress": {"best_step": step}}))
    assert there.latest().step == 4
    (tmp_path / "best-000000004" / "tensors.safetensors").write_bytes(b"")
    assert there.latest().step == 2
    assert there.damaged == ["step-000000004"]
    assert there.best(4) is None
    assert torch.equal(there.best(2)["w"], torch.full((3,), 2.0))


def test_the_last_two_are_kept_and_a_damaged_one_set_aside_is_not_counted(tmp_path):
    there = Checkpoints(tmp_path)
    for step in (2, 4, 6):
        there.save(Checkpoint(step, {"w": torch.full((2,), float(step))}, {"progress": {"best_step": None}}))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-000000004", "step-000000006"]
    (tmp_path / "step-000000006" / "tensors.safetensors").write_bytes(b"")
    assert there.latest().step == 4
    there.set_aside()
    there.save(Checkpoint(5, {"w": torch.zeros(2)}, {"progress": {"best_step": None}}))
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-000000004", "step-000000005", "damaged-step-000000006",
    }  # fmt: skip
    assert there.latest().step == 5
