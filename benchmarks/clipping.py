"""Whether clipped gradients help: NLL and the lengths of gradients, with and without, by fusion and objective.

    OMP_NUM_THREADS=1 python -m benchmarks.clipping data/mfeat3.csv --missing fou mor --out results/clipping

80 % of one modality are missing in training. MLP encoders, k 32, 300 steps, the parameters of the best validation value
are tested; seeds 100 and up, which no table of results uses. Each training is kept as it ends.
"""

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from benchmarks.kept import once
from benchmarks.timing import machine
from elision.data import load
from elision.ensemble import Extent, Member, Specification
from elision.inputs import Standardizer
from elision.likelihood import log_label_prior
from elision.registries import FUSIONS, METHODS
from elision.study.on_arrays import partition
from elision.study.run import Run, Training
from elision.training import Loop, Schedule, train

STEPS, RATE = 300, 0.8


def one(source: str, missing: str, fusion: str, objective: str, clip: float, seed: int) -> dict[str, float]:
    """Train once; return test NLL and accuracy, and quantiles of the gradients' lengths before they were clipped."""
    data = load(source)
    run = Run(source, data.name, data.fingerprint(), False, "mle", fusion, objective, Training("mlp", 32), missing,
              RATE, seed)  # fmt: skip
    parts = partition(run)
    samples = (parts.train, parts.validation, parts.test)
    standardizer = Standardizer.fit(samples[0].arrays)
    batches = [standardizer.batch(s.arrays, s.codes).to("cpu", torch.float32) for s in samples]
    encoders = dict.fromkeys(samples[0].arrays, "mlp")
    specification = Specification(METHODS["mle"], FUSIONS[fusion], objective, encoders, 32, None, "exact", {})
    prior = log_label_prior(batches[0].labels, len(data.classes), None)
    member = Member.build(specification, Extent.of(batches[0], len(data.classes)), prior, seed)
    method = member.method.float()
    lengths = []

    def step(loop: Loop) -> None:
        lengths.append(float(nn.utils.clip_grad_norm_(loop.stage.parameters, clip)))
        Loop.take_step(loop)

    with patch("elision.training._FeatureLoop.take_step", step):
        train(
            method, batches[0].map(member.frozen), batches[1].map(member.frozen), Schedule(STEPS, patience=STEPS), seed
        )
    test = batches[2].map(member.frozen)
    with torch.no_grad():
        logs = method.log_posterior(test)
    return {
        "nll": -float(logs.gather(1, test.labels[:, None]).mean()),
        "accuracy": float((logs.argmax(1) == test.labels).float().mean()),
        "median length": float(np.median(lengths)),
        "longest": max(lengths),
    }


def main() -> None:
    """Train what is not kept, and print a line for each cell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--missing", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--fusions", nargs="+", default=["outer-product", "addition"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine())
    print("| fusion | objective | missing | seed | accuracy / NLL as it is | clipped to 1 | median length, longest |")
    print("| --- " * 7 + "|")
    name = Path(options.source).stem
    for fusion in options.fusions:
        for objective in ("joint", "conditional"):
            for missing in options.missing:
                for seed in options.seeds:
                    cell = options.source, missing, fusion, objective
                    found = {
                        clip: once(
                            options.out / f"{name}, {missing}, {fusion}, {objective}, {clip:g}, {seed}.json",
                            lambda: one(*cell, clip, seed),  # noqa: B023
                        )
                        for clip in (1e9, 1.0)
                    }
                    told = [f"{100 * row['accuracy']:.1f} / {row['nll']:.3f}" for row in found.values()]
                    lengths = f"{found[1e9]['median length']:.1f}, {found[1e9]['longest']:.0f}"
                    print(
                        f"| {fusion} | {objective} | {missing} | {seed} | {' | '.join(told)} | {lengths} |", flush=True
                    )


if __name__ == "__main__":
    main()
