"""The blocked log-mean-exp of the outer product: time against its four matrix products, memory against the dense table.

python -m benchmarks.outer_product
"""

import math

import torch

from benchmarks.timing import compare, machine, peak_bytes
from elision.bank import log_mean_exp_dot

BATCH, BANK, FEATURES, CLASSES = 256, 20_000, 128, 8


def step(function, queries, keys) -> None:
    queries.grad = keys.grad = None
    function(queries, keys).sum().backward()


def dense(queries, keys) -> torch.Tensor:
    """The whole table of scores."""
    return torch.logsumexp(queries @ keys.T, dim=1) - math.log(len(keys))


def products(queries, keys) -> None:
    """Forward one; backward the scores again, and one for each gradient."""
    queries, keys = queries.detach(), keys.detach()
    for block in keys.split(512):
        for rows in queries.split(512):
            scores = rows @ block.T
            scores = rows @ block.T
            scores @ block
            scores.T @ rows


def main() -> None:
    print(machine())
    torch.manual_seed(0)
    scale = FEATURES**-0.5
    queries = (torch.randn(BATCH * CLASSES, FEATURES) * scale).requires_grad_()
    keys = torch.randn(BANK, FEATURES, requires_grad=True)
    times = compare(
        {
            "blocked": lambda: step(log_mean_exp_dot, queries, keys),
            "dense": lambda: step(dense, queries, keys),
            "products": lambda: products(queries, keys),
        },
        repeats=7,
    )
    extra = {n: peak_bytes(lambda f=f: step(f, queries, keys)) for n, f in (("b", log_mean_exp_dot), ("d", dense))}
    gradients = (queries.numel() + keys.numel()) * 4
    print(f"batch {BATCH}, bank {BANK:,}, k {FEATURES}, {CLASSES} classes, forward and backward:")
    for name, seconds in times.items():
        print(f"  {name:9s} {seconds * 1e3:7.1f} ms   {seconds / times['products']:.2f} x the four matrix products")
    print(f"  (target for blocked: within 1.5 x)  blocked / dense {times['blocked'] / times['dense']:.2f}")
    print(
        f"  memory beyond the gradients: blocked {(extra['b'] - gradients) / 1e6:.1f} MB, "
        f"dense {(extra['d'] - gradients) / 1e6:.1f} MB; with them {extra['b'] / extra['d']:.3f} (target: at most 0.1)"
    )


if __name__ == "__main__":
    main()
