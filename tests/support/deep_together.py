"""A training on two processes, the second of which Lightning starts by running this script again."""

import signal
import sys
from dataclasses import replace

import deep_work
from elision.config import EncoderConfig, TrainConfig
from elision.deep.train import train

OWN = {m: EncoderConfig("own") for m in deep_work.MODALITIES}


def config(objective: str, fusion: str, devices: int) -> TrainConfig:
    """Nothing that is drawn in each process by itself; two shares, whoever takes them."""
    return replace(
        deep_work.CONFIG,
        encoders=OWN,
        objective=objective,
        fusion=fusion,
        devices=devices,
        shares=2,
        precision="64-true",
        accelerator="cpu",
    )


if __name__ == "__main__":
    data, out, objective, fusion, stop = sys.argv[1:]
    resume = stop == "resume"
    signals = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
    report = deep_work.killed_at(8, signals[stop]) if stop in signals else lambda told: None
    result = train(
        data, out, config(objective, fusion, 2), resume=resume, report=report, modules=deep_work.own_modules()
    )
    sys.exit(0 if result.finished else 130)
