"""A folder per class, as most collections of recordings lie."""

from dataclasses import replace
from pathlib import Path

from elision.data.layouts.found import Found, LayoutOptions, Named, gather, in_order, relative, walk
from elision.data.recording import Problem, Recording

ENDINGS = {
    "video": (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".ogv"),
    "audio": (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff"),
    "image": (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"),
}
"""What a file is -> how its name ends."""
_ROLES = {ending: role for role, endings in ENDINGS.items() for ending in endings}
_MODALITIES = {"visual": ("video",), "audio": ("audio", "video"), "image": ("image",)}


def folders(source: Path, options: LayoutOptions) -> Found:
    """A folder per class: ``CLASS/NAME.mp4``, such as ``clips/angry/a1.mp4``, where the source is ``clips``.

    The label is the folder below the source. Files of one folder that differ in their ending alone, such as a1.mp4 and
    a1.wav, are one sample: a video shows the modalities visual and audio, an audio file beside it is taken for the
    sound, and a picture is the modality image. Folders between the class and the file name the group, if every sample
    has some: ``angry/ann/a1.mp4`` and ``calm/ann/a1.mp4`` are of the group ann. The recordings are your own, under your
    own licence.
    """
    problems: list[Problem] = []
    files = []
    for path in walk(source, problems):
        label, *group = path.relative_to(source).parts[:-1] or ("",)
        role = _ROLES.get(path.suffix.lower())
        if not label:
            reason = "lies in no folder of a class: expected CLASS/NAME.mp4, or the like"
        elif role is None:
            reason = "is no video, sound or picture: expected it to end in .mp4, .wav, .jpg, or the like"
        else:
            name = relative(path.with_suffix(""), source)
            files.append(Named(Recording(name, label, "/".join(group)), role, path))
            continue
        problems.append(Problem("", relative(path, source), reason))
    recordings = gather(source, files, _MODALITIES, problems)
    if not all(recording.group for recording in recordings):
        recordings = tuple(replace(recording, group="") for recording in recordings)
    return Found(recordings, in_order(problems))
