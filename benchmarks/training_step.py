"""What end-to-end training costs beside the bare forward and backward of its encoders.

    OMP_NUM_THREADS=1 python -m benchmarks.training_step step         # ResNet-18 at 112: a step, and 95 % missing
    OMP_NUM_THREADS=1 python -m benchmarks.training_step likelihood   # ResNet-50 at 224: fusion, bank and loss alone
    OMP_NUM_THREADS=1 python -m benchmarks.training_step processes    # two processes against one; wants two free cores

A step is everything between one line of the log and the next: reading and decoding, augmentation off, encoders, bank,
loss, backward, clipping, optimiser, Lightning, log. The bare pass is the same networks on rows of the same batch size
in memory. The two are measured in turn, within one training, so that a drift of the machine hits both alike.
"""

import csv
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import machine
from elision.bank import MemoryBank
from elision.batch import Batch
from elision.config import EncoderConfig, TrainConfig
from elision.data.schema import Row, StoreInfo, shard_name, write_manifest
from elision.data.segments import Segments
from elision.data.shards import write_shard
from elision.data.store import Store
from elision.deep.train import train
from elision.kinds import Modality
from elision.likelihood import conditional_objective, joint_objective
from elision.registries import FUSIONS
from elision.vision import network

SIZE, BATCH, N = 112, 16, 160
MODALITIES = {"visual": Modality("frames", (3, SIZE, SIZE), 1), "audio": Modality("spectrogram", (64, 51), 1)}
CONFIG = TrainConfig(
    encoders={m: EncoderConfig("resnet18") for m in MODALITIES},
    batch_size=BATCH,
    epochs=1,
    accelerator="cpu",
    log_steps=1,
    checkpoint_steps=10**6,
)


def synthetic(folder: Path, n: int = N) -> Store:
    """JPEGs of smooth noise, as large as those of photographs, and noise for sound."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)).resize((SIZE, SIZE))
        path = folder / "frame.jpg"
        coarse.save(path, quality=90)
        values = {"visual": [path.read_bytes()], "audio": rng.normal(size=(1, 64, 51)).astype(np.float16)}
        rows.append(Row(f"s{i:03d}", "abcd"[i % 4], split=("val", "test", *["train"] * 6)[i % 8], values=values))
    shard = write_shard(folder / shard_name(0), rows, MODALITIES)
    write_manifest(folder, StoreInfo(MODALITIES, (shard,), {}, {}))
    return Store(folder)


class Bare:
    """Forward and backward of the encoders on complete rows in memory."""

    def __init__(self, batch: Batch) -> None:
        self.nets = {m: network("resnet18", v.kind, v.shape, CONFIG.n_features) for m, v in MODALITIES.items()}
        self.batch = batch

    def seconds(self) -> float:
        """Of one pass."""
        started = time.perf_counter()
        for m, net in self.nets.items():
            net.zero_grad(set_to_none=True)
            net(self.batch.inputs[m]).sum().backward()
        return time.perf_counter() - started


def measured(store: Store, config: TrainConfig, bare: Bare) -> tuple[float, float]:
    """Median seconds of a step and of a bare pass, in turn."""
    steps, passes = [], []
    clock = time.perf_counter()

    def report(told) -> None:
        nonlocal clock
        if "loss" in told.values:
            steps.append(time.perf_counter() - clock)
            passes.append(bare.seconds())
        clock = time.perf_counter()

    with tempfile.TemporaryDirectory() as out:
        train(store.address, Path(out) / "run", config, report=report)
    return statistics.median(steps[1:]), statistics.median(passes[1:])


def step() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = synthetic(Path(folder))
        batch = Segments(store, np.arange(BATCH)).batch(np.arange(BATCH))
        bare = Bare(batch)
        bare.seconds()
        config = replace(CONFIG, epochs=2)
        for name, changes in {"joint": {}, "conditional": {"objective": "conditional"}}.items():
            ours, theirs = measured(store, replace(config, **changes), bare)
            print(f"{name}: step {ours:.3f} s, bare {theirs:.3f} s, ratio {ours / theirs:.3f}", flush=True)
            if name == "joint":
                complete = ours / theirs
        ours, theirs = measured(store, replace(config, missing="visual", rate=0.95), bare)
        print(f"95 % of visual missing: step {ours:.3f} s, {ours / theirs / complete:.3f} of the complete one")


def likelihood() -> None:
    """One step's own part at batch 64, k 128, six classes, banks of 40,000, against encoders timed on few rows."""
    n_bank, n, k, n_few = 40_000, 64, 128, 4
    encoders = 0.0
    for kind, shape, rows in (
        ("frames", (3, 224, 224), torch.randint(0, 256, (n_few, 3, 224, 224), dtype=torch.uint8)),
        ("spectrogram", (64, 51), torch.randn(n_few, 1, 64, 51)),
    ):
        net = network("resnet50", kind, shape, k)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            net(rows).sum().backward()
            times.append(time.perf_counter() - started)
        seconds = min(times) / n_few * n * (0.2 if kind == "frames" else 1.0)
        print(f"ResNet-50, {kind}: {min(times) / n_few:.3f} s a row; {seconds:.1f} s a batch (visual missing 80 %)")
        encoders += seconds
    for fusion, objective in ((f, o) for f in FUSIONS for o in ("joint", "conditional")):
        seconds = _likelihood_seconds(fusion, objective, n_bank, n, k)
        print(
            f"{fusion}, {objective}: {1000 * seconds:.1f} ms, {seconds / (seconds + encoders):.2%} of the step",
            flush=True,
        )


def _likelihood_seconds(name: str, objective: str, n_bank: int, n: int, k: int) -> float:
    torch.manual_seed(0)
    fusion = FUSIONS[name](list(MODALITIES), 6, k)
    prior, labels = torch.full((6,), -np.log(6.0)), torch.arange(n) % 6
    rows = {"visual": torch.arange(n // 5), "audio": torch.arange(n)}
    features = {m: torch.randn(len(r), k, requires_grad=True) for m, r in rows.items()}
    bank = MemoryBank(
        dict, {m: torch.randn(n_bank if m == "audio" else n_bank // 5, k) for m in rows}, objective == "joint"
    )
    bank.refresh()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        fresh, remembered, _ = bank(lambda _: features, {}, rows)
        marginals = fusion.marginals(remembered)
        scores = fusion.scores(fresh, rows, n, marginals)
        if objective == "joint":
            loss = joint_objective(scores, fusion.empty_scores(marginals), prior, labels)
        else:
            loss = conditional_objective(scores, prior, labels)
        loss.backward()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def processes() -> None:
    """Segments per second of one process and of two, from their logs; each process has one thread.

    The first step of each epoch is left out: validation lies before it.
    """
    import subprocess

    script = (
        "import sys; from dataclasses import replace; from benchmarks.training_step import CONFIG; "
        "from elision.deep.train import train; "
        "train(sys.argv[1], sys.argv[2], "
        "replace(CONFIG, devices=int(sys.argv[3]), shares=2, epochs=2, batch_size=int(sys.argv[4])))"
    )
    with tempfile.TemporaryDirectory() as folder:
        store, file = Path(folder) / "store", Path(folder) / "run.py"
        store.mkdir()
        synthetic(store, 4 * N)
        file.write_text(script)
        for size in (BATCH, 8 * BATCH):
            speeds: dict[int, list[float]] = {1: [], 2: []}
            for devices in (1, 2, 1, 2):
                out = Path(folder) / f"run-{time.monotonic_ns()}"
                command = [sys.executable, str(file), str(store), str(out), str(devices), str(size)]
                subprocess.run(command, check=True, env={**_environment(), "OMP_NUM_THREADS": "1"})
                speeds[devices].append(_speed(out / "log.csv"))
            one, two = max(speeds[1]), max(speeds[2])
            print(f"batch {size}: one {one:.1f}, two {two:.1f} segments per second, ratio {two / one:.2f}", flush=True)


def _speed(log: Path) -> float:
    with log.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["samples_per_second"]]
    return statistics.median(float(b["samples_per_second"]) for a, b in pairwise(lines) if a["epoch"] == b["epoch"])


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}


if __name__ == "__main__":
    print(machine())
    {"step": step, "likelihood": likelihood, "processes": processes}[sys.argv[1]]()
