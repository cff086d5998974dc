"""`elision prepare`."""

import sys
from pathlib import Path

from elision.errors import InputError


def prepare(  # noqa: PLR0913
    source: Path,
    dest: str,
    *,
    layout: str | None = None,
    label: str = "label",
    all_emotions: bool = False,
    windows: int = 30,
    seconds: float = 0.5,
    size: int = 224,
    jpeg_quality: int = 90,
    sample_rate: int = 16000,
    mel_bands: int = 64,
    noise_db: float | None = None,
    workers: int = 2,
    engine: str = "local",
    staging: Path | None = None,
    strict: bool = False,
) -> None:
    """Make a folder of recordings a data set ready for training.

    Each recording is cut into windows: the frame in the middle of each, and its log-mel spectrogram. What cannot be
    used is set aside with its reason in problems.csv. Started again after an interruption, it goes on.

    Layouts: "ravdess" (Actor_NN/MM-VV-EE-II-SS-RR-AA.mp4; from Zenodo, record 1188976, CC BY-NC-SA 4.0), "enterface05"
    (subject N/EMOTION/sentence K/*.avi; from the project's page, free for research), "manifest" (a CSV or Parquet file
    with columns id, label, group, split, the files video, audio, image, seconds start and end, and numbers
    modality.feature, whichever there are).

    Parameters
    ----------
    source
        The folder, or the manifest.
    dest
        Folder of the data set, or an address such as s3://bucket/store.
    layout
        ravdess, enterface05 or manifest; by default manifest where SOURCE is a table.
    label
        Column of a manifest that holds the label.
    all_emotions
        RAVDESS: neutral and calm too, beside the six emotions of the paper.
    windows
        How many a recording is cut into, evenly spread; they overlap in a short one.
    seconds
        Of each window.
    size
        Pixels a side of the frames: the short side is resized to it, the middle is cut out.
    jpeg_quality
        Of the frames, 1 to 95.
    sample_rate
        Of the sound, in Hz.
    mel_bands
        Of the spectrograms.
    noise_db
        Add white noise to the sound at this signal-to-noise ratio, in dB, for experiments.
    workers
        Recordings at once, each in a process of its own.
    engine
        local, or ray: the cluster of RAY_ADDRESS, or one on this machine.
    staging
        Folder of what is finished so far; by default in DEST.
    strict
        Exit code 2 if anything was set aside.
    """
    from elision.data.layouts import LayoutOptions
    from elision.data.preparation import Preparation
    from elision.data.prepare import prepare as make
    from elision.media.extract import MediaSettings, Mel
    from elision.study.watch import watching

    if layout is None:
        if source.suffix.lower() not in (".csv", ".parquet"):
            raise InputError(f"{source} is no table (.csv or .parquet): say --layout ravdess, enterface05 or manifest")
        layout = "manifest"
    mel = Mel(sample_rate=sample_rate, bands=mel_bands)
    settings = MediaSettings(windows, seconds, size, jpeg_quality, mel, noise_db)
    how = Preparation(layout, settings, LayoutOptions(all_emotions, label))
    with watching(what="clips", rate=True) as watch:
        summary = make(source, dest, how, workers=workers, engine=engine, watch=watch, staging=staging)
    print(f"{summary.prepared} samples in {summary.dest}: " + _counts(summary.observed.items(), "show"))
    for reason, count in summary.skipped.items():
        print(f"{count} left out: {reason}")
    for modality, lacking in summary.missing.items():
        print(f"{len(lacking)} lack {modality} though their files should have it: {lacking[0].reason}, ...")
    if summary.set_aside:
        first = summary.set_aside[0]
        print(f"{len(summary.set_aside)} set aside, listed in problems.csv; the first: {first.file} {first.reason}")
        if strict:
            sys.exit(2)


def _counts(items, verb: str) -> str:
    return ", ".join(f"{count} {verb} {name}" for name, count in items)
