"""Why the conditional form falls behind: NLL over 300 steps, what changes it, and the gap against the columns.

    OMP_NUM_THREADS=1 python -m benchmarks.why_conditional curves data/ravdess.csv --out results/why --seeds 0 1 2
    OMP_NUM_THREADS=1 python -m benchmarks.why_conditional columns data/words_digit.csv --out results/why --seeds 0 1
    python -m benchmarks.why_conditional draw --out results/why

``curves``: 90 % of one modality missing, by speaker where the table names speakers (the validation part then has
people of its own), or row by row with ``--by-row``. ``columns``: 80 %, every modality projected to fewer columns by a
random matrix. Each training is kept as it ends, and none is done again; ``draw`` makes tables of them, and two figures
beside this file.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.kept import once
from benchmarks.timing import machine
from elision.batch import Batch
from elision.data import load
from elision.encoders import ByteDropout
from elision.ensemble import Extent, Member, Specification
from elision.inputs import Samples, Standardizer
from elision.likelihood import conditional_objective, log_label_prior
from elision.methods.mle import MaximumLikelihood
from elision.registries import FUSIONS, METHODS
from elision.study.on_arrays import partition
from elision.study.run import Run, Training
from elision.training import Schedule, train

if TYPE_CHECKING:
    import pandas as pd

STEPS = 300


class Composite(MaximumLikelihood):
    """The conditional objective, and the same again on a random modality of each sample that shows several."""

    def stages(self, train: Batch):
        """Yield mle's stage with the second term."""
        for stage in super().stages(train):

            def loss(batch: Batch, whole=stage.loss) -> torch.Tensor:
                hidden = torch.randint(len(batch.modalities), (len(batch),))
                shown = batch.observed.clone()
                shown[batch.complete, hidden[batch.complete]] = False
                model, part = self.model, batch.showing(shown)
                marginals = model.across.marginals(model.fusion, model.encode(train.inputs))
                scores = model.fusion.scores(model.encode(part.inputs), part.rows, len(part), marginals)
                return (whole(batch) + conditional_objective(scores, model.log_prior, batch.labels)) / 2

            yield replace(stage, loss=loss)


LINES = {
    "joint": (METHODS["mle"], "joint", {}, {}),
    "conditional": (METHODS["mle"], "conditional", {}, {}),
    "composite": (Composite, "conditional", {}, {}),
    "ae1": (METHODS["ae1"], "conditional", {}, {}),
    "ae2": (METHODS["ae2"], "conditional", {}, {}),
    "zero padding": (METHODS["zero-padding"], "conditional", {}, {}),
    "conditional, bank of complete samples": (METHODS["mle"], "conditional", {"bank_of": "complete"}, {}),
    "conditional, Eq. (2) summed": (METHODS["mle"], "conditional", {}, {"weight_decay": "summed"}),
    "conditional, weight decay 1e-2": (METHODS["mle"], "conditional", {}, {"weight_decay": 1e-2}),
    "conditional, k 8": (METHODS["mle"], "conditional", {}, {"k": 8}),
    "conditional, no dropout": (METHODS["mle"], "conditional", {}, {"dropout": 0.0}),
    "conditional, dropout 0.6": (METHODS["mle"], "conditional", {}, {"dropout": 0.6}),
    "joint, no dropout": (METHODS["mle"], "joint", {}, {"dropout": 0.0}),
    "joint, dropout 0.6": (METHODS["mle"], "joint", {}, {"dropout": 0.6}),
    "lower bound": (METHODS["lower-bound"], "conditional", {}, {}),
    "ae1, 300 steps in all": (METHODS["ae1"], "conditional", {}, {"steps": 150}),
    "ae2, 300 steps in all": (METHODS["ae2"], "conditional", {}, {"steps": 100}),
    "ae1, imputes the gaps alone": (METHODS["ae1"], "conditional", {"impute": "gaps"}, {}),
    "ae2, imputes the gaps alone": (METHODS["ae2"], "conditional", {"impute": "gaps"}, {}),
}
"""Title -> method, objective, the method's options, and what differs in training.

Adam on a sum over n samples is Adam on their mean with 1/n of the L2 term (and of an epsilon of 1e-8).
"""


def one(samples: tuple[Samples, Samples, Samples], n_classes: int, title: str, seed: int) -> list[dict[str, float]]:
    """Train once, and return NLL and accuracy of each part at 30 steps of the last stage."""
    method, objective, options, how = LINES[title]
    standardizer = Standardizer.fit(samples[0].arrays)
    parts = [standardizer.batch(s.arrays, s.codes).to("cpu", torch.float32) for s in samples]
    specification = Specification(
        method, FUSIONS["addition"], objective, dict.fromkeys(samples[0].arrays, "mlp"), how.get("k", 32), None,
        "exact", options,
    )  # fmt: skip
    prior = log_label_prior(parts[0].labels, n_classes, None)
    member = Member.build(specification, Extent.of(parts[0], n_classes), prior, seed)
    member.method.float()
    for module in member.method.modules():
        if "dropout" in how and isinstance(module, ByteDropout):
            module.below = round(256 * how["dropout"])
    decay = how.get("weight_decay", 1e-4)
    decay = 1e-4 / len(parts[0]) if decay == "summed" else decay
    for m, frozen in member.frozen.items():
        frozen.fit(parts[0].inputs[m], seed)
    parts = [p.map(member.frozen) for p in parts]
    curve: list[dict[str, float]] = []

    def look(_: Batch) -> float:
        row = {}
        for name, part in zip(("train", "validation", "test"), parts, strict=True):
            logs = member.method.log_posterior(part)
            row[name] = -float(logs.gather(1, part.labels[:, None]).mean())
            row[f"{name} accuracy"] = float((logs.argmax(1) == part.labels).float().mean())
        curve.append(row)
        return row["validation"]

    member.method.validate = look  # the stages of all methods but the imputers' ask it
    steps = how.get("steps", STEPS)
    train(member.method, parts[0], parts[1], Schedule(max_steps=steps, weight_decay=decay, patience=steps), seed)
    return curve


def projected(samples: Samples, columns: int, seed: int) -> Samples:
    """Return rows times a random matrix, or as they are where they have no more columns."""
    arrays = {}
    for i, (m, a) in enumerate(samples.arrays.items()):
        matrix = np.random.default_rng([seed, i]).standard_normal((a.shape[1], columns)) / a.shape[1] ** 0.5
        arrays[m] = a @ matrix if columns < a.shape[1] else a
    return Samples(arrays, samples.codes)


def measure(
    what: str, source: str, out: Path, seeds: list[int], lacking: list[str], by_row: bool, only: list[str]
) -> None:
    """Train seed by seed, and keep each training as it ends."""
    data = load(source)
    grouped = not by_row and data.groups is not None
    rate, widths = (0.9, [0]) if what == "curves" else (0.8, [6144, 128, 2048, 512])
    titles = only or (list(LINES) if what == "curves" else ["joint", "conditional", "ae1"])
    name = data.name + " by speaker" * grouped
    out.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for missing in lacking or data.arrays:
            run = Run(source, data.name, data.fingerprint(), grouped, "mle", "addition", "joint",
                      Training("mlp", 32), missing, rate, seed)  # fmt: skip
            parts = partition(run)
            for columns in widths:
                three = [parts.train, parts.validation, parts.test]
                three = tuple(projected(s, columns, 7) if columns else s for s in three)
                for title in titles:
                    row = {"data": name, "missing": missing, "columns": columns, "title": title, "seed": seed}
                    file = out / f"{what}, {name}, {missing}, {columns}, {seed}, {title}.json"
                    once(file, lambda: row | {"curve": one(three, len(parts.classes), title, seed)})  # noqa: B023


CHOICES = {
    "as said above": ("best", {}),
    "last parameters of 300 steps": ("last", {}),
    "bank of complete samples": ("best", {"conditional": "conditional, bank of complete samples"}),
    "Eq. (2) summed": ("best", {"conditional": "conditional, Eq. (2) summed"}),
    "as many steps for AE1, AE2 in all as for ours": (
        "best", {"ae1": "ae1, 300 steps in all", "ae2": "ae2, 300 steps in all"}
    ),
    "AE1, AE2 impute the gaps alone": (
        "best", {"ae1": "ae1, imputes the gaps alone", "ae2": "ae2, imputes the gaps alone"}
    ),
    "as many steps, last parameters": ("last", {"ae1": "ae1, 300 steps in all", "ae2": "ae2, 300 steps in all"}),
}  # fmt: skip
"""What the paper leaves open -> which parameters are tested, and the lines that stand for others."""


def orders(curves: "pd.DataFrame") -> str:
    """Return the table of choices: in each column, Kendall's tau to the paper's order and the order itself, by NLL."""
    from scipy.stats import kendalltau

    paper = ["lower bound", "zero padding", "ae1", "ae2", "conditional"]
    short = {"lower bound": "LB", "zero padding": "ZP", "ae1": "AE1", "ae2": "AE2", "conditional": "ours"}
    columns = list(curves.groupby(["data", "missing"]))
    heads = [f"{data}, {missing}, n = {own['seed'].nunique()}" for (data, missing), own in columns]
    lines = ["", "| choice | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for choice, (end, instead) in CHOICES.items():
        cells = []
        for _, own in columns:
            wide = own.pivot_table(index="seed", columns="title", values=f"{end} ")
            values = wide.reindex(columns=[instead.get(t, t) for t in paper]).dropna().set_axis(paper, axis=1)
            if not len(values):
                cells.append("not run")
                continue
            taus = [kendalltau(range(len(paper)), -row)[0] for row in values.to_numpy()]
            order = " < ".join(short[title] for title in values.mean().sort_values().index)
            cells.append(f"{np.mean(taus):+.2f}: {order}")
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(out: Path) -> None:
    """Print the tables, and draw the figures."""
    import matplotlib as mpl
    import pandas as pd

    mpl.use("agg")
    from matplotlib import pyplot as plt

    def frame(name: str) -> pd.DataFrame:
        rows = []
        for file in sorted(out.glob(f"{name}, *.json")):
            row = json.loads(file.read_text())
            curve = row.pop("curve")
            best = min(curve, key=lambda r: r["validation"])
            stop = LINES[row["title"]][3].get("steps", STEPS) * (1 + curve.index(best)) // len(curve)
            ends = {"last": curve[-1], "best": best}
            values = {f"{k} {x}": r[f"test{x}"] for k, r in ends.items() for x in ("", " accuracy")}
            rows.append(row | values | {"stop": stop, "curve": curve})
        return pd.DataFrame(rows)

    print(machine())
    curves = frame("curves")
    print(f"{len(curves)} trainings; test accuracy / NLL, and the best step")
    for (data, missing), own in curves.groupby(["data", "missing"]):
        wide = own.pivot_table(index="seed", columns="title", values=["best ", "last "])
        print(f"\n| {data}, {missing} missing, n = {len(wide)} | best validation | last | step | best - conditional |")
        print("| --- | --- | --- | --- | --- |")
        for title in (title for title in LINES if title in set(own["title"])):
            m = own[own["title"] == title].mean(numeric_only=True)
            d = wide["best "][title] - wide["best "]["conditional"]
            error = d.std() / len(d) ** 0.5
            print(f"| {title} | {100 * m['best  accuracy']:.1f} / {m['best ']:.2f} | {100 * m['last  accuracy']:.1f} / "
                  f"{m['last ']:.2f} | {m['stop']:.0f} | {d.mean():+.3f} ± {error:.3f} |")  # fmt: skip
    print(orders(curves))
    sets = [(data, own) for data, own in curves.groupby("data") if {"joint", "composite"} <= set(own["title"])]
    size = {"figsize": (9, 2.6 * len(sets)), "sharex": True, "layout": "constrained", "squeeze": False}
    figure, rows = plt.subplots(len(sets), 3, **size)
    for axes, (data, found) in zip(rows, sets, strict=True):
        for axis, part in zip(axes, ("train", "validation", "test"), strict=True):
            for title in ("joint", "composite", "conditional", "ae1", "zero padding"):
                own = [[r[part] for r in c] for c in found[found["title"] == title]["curve"]]
                axis.plot(np.arange(10, STEPS + 1, 10), np.mean(own, axis=0), label=title)
            axis.set(title=f"{data}, {part}", ylim=(0, 3.5))
        axes[0].set_ylabel("NLL, nats")
    for axis in rows[-1]:
        axis.set_xlabel("steps")
    rows[0, 0].legend(fontsize=7)
    figure.savefig(Path(__file__).with_name("why_steps.png"), dpi=80)
    found = frame("columns")
    if not len(found):
        return
    wide = found.pivot_table(index=["missing", "columns", "seed"], columns="title", values="best ").dropna(
        subset=["conditional", "joint"]
    )
    print(
        wide.groupby(["missing", "columns"]).mean().round(3).assign(seeds=wide.groupby(["missing", "columns"]).size())
    )
    figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axis.set_xscale("log")
    for missing, own in wide.groupby("missing"):
        gap = (own["conditional"] - own["joint"]).groupby("columns").mean()
        (line,) = axis.plot(gap.index, gap, "-", label=f"{missing} missing")
        each = (own["conditional"] - own["joint"]).reset_index("columns")
        axis.plot(each["columns"], each[0], "o", color=line.get_color(), markersize=4)
    axis.set_xticks(gap.index, [f"{columns:,}" for columns in gap.index])
    axis.axhline(0, color="grey", lw=0.8)
    axis.minorticks_off()
    axis.set(xlabel="columns of each modality, at most", ylabel="NLL, conditional minus joint, nats")
    axis.legend()
    figure.savefig(Path(__file__).with_name("why_columns.png"), dpi=80)


def main() -> None:
    """Measure, or draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("curves", "columns", "draw"))
    parser.add_argument("source", nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--missing", nargs="*", default=[], help="modalities; by default each")
    parser.add_argument("--by-row", action="store_true", help="where the table names speakers")
    parser.add_argument("--only", nargs="*", default=[], choices=list(LINES), help="lines; by default all")
    options = parser.parse_args()
    if options.what == "draw":
        draw(options.out)
    else:
        which = options.what, options.source, options.out, options.seeds
        measure(*which, options.missing, options.by_row, options.only)


if __name__ == "__main__":
    main()
