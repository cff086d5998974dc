"""The README's picture: accuracy and NLL against the share of incomplete training samples, ours and rivals.

    OMP_NUM_THREADS=1 python -m benchmarks.share_missing ../shared/data --out results/share_missing --draw

Ten spoken digits, a mouth of 6,144 numbers and a noisy sound of 960, 700 training rows of which a growing share lacks
one of the two, complete test data. Seeds are 200 and up, which no choice was made on. Finished runs are kept.
"""

import argparse
import json
import statistics
import warnings
from pathlib import Path

from benchmarks.wide import WORDS, parts, run, words
from elision.files import write_atomically

RATES = (0.2, 0.5, 0.8, 0.95)
LINES = {
    "mle": ("Elision (mle)", "#0b6e99", "o"),
    "late fusion of SVCs": ("late fusion of tuned SVCs", "#d1495b", "s"),
    "modality-dropout": ("modality dropout", "#b07d10", "D"),
    "zero-padding": ("zero padding", "#3f7f5f", "^"),
    "lower-bound": ("complete samples only", "#8a8f98", "v"),
}
"""Line -> its label, colour and marker."""


def results(folder: Path) -> dict[str, dict[float, list[dict]]]:
    """Return line -> rate -> what its finished runs came to."""
    found: dict[str, dict[float, list[dict]]] = {}
    for path in sorted(folder.glob("*.json")):
        line, rate, _ = path.stem.split("~")
        found.setdefault(line, {}).setdefault(float(rate), []).append(json.loads(path.read_text()))
    return found


def table(found: dict[str, dict[float, list[dict]]]) -> str:
    """Return accuracy / NLL with standard errors over seeds, a column for each rate."""
    rows = ["| method | " + " | ".join(f"{r:.0%}" for r in RATES) + " |", "| --- " * (len(RATES) + 1) + "|"]
    for line in (line for line in LINES if line in found):
        cells = []
        for runs in (found[line].get(rate, []) for rate in RATES):
            shown = [_mean_and_error([r[key] for r in runs]) for key in ("accuracy", "nll")] if runs else []
            cells.append(" / ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in shown) or "-")
        rows.append(f"| {LINES[line][0]} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def draw(found: dict[str, dict[float, list[dict]]], path: Path) -> None:
    """Draw both measures, means and standard errors over seeds."""
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"
    plt.rcParams["svg.hashsalt"] = "elision"
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.4), layout="constrained")
    for key, drawn in zip(("accuracy", "nll"), axes, strict=True):
        for line, (label, colour, marker) in LINES.items():
            rates = [rate for rate in RATES if rate in found.get(line, {})]
            shown = [_mean_and_error([r[key] for r in found[line][rate]]) for rate in rates]
            means, errors = zip(*shown, strict=True)
            drawn.errorbar(rates, means, errors, color=colour, marker=marker, markersize=5, capsize=2, label=label)
        drawn.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        drawn.set_xticks(RATES)
        drawn.set_xlabel("training samples that lack mouth or sound")
        drawn.spines[["top", "right"]].set_visible(False)
    axes[0].set_title("accuracy, higher is better", loc="left", fontsize=11)
    axes[1].set_title("negative log-likelihood (nats), lower is better", loc="left", fontsize=11)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def _mean_and_error(values: list[float]) -> tuple[float, float]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.mean(values), error


def main() -> None:
    """Run what is left, print the table, and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draw", action="store_true", help="into docs/_static/share-missing.png")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", module="sklearn")
    for seed in range(200, 200 + options.seeds):
        for rate in RATES:
            for line in LINES:
                path = options.out / f"{line}~{rate}~{seed}.json"
                if not path.exists():
                    data = parts(*words(options.folder / "words" / WORDS["digits"]), seed, rate)
                    write_atomically(path, json.dumps(run(line, data, seed)))
    found = results(options.out)
    print(table(found))
    if options.draw:
        draw(found, Path(__file__).parents[1] / "docs" / "_static" / "share-missing.png")


if __name__ == "__main__":
    main()
