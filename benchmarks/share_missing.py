"""The README's picture: accuracy and NLL against the share of samples that lack a modality, ours and rivals.

    python -m benchmarks.share_missing

Draws the spoken words of the league, from LEAGUE.md, into docs/_static/share-missing.png: run it when the league was.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "_static" / "share-missing.png"
SECTIONS = {
    "digits, 10 classes": "## words, digits, test data complete: accuracy / NLL / ECE",
    "letters, 25 classes": "## words, letters, test data complete: accuracy / NLL / ECE",
}
"""Title of a column of the picture -> section of the league."""
COLUMNS = {"any 50%": 50, "any 80%": 80}
"""Column of the league -> share of the training samples that lack each modality, in per cent."""
LINES = {
    "mle": ("Elision", "#0b6e99", "o"),
    "late-fusion": ("late fusion of the same encoders", "#5b7f3f", "^"),
    "late fusion of SVCs": ("late fusion of tuned SVCs", "#d1495b", "s"),
    "modality-dropout": ("modality dropout", "#b07d10", "D"),
    "zero-padding": ("zero padding", "#8a8f98", "v"),
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

    league = (HERE / "LEAGUE.md").read_text("utf-8")
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 5.2), layout="constrained", sharex=True)
    for column, (title, section) in enumerate(SECTIONS.items()):
        found = cells(league, section)
        for row, measure in enumerate(("accuracy", "NLL, nats")):
            drawn = axes[row, column]
            for i, (line, (label, colour, marker)) in enumerate(LINES.items()):
                means, errors = zip(*(found[line][c][row] for c in COLUMNS), strict=True)
                at = [share + 0.5 * (i - 2) for share in COLUMNS.values()]
                drawn.errorbar(at, means, errors, color=colour, marker=marker, ms=5, capsize=2, label=label)
            drawn.spines[["top", "right"]].set_visible(False)
            drawn.set_xticks(list(COLUMNS.values()), [f"{share}%" for share in COLUMNS.values()])
            drawn.set_xlim(45, 85)
            if column == 0:
                drawn.set_ylabel(measure)
        axes[0, column].set_title(f"spoken words: {title}", loc="left", fontsize=11)
        axes[1, column].set_xlabel("training samples that lack each modality")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(PICTURE, dpi=140)


if __name__ == "__main__":
    main()
