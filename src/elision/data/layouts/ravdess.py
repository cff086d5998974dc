"""RAVDESS: the Ryerson Audio-Visual Database of Emotional Speech and Song."""

import re
from collections import Counter
from pathlib import Path

from elision.data.layouts.found import Found, LayoutOptions, Named, gather, in_order, relative, walk
from elision.data.recording import Problem, Recording

_EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
    "08": "surprised",
}  # fmt: skip
OF_THE_PAPER = ("happy", "sad", "angry", "fearful", "surprised", "disgust")
_NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])\.(mp4|wav)", re.I)
_FOLDER = re.compile(r"actor[ _-]?(\d\d)", re.I)
_SONG = "02"
_AUDIO_VIDEO, _VIDEO, _AUDIO = "01", "02", "03"
_MODALITIES = {"visual": (_AUDIO_VIDEO, _VIDEO), "audio": (_AUDIO, _AUDIO_VIDEO)}


def ravdess(source: Path, options: LayoutOptions) -> Found:
    """RAVDESS speech: ``Actor_NN/MM-VV-EE-II-SS-RR-AA.mp4`` (or ``.wav``), at any depth below the source.

    MM is 01 for audio and video, 02 for video only, 03 for audio only: the files of one performance become one sample,
    whose sound is that of 03 where there is one. VV is 01 for speech; songs (02) are left out. The label is the emotion
    EE: happy, sad, angry, fearful, surprised, disgust, and by option neutral and calm too. The group is the actor AA.

    The data: https://zenodo.org/records/1188976 (the files Video_Speech_Actor_NN.zip, each unpacked into one folder),
    licence CC BY-NC-SA 4.0: non-commercial use, with attribution. S. R. Livingstone, F. A. Russo, "The Ryerson
    Audio-Visual Database of Emotional Speech and Song (RAVDESS)", PLoS ONE 13(5), e0196391 (2018).
    """
    problems: list[Problem] = []
    skipped: Counter[str] = Counter()
    wanted = tuple(_EMOTIONS.values()) if options.all_emotions else OF_THE_PAPER
    files = []
    for path in walk(source, problems):
        if reason := _refusal(path):
            problems.append(Problem("", relative(path, source), reason))
            continue
        role, channel, emotion, *_, actor, _ = _NAME.fullmatch(path.name).groups()
        if channel == _SONG:
            skipped["song, not speech"] += 1
        elif _EMOTIONS[emotion] not in wanted:
            skipped[f"{_EMOTIONS[emotion]}, not among the paper's six emotions"] += 1
        else:
            recording = Recording(path.stem.partition("-")[2], _EMOTIONS[emotion], actor)
            files.append(Named(recording, role, path))
    recordings = gather(source, files, _MODALITIES, problems)
    return Found(recordings, in_order(problems), {}, dict(sorted(skipped.items())))


def _refusal(path: Path) -> str:
    name, folder = _NAME.fullmatch(path.name), _FOLDER.fullmatch(path.parent.name)
    if not name:
        return "is not named MM-VV-EE-II-SS-RR-AA.mp4 (or .wav) with RAVDESS's codes, such as 01-01-03-01-02-01-12.mp4"
    if not folder:
        return f"lies in {path.parent.name!r}: expected a folder Actor_{name[7]}"
    if folder[1] != name[7]:
        return f"is named after actor {name[7]}, and lies in {path.parent.name!r}: one of the two is wrong"
    return ""
