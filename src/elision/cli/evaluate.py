"""`elision evaluate`."""

import json
from pathlib import Path


def evaluate(
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    average: str = "posteriors",
    device: str = "cpu",
    workers: int = 0,
) -> None:
    """Judge a trained model on complete and incomplete samples.

    Accuracy, NLL, ECE and Brier score of the samples as they are, for each pattern of modalities among them, and with
    each modality taken away. Writes evaluation.json, confusion.png and report.html.

    Parameters
    ----------
    run
        Folder of a run, or of a model.
    data
        A table, or for recordings a store, to judge on, all its labelled samples; by default the test part of the run's
        own data.
    out
        Folder of what is written; by default RUN/evaluation.
    average
        Of a recording's segments: posteriors (the paper's), or logs.
    device
        cpu, cuda, cuda:1.
    workers
        Processes that read data.
    """
    from elision.cli.tables import show_assessment
    from elision.files import write_atomically
    from elision.runs.doors import evaluate as judge
    from elision.runs.report import REPORT, write_run_page
    from elision.study.figures import confusion_of

    values = judge(run, data, average=average, device=device, workers=workers)
    out = out or run / "evaluation"
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "evaluation.json", json.dumps(values, indent=1) + "\n")
    write_atomically(out / "confusion.png", confusion_of(values["confusion"], values["classes"]))
    write_run_page(run, out / REPORT, values)
    print(f"{values['samples']} of {values['data']}")
    show_assessment(values)
    print(f"Written: {out / 'evaluation.json'}, {out / 'confusion.png'}, {out / REPORT}")
