"""Addition's closed form: time against the matrix products it needs, memory, and against the literal Eq. (5).

python -m benchmarks.closed_form
"""

import math
import os

import torch

from benchmarks.timing import compare, machine, peak_bytes
from elision.fusion import Addition
from elision.likelihood import conditional_objective

BATCH, BANK, FEATURES, CLASSES = 256, 100_000, 128, 8


def case(bank: int) -> tuple[Addition, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    fusion = Addition(["x", "y"], CLASSES, FEATURES)
    x = torch.randn(BATCH, FEATURES, requires_grad=True)
    y = torch.randn(bank, FEATURES, requires_grad=True)
    return fusion, x, y, torch.full((CLASSES,), -math.log(CLASSES)), torch.randint(CLASSES, (BATCH,))


def closed_form(fusion, x, y, prior, labels) -> torch.Tensor:
    """Every sample of the batch lacks y, whose bank carries a gradient."""
    rows = {"x": torch.arange(BATCH), "y": torch.arange(0)}
    features = {"x": x, "y": y[:0]}
    marginals = fusion.marginals({"x": x, "y": y})
    return conditional_objective(fusion.scores(features, rows, BATCH, marginals), prior, labels)


def literal(fusion, x, y, prior, labels) -> torch.Tensor:
    """Eq. (5) as written: the score of every sample with every row of the bank, for every class."""
    scores = (x[:, None, :] + y[None, :, :]) @ fusion.label_embedding.T
    averaged = torch.logsumexp(scores, dim=1) - math.log(len(y))
    return conditional_objective(averaged, prior, labels)


def products(fusion, x, y, prior, labels) -> None:
    """The matrix products of the closed form, forward and both backward, and nothing else."""
    h = fusion.label_embedding.detach()
    for rows in (x.detach(), y.detach()):
        scores = h @ rows.T
        scores @ rows
        scores.T @ h


def step(loss, arguments) -> None:
    fusion, x, y, *_ = arguments
    fusion.label_embedding.grad = x.grad = y.grad = None
    loss(*arguments).backward()


def main() -> None:
    print(machine())
    big = case(BANK)
    times = compare({"closed form": lambda: step(closed_form, big), "products": lambda: products(*big)})
    held = peak_bytes(lambda: step(closed_form, big)) / 1e6 / (BANK / 1000)
    print(f"batch {BATCH}, bank {BANK:,}, k {FEATURES}, {CLASSES} classes, forward and backward:")
    print(f"  closed form {times['closed form'] * 1e3:.1f} ms, its matrix products {times['products'] * 1e3:.1f} ms")
    print(f"  ratio {times['closed form'] / times['products']:.2f} (target: at most 2)")
    print(f"  extra memory {held:.2f} MB per 1,000 bank rows (target: below 3)")
    bank = largest_literal()
    small = case(bank)
    expected, got = literal(*small).item(), closed_form(*small).item()
    alternatives = {"closed form": lambda: step(closed_form, small), "literal": lambda: step(literal, small)}
    times = compare(alternatives, repeats=1)
    print(f"bank {bank:,}, the largest at which the literal Eq. (5) fits here: it takes")
    print(
        f"  {times['literal'] / times['closed form']:.0f} times as long; the losses differ by {abs(expected - got):.1e}"
    )


def largest_literal() -> int:
    """Bank rows whose table of scores, measured at 1,000 rows, fills three quarters of the free memory."""
    probe = case(1_000)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows = int(0.75 * available / (peak_bytes(lambda: step(literal, probe)) / 1_000))
    return min(rows // 1_000 * 1_000, BANK)


if __name__ == "__main__":
    main()
