"""The README's picture: accuracy and NLL against the share of samples that lack a modality, ours and rivals.

    python -m benchmarks.share_missing

Draws one data set of the league, from LEAGUE.md, into docs/_static/share-missing.png: run it when the league was.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "_static" / "share-missing.png"
SECTION = "## RAVDESS, test data complete: accuracy / NLL / ECE"
LINES = {
    "mle": ("Elision (mle)", "#0b6e99", "o"),
    "late fusion of SVCs": ("late fusion of tuned SVCs", "#d1495b", "s"),
    "modality-dropout": ("modality dropout", "#b07d10", "D"),
    "LightGBM": ("LightGBM, gaps as NaN", "#3f7f5f", "^"),
    "lower-bound": ("complete samples only", "#8a8f98", "v"),
}
"""Line of the league -> its label, colour and marker."""


def cells(league: str, section: str) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return line -> column, such as "audio 80%" -> (mean, standard error) of each measure."""
    table = league.split(section)[1].strip().split("\n\n")[0].splitlines()
    names = [name.strip() for name in table[0].strip("|").split("|")]
    found = {}
    for row in table[2:]:
        line, _, *values = [cell.strip() for cell in row.strip("|").split("|")]
        pairs = [[(float(a), float(b)) for a, b in re.findall(r"([\d.]+) ± ([\d.]+)", value)] for value in values]
        found[line] = dict(zip(names[2:], pairs, strict=True))
    return found


def main() -> None:
    """Draw."""
    from matplotlib import pyplot as plt

    found = cells((HERE / "LEAGUE.md").read_text("utf-8"), SECTION)
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 5.2), layout="constrained", sharex=True, sharey="row")
    for column, modality in enumerate(("audio", "face")):
        for row, measure in enumerate(("accuracy", "NLL, nats")):
            drawn = axes[row, column]
            for line, (label, colour, marker) in LINES.items():
                own = {c.split()[1]: v[row] for c, v in found[line].items() if c.startswith(modality)}
                shares = [float(c.rstrip("%")) for c in own]
                means, errors = zip(*own.values(), strict=True)
                drawn.errorbar(shares, means, errors, color=colour, marker=marker, ms=5, capsize=2, label=label)
            drawn.spines[["top", "right"]].set_visible(False)
            drawn.set_xticks(shares, [f"{share:.0f}%" for share in shares])
            if column == 0:
                drawn.set_ylabel(measure)
        axes[0, column].set_title(f"{modality} missing in training", loc="left", fontsize=11)
        axes[1, column].set_xlabel(f"training samples that lack the {modality}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(PICTURE, dpi=140)


if __name__ == "__main__":
    main()
