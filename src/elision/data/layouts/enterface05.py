"""eNTERFACE'05: an audio-visual emotion database."""

import re
from pathlib import Path

from elision.data.layouts.found import Found, LayoutOptions, Named, gather, in_order, relative, walk
from elision.data.recording import Problem, Recording

_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
_SUBJECT = re.compile(r"subject[ _-]*0*(\d+)", re.I)
_SENTENCE = re.compile(r"s[a-z]*[ _-]*0*(\d+)", re.I)  # "sentence 3", "Sentence3", "setence 3"
_LAST_NUMBER = re.compile(r"[_ -]0*(\d+)$")
_EXPECTED = "subject N/EMOTION/sentence K/NAME.avi, or without the sentence's folder"


def enterface05(source: Path, options: LayoutOptions) -> Found:
    """eNTERFACE'05: ``subject N/EMOTION/sentence K/*.avi`` at any depth below the source.

    As in the real data, upper and lower case and the blank before a number are free, and the sentence's folder may be
    absent: then the last number of the file's name is the sentence. The file's name decides nothing else. The label is
    the emotion: anger, disgust, fear, happiness, sadness, surprise. The group is the subject, of which there are 42.

    The data: http://www.enterface.net/enterface05/ (results, project 2), free for research. O. Martin, I. Kotsia,
    B. Macq, I. Pitas, "The eNTERFACE'05 Audio-Visual Emotion Database", ICDE Workshops (2006).
    """
    problems: list[Problem] = []
    files = []
    for path in walk(source, problems):
        recording = _recording(path, source)
        if recording is None:
            problems.append(Problem("", relative(path, source), f"does not follow the layout: expected {_EXPECTED}"))
        else:
            files.append(Named(recording, "video", path))
    recordings = gather(source, files, {"visual": ("video",), "audio": ("video",)}, problems)
    return Found(recordings, in_order(problems))


def _recording(path: Path, source: Path) -> Recording | None:
    """Return the sample that a file shows, without its sources; None where its path does not say which."""
    folders = [part.strip() for part in path.relative_to(source.parent).parts[:-1]]
    subjects = [i for i, name in enumerate(folders) if _SUBJECT.fullmatch(name)]
    if not subjects or path.suffix.lower() != ".avi":
        return None
    place, *below = folders[subjects[-1] :]
    sentence = _sentence(below[1:], path.stem.strip())
    if not below or below[0].lower() not in _EMOTIONS or sentence is None:
        return None
    emotion, subject = below[0].lower(), f"{int(_SUBJECT.fullmatch(place)[1]):02d}"
    return Recording(f"{subject}-{emotion}-{sentence}", emotion, subject)


def _sentence(folders: list[str], stem: str) -> str | None:
    """Return the sentence's number, or the file's name where it has none; None where the folder is no sentence's."""
    if folders:
        match = _SENTENCE.fullmatch(folders[0]) if len(folders) == 1 else None
        return match[1] if match else None
    number = _LAST_NUMBER.search(stem)
    return number[1] if number else stem.lower()
