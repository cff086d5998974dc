"""Reading one recording into the staging folder: what each worker does. It imports what that needs, no more."""

import numpy as np

from elision.data.recording import Recording
from elision.data.schema import Row
from elision.data.staging import Record, Staging, stamps
from elision.errors import InputError
from elision.media.extract import MediaError, MediaSettings, extract_media

CRASHED = "the process that read it ended twice without an error: its decoder crashed, or memory ran out"


def read_recording(area: Staging, settings: MediaSettings, recording: Recording) -> Record:
    """Read one recording into the staging folder and return its record, which says what is wrong with it."""
    marks = stamps(recording)
    try:
        sources = dict(recording.sources)
        taken = extract_media(sources, recording.start, recording.end, settings, recording.id) if sources else None
    except MediaError as error:
        return area.note(Record(recording.id, marks, error.reason, str(error.file)))
    except OSError as error:  # of reading: nothing is written here
        return area.note(Record(recording.id, marks, f"cannot be read: {error.strerror or error}"))
    features = {m: np.asarray(values, np.float32) for m, values in recording.features.items()}
    values = {**(taken.values if taken else {}), **features}
    missing = dict(taken.missing) if taken else {}
    if not values:
        return area.note(Record(recording.id, marks, "; ".join(missing.values()) or "shows no modality"))
    duration = taken.duration if taken and taken.duration > 0 else None
    row = Row(recording.id, recording.label, recording.group, recording.split, duration, values)
    try:
        return area.keep(row, Record(recording.id, marks, missing=missing, notes=dict(taken.notes) if taken else {}))
    except (InputError, UnicodeEncodeError) as error:  # numbers beyond the store's, an id that is no text
        return area.note(Record(recording.id, marks, str(error)))
