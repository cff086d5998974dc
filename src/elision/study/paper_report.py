"""The report of a reproduction: a page per split, tables, figures and a file of all runs."""

from base64 import b64encode
from collections.abc import Sequence
from operator import attrgetter

from elision.pages import render
from elision.study.folders import FailedRun
from elision.study.paper import JOINT, ROWS, SEEDS, published
from elision.study.paper_comparisons import comparisons, means_by_split
from elision.study.paper_figures import draw_figures
from elision.study.paper_tables import Filled, fill, orders
from elision.study.paper_tex import tex
from elision.study.report import ReportFiles, Study, environment
from elision.study.results import Result, results_frame, to_csv
from elision.study.run import SPLITS
from elision.study.tables import markdown

WARNING = (
    "These are not the paper's data. A computer drew the faces and made the voices; the numbers show that the way from "
    "clips to tables works, and nothing about the methods."
)
SPEAKERS = (
    "Split by video, the same people are in training and in test, so a method may recognise them; split by speaker, "
    "all test videos are of people it has never met, which is what accuracy on new people means."
)
_ORDER = ("table", "method", "objective", "fusion", "extractor", "missing", "by_group", "seed", "rate")
"""Of the runs in ``results.csv``."""


def report_reproduction(
    study: Study, results: Sequence[Result], failures: Sequence[FailedRun], command: str
) -> ReportFiles:
    """Make the report of a reproduction; see `elision.study.plan.write_report`.

    ``report.html`` and ``report-by-speaker.html`` (where there are both splits), tables.md, tables.tex, results.csv,
    and figures 4 to 6 as PNG and SVG.
    """
    results = sorted(results, key=attrgetter(*(f"run.{name}" for name in _ORDER)))
    by_split = {SPLITS[grouped]: [r for r in results if r.run.by_group == grouped] for grouped in SPLITS}
    by_split = {split: mine for split, mine in by_split.items() if mine}
    suffixes = {split: f"-{split.replace(' ', '-')}" if i else "" for i, split in enumerate(by_split)}
    names = {split: f"report{suffix}.html" for split, suffix in suffixes.items()}
    warning = WARNING if study.settings["demo"] else ""
    filled = {split: fill(mine) for split, mine in by_split.items()}
    frame = results_frame(results).assign(paper=[published(result.run) for result in results])
    files: dict[str, str | bytes] = {
        "results.csv": to_csv(frame),
        "tables.md": "\n".join(_markdown(tables, split, warning) for split, tables in filled.items()),
        "tables.tex": "\n".join(tex(tables, split, warning) for split, tables in filled.items()),
    }
    for split, mine in by_split.items():
        figures = draw_figures(mine)
        for name, kinds in figures.items():
            files |= {f"{name}{suffixes[split]}.{kind}": content for kind, content in kinds.items()}
        content = {
            "split": split,
            "demo": warning,
            "tables": [(table, orders(table)) for table in filled[split]],
            "facts": _facts(study, mine, split),
            "versus": comparisons(mine),
            "splits": means_by_split(results),
            "split_names": list(by_split),
            "speakers": SPEAKERS,
            "joint": ROWS["mle", JOINT].title,
            "has_joint": any(result.run.objective == JOINT for result in mine),
            "paper_seeds": SEEDS,
            "choices": dict(sorted(study.about["choices"].items(), key=lambda c: c[0].startswith("Table"))),
            "failures": failures,
            "seconds": sum(result.seconds for result in mine),
            "n_runs": len(mine),
            "versions": environment(),
            "pictures": {name: b64encode(kinds["png"]).decode() for name, kinds in figures.items()},
            "links": {other: name for other, name in names.items() if other != split},
            "command": command,
        }
        files[names[split]] = render("reproduction.html", content)
    return ReportFiles(files, list(names.values()))


def _markdown(tables: Sequence[Filled], split: str, warning: str) -> str:
    """Return ``tables.md`` of one split."""
    parts = [f"# {split[0].upper()}{split[1:]}", *([warning] if warning else [])]
    for filled in tables:
        parts += [f"## {filled.title}", *(markdown(grid).rstrip("\n") for grid in filled.blocks.values())]
    return "\n\n".join(parts) + "\n"


def _facts(study: Study, results: Sequence[Result], split: str) -> dict[str, str]:
    present = {result.run.table for result in results}
    facts = {f"Table {table[-1]}": data for table, data in study.settings["data"].items() if table in present}
    sizes = f"{results[0].n_train:,} training and {results[0].test.metrics.n:,} test videos in the first run"
    return facts | {"Split": f"{split}, 70 / 15 / 15; {sizes}", "Runs": f"{len(results):,} finished"}
