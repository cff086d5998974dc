"""What the processes of `test_deep_processes` do: one step of a method on this process's part of a global batch."""

import itertools
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from elision.batch import Batch
from elision.deep.processes import across, touch
from elision.registries import METHODS
from worlds import GRID, make_method, make_samples

_PATIENCE = timedelta(seconds=60)
N, CUT = 24, 15
"""Samples, of which the first process has 15 and the second 9."""
BATCHES = {
    "unequal": [[0, 1, 2, 4, 5, 7, 9, 12, 14], [15, 20, 22]],
    "nobody labelled in one": [[0, 1, 5, 9, 10, 11], None],
    "one modality alone in one": [[0, 3, 7, 9, 10, 11], None],
    "one sample in one": [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [17]],
}
"""Samples of the global batch in each process; None: chosen from the data, see `chosen`."""
CHOICES = [
    (method, fusion, objective, bank)
    for method, fusion, objective in GRID
    for bank in (("bank", "batch", "exact") if method == "mle" else ("exact",))
    if not METHODS[method].claims.needs_features
]
CASES = [(*choice, batch) for choice, batch in itertools.product(CHOICES, BATCHES)]


def name(case) -> str:
    return "/".join(case)


def data():
    return make_samples("some", n=N)


def chosen(batch: str) -> list[list[int]]:
    """The samples of each process, by their place among all."""
    first, second = BATCHES[batch]
    _, observed, labels = data()
    if batch == "nobody labelled in one":
        second = [i for i in range(CUT, N) if labels[i] < 0]
    if batch == "one modality alone in one":
        second = [i for i in range(CUT, N) if not observed["b"][i]]
    return [first, second]


def step(case, own: slice, samples: list[int], wrap) -> dict[str, torch.Tensor]:
    """Loss, gradients and settled marginals of one step, on the samples of one process, which has ``own`` of all.

    Samples that the method does not learn from are left out, of which a process may have no other.
    Remembered features are older than the encoders.
    """
    method_name, fusion, objective, bank, _ = case
    values, observed, labels = data()
    train = Batch.pack({m: x[own] for m, x in values.items()}, {m: x[own] for m, x in observed.items()}, labels[own])
    method = make_method(method_name, fusion, objective, bank, labels=labels)
    method.rate = 0.0  # modality dropout draws for each process
    method.model.across = across()
    stage = next(stages := method.stages(train))
    if stage.bank:
        stage.bank.refresh()
    with torch.no_grad():
        for i, p in enumerate(method.parameters()):
            p.add_(0.1 * torch.cos(torch.arange(p.numel(), dtype=p.dtype) + i).view(p.shape))
    wrapped = wrap(Loss(method, stage))
    drawn = [i - own.start for i in samples if i - own.start in stage.samples]
    loss = wrapped(train.select(torch.tensor(drawn, dtype=torch.long)))
    loss.backward()
    out = {f"gradient/{n}": p.grad for n, p in method.named_parameters() if p.grad is not None}
    if stage.settle:
        method.eval()
        stage.settle()
        stage.settle(exact=False)
    stages.close()
    return {"loss": loss.detach(), **out} | {f"buffer/{n}": b for n, b in method.named_buffers()}


class Loss(nn.Module):
    def __init__(self, method, stage):
        super().__init__()
        self.method, self.stage = method, stage

    def forward(self, batch):
        return touch(self.stage.loss(batch), self.stage.parameters)


def main(rank: int, world: int, meeting: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world, timeout=_PATIENCE)
    own = (slice(0, CUT), slice(CUT, N))[rank]
    results = {}
    for case in CASES:
        wrapped = step(case, own, chosen(case[-1])[rank], DistributedDataParallel)
        results |= {f"{name(case)}|{key}": x for key, x in wrapped.items()}
    torch.save(results, f"{out}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
