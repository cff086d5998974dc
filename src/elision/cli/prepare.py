"""`elision prepare`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from elision.cli.app import Many, naming_choices, read_crop, read_extractors
from elision.cli.columns import NO_DIALECT, DialectFlags
from elision.cli.tables import Quiet, Screen
from elision.data.formats import DETECTED, TABLE_ENDINGS
from elision.errors import InputError


@naming_choices
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
    crop: str | None = None,
    jpeg_quality: int = 90,
    sample_rate: int = 16000,
    mel_bands: int = 64,
    noise_db: float | None = None,
    extractor: Many = None,
    workers: int = 2,
    engine: str = "local",
    staging: Path | None = None,
    strict: bool = False,
    dialect: Annotated[DialectFlags, Parameter(name="*")] = NO_DIALECT,
    quiet: Quiet = False,
) -> None:
    """Turn a folder of recordings into a data set that is ready for training.

    Each recording is cut into windows, and of each window the frame in its middle and its log-mel spectrogram are kept.
    Recordings that cannot be used are listed with the reason in problems.csv. After an interruption, the same command
    continues.

    `LAYOUTS.doc`

    Parameters
    ----------
    source
        The folder of recordings, or the table that lists them.
    dest
        Folder in which the data set is made, or an address such as s3://bucket/store.
    layout
        How SOURCE is organised: `LAYOUTS`, see above. Default: manifest if SOURCE is a table.
    label
        Column of a list of recordings that holds the label.
    all_emotions
        For ravdess: keep neutral and calm as well as the six emotions of the paper.
    windows
        Number of windows per recording, spread evenly over it; in a short recording they overlap.
    seconds
        Length of a window, in seconds.
    size
        Side of the square frames, in pixels: the short side is resized to it and the middle is cut out.
    crop
        What is cut out of pictures: `CROPS`, or PACKAGE.MODULE:FUNCTION of your own, from a picture, uint8 (height,
        width, 3), to (left, top, right, bottom) in pixels, or None for all of it. face is the largest face, found by
        MTCNN: pip install --no-deps facenet-pytorch.
    jpeg_quality
        JPEG quality of the frames, 1 to 95.
    sample_rate
        Sampling rate to which the sound is converted, in Hz.
    mel_bands
        Number of mel bands of the spectrograms.
    noise_db
        Add white noise to the sound at this signal-to-noise ratio, in dB, for experiments.
    extractor
        MODALITY=PACKAGE.MODULE:FUNCTION, such as visual=mine:faces: a function of your own, whose features are kept in
        the place of frames or spectrograms. Frames and images arrive as uint8 (n, windows, height, width, 3), sound as
        float32 (n, windows, samples) and samples per second; (n, d) is expected back.
    workers
        Number of recordings processed at once, each in a process of its own.
    engine
        Where the work is done: `ENGINES`. "local" is this machine; "ray" is the cluster at RAY_ADDRESS, or one that is
        started here.
    staging
        Folder that keeps what is finished so far. Default: inside DEST.
    strict
        Exit with code 2 if anything was set aside.
    """
    from elision.data.layouts.found import LayoutOptions
    from elision.data.preparation import Preparation
    from elision.data.prepare import prepare as make
    from elision.media.extract import MediaSettings, Mel
    from elision.registries import LAYOUTS
    from elision.study.watch import watching

    if layout is None:
        if source.suffix.lower() not in TABLE_ENDINGS:
            lists = sorted(p for p in source.glob("*") if p.suffix.lower() in TABLE_ENDINGS)
            raise InputError(
                f"{source} is no table ({', '.join(TABLE_ENDINGS)}): say --layout, one of {', '.join(LAYOUTS)}"
                + (f"; or name the list of recordings in it, such as {lists[0]}" if lists else "")
            )
        layout = "manifest"
    if dialect.flag and layout != "manifest":
        raise InputError(f"{dialect.flag} is for a list of recordings, and the layout is {layout}")
    mel = Mel(sample_rate=sample_rate, bands=mel_bands)
    own = read_crop(crop), read_extractors(extractor)
    settings = MediaSettings(windows, seconds, size, jpeg_quality, mel, noise_db, *own)
    how = Preparation(layout, settings, LayoutOptions(all_emotions, label, DETECTED.changed(dialect.reading)))
    with watching(what="clips", rate=True, quiet=quiet) as watch:
        summary = make(source, dest, how, workers=workers, engine=engine, watch=watch, staging=staging)
    say = Screen(quiet=quiet).say
    say(f"{summary.prepared} samples in {summary.dest}: " + _counts(summary.observed.items(), "show"))
    for reason, count in summary.skipped.items():
        say(f"{count} left out: {reason}")
    for modality, lacking in summary.missing.items():
        say(f"{len(lacking)} lack {modality} though their files should have it: {lacking[0].reason}, ...")
    for modality, noted in summary.notes.items():
        say(f"{len(noted)} show {modality} not taken as usual, listed in problems.csv; the first: {noted[0].reason}")
    if summary.set_aside:
        first = summary.set_aside[0]
        say(f"{len(summary.set_aside)} set aside, listed in problems.csv; the first: {first.file} {first.reason}")
        if strict:
            sys.exit(2)


def _counts(items, verb: str) -> str:
    return ", ".join(f"{count} {verb} {name}" for name, count in items)
