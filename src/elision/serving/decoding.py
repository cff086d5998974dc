"""Recordings of strangers, decoded in a process of their own, which a damaged file may end or hold up without harm."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from elision.errors import InputError
from elision.media.extract import Extracted, MediaError, MediaSettings, extract_media
from elision.parallel.processes import Worker, end_workers
from elision.parallel.tasks import Reply


class Recordings(NamedTuple):
    """The files of one sample.

    Args:
        sources: modality -> file.
        settings: as the model's data was prepared with.
        key: of the sample.
    """

    sources: Mapping[str, Path]
    settings: MediaSettings
    key: str


def decode(recordings: Recordings) -> Extracted | str:
    """Return what the files hold, or in a sentence why they cannot be used, which names no file of ours."""
    try:
        return extract_media(recordings.sources, None, None, recordings.settings, recordings.key)
    except MediaError as error:
        names = [m for m, path in recordings.sources.items() if path == error.file]
        return f"the recording of {' and '.join(map(repr, names))} {error.reason}"


class Decoder:
    """Decode one sample's recordings after the other, in a process that is started when first needed and kept.

    It is started again where a recording ended it, or held it up for too long.
    """

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._one = threading.Lock()

    def __call__(self, recordings: Recordings, seconds: float) -> Extracted:
        """Decode one sample's recordings.

        Args:
            recordings: of one sample.
            seconds: that it may take.

        Raises:
            InputError: they cannot be used; why.
            TimeoutError: it took too long.
        """
        until = time.monotonic() + seconds
        with self._one:
            done = self._ask(recordings, until).of(recordings)
        found = f"the recordings cannot be used: {done.failure.error}" if done.failure else done.result
        if isinstance(found, str):
            raise InputError(found)
        return found

    def _ask(self, recordings: Recordings, until: float) -> Reply:
        if self._workers and not self._workers[0].process.is_alive():
            self.close()  # something ended it while it waited
        if not self._workers:
            self._workers.append(Worker(decode, None))
        worker = self._workers[0]
        worker.give(recordings)
        try:
            while (reply := worker.hear()) is None:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError("decoding took longer than the time allowed")
                wait([worker.connection, worker.process.sentinel], left)
        except TimeoutError:
            self.close()
            raise
        except (EOFError, ConnectionError) as error:
            self.close()
            raise InputError("the recordings cannot be used: decoding them ended the process that did it") from error
        return reply

    def close(self) -> None:
        """End the process."""
        workers, self._workers = self._workers, []
        with suppress(OSError):
            end_workers(workers)
