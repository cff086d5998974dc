"""Kinds of modality: how each is stored, decoded, laid out for an encoder, pooled and drawn.

A store's manifest.json names the kind of each modality; all that depends on it is asked of the object in `KINDS`.
Torch, Arrow, Pillow and matplotlib are imported where they are used, for the command's help needs none of them.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from elision.errors import InputError, check_choice

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from PIL import Image
    from torch import Tensor

Value = list[bytes] | bytes | np.ndarray
"""What a sample shows of a modality: a JPEG per window, one JPEG, or numbers in the modality's shape."""
StoredWindow = memoryview | bytes | np.ndarray
"""One window of it: a JPEG, or numbers of the modality's shape."""
Allocate = Callable[[Sequence[int], "torch.dtype"], "Tensor"]
"""(shape, dtype) -> a tensor to be filled."""
Scale = tuple[float, float]
"""The values that have the darkest and the brightest colour."""

SIDE = 12
"""Pixels a side of the grey picture that pictures are pooled to."""


@dataclass(frozen=True)
class Modality:
    """The kind and the shape of what samples show of a modality.

    Args:
        kind: "frames" (a JPEG per window), "image" (one JPEG), "spectrogram" (float16) or "features" (float32).
        shape: of one window, decoded: (3, height, width), (bands, frames) or (d,).
        windows: how many; 1 for an image and features, which every window of a sample shares.
    """

    kind: str
    shape: tuple[int, ...]
    windows: int = 1

    def __post_init__(self) -> None:
        check_choice("kind of modality", self.kind, KINDS)
        if self.windows < 1 or (self.windows > 1 and not self.form.windowed):
            raise InputError(f"a modality of kind {self.kind!r} with {self.windows} windows: expected 1")

    @property
    def form(self) -> "Kind":
        """The object in `KINDS` that stores, decodes, lays out, pools and draws it."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Cells:
    """The values of one modality in a shard, as views of its bytes.

    Args:
        starts: where each row's values begin, and where the last one's end; shape (n + 1,).
        per_row: how many values a row has that shows the modality; None where their number says nothing.
        window: (row, window) -> one window of a row that shows the modality, not copied.
    """

    starts: np.ndarray
    per_row: int | None
    window: Callable[[int, int], StoredWindow]

    def fits(self, shown: np.ndarray) -> bool:
        """Return whether rows that show the modality, a mask (n,), have all of its values, and the others none."""
        return self.per_row is None or np.array_equal(np.diff(self.starts), np.where(shown, self.per_row, 0))


class Kind(ABC):
    """A kind of modality."""

    windowed: bool
    """Whether each window of a sample has values of its own."""
    picture: ClassVar[bool] = False
    """Whether rows are pictures, uint8 with three channels."""
    planar: ClassVar[bool] = True
    """Whether rows have a height and a width: they can be convolved, and drawn."""
    stretched: ClassVar[bool] = False
    """Whether a drawing may be stretched, since its axes have different units."""
    encoder: ClassVar[str] = "small-cnn"
    """The network that learns from it unless another is asked for."""

    @property
    def channels(self) -> int:
        """Channels of an encoder's row."""
        return 3 if self.picture else 1

    @property
    @abstractmethod
    def arrow(self) -> "pa.DataType":
        """The type of its column in a shard."""

    @abstractmethod
    def size(self, value: Value) -> int:
        """Return the bytes that a value takes in a shard."""

    @abstractmethod
    def expected(self, modality: Modality) -> str:
        """Return in words what a value of the modality has to be, as `form_of` says it of a value."""

    def fault(self, value: Value, modality: Modality) -> str:
        """Return what is wrong with a value, to follow the sample's name; "" where nothing is."""
        found, expected = form_of(value), self.expected(modality)
        return "" if found == expected else f"is {found}: expected {expected}"

    @abstractmethod
    def column(self, values: Sequence[Value | None]) -> "pa.Array":
        """Return the column of a shard that holds the values of its rows; None where a row does not show it."""

    @abstractmethod
    def cells(self, column: "pa.Array", modality: Modality) -> Cells:
        """Return what is in the column of a shard."""

    def split(self, value: Value) -> Sequence[StoredWindow]:
        """Return the windows of a value."""
        return value if self.windowed else [value]

    @abstractmethod
    def join(self, windows: Sequence[StoredWindow]) -> Value:
        """Return the value that has these windows, copied."""

    @abstractmethod
    def decode(self, window: StoredWindow, modality: Modality) -> np.ndarray:
        """Return a window decoded: uint8 (height, width, 3), or numbers of the modality's shape, not copied.

        Raises:
            InputError: it is damaged, or of another shape; to follow the sample's name.
        """

    def memory(self, modality: Modality) -> tuple[int, ...]:
        """Return the shape of a decoded window in memory."""
        return tuple(modality.shape)

    @property
    def torch_dtype(self) -> "torch.dtype":
        """The dtype of an encoder's rows."""
        import torch

        return torch.uint8 if self.picture else torch.float32

    def rows(
        self, n: int, windows: Iterable[np.ndarray], modality: Modality, empty: Allocate | None = None
    ) -> "Tensor":
        """Return decoded windows as an encoder takes them.

        Args:
            n: how many there are.
            windows: of the modality, decoded.
            modality: which they are of.
            empty: (shape, dtype) -> memory for the rows; None takes new memory.

        Returns:
            Pictures uint8 (n, 3, height, width) in channels-last memory, spectrograms float32 (n, 1, bands, frames),
            features float32 (n, d).
        """
        import torch

        shape = (n, *self.memory(modality))
        rows = torch.empty(shape, dtype=self.torch_dtype) if empty is None else empty(shape, self.torch_dtype)
        for row, window in zip(rows.numpy(), windows, strict=True):
            row[...] = window
        return self.arranged(rows)

    def arranged(self, rows: "Tensor") -> "Tensor":
        """Return rows as they lie in memory, (n, *memory), in an encoder's shape; not copied."""
        return rows[:, None] if self.planar else rows

    @abstractmethod
    def pooled(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Return simple numbers of a sample's decoded windows; shape (d,), float64."""

    @abstractmethod
    def described(self, modality: Modality) -> str:
        """Return for people what a sample holds of the modality."""

    def scale(self, windows: Sequence[np.ndarray]) -> Scale | None:
        """Return the range of colours that suits these windows; None where values are colours already."""
        return None

    def draw(self, window: np.ndarray, scale: Scale | None) -> "tuple[Image.Image, str]":
        """Return the picture of a decoded window and the format to save it in; only where it is `planar`."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Pictures(Kind):
    """Pictures as JPEGs: frames, one per window, or a single image.

    Pooled to a grey picture of 12 x 12 pixels in [0, 1]: the image itself, or mean and deviation over the frames.
    """

    windowed: bool
    picture = True

    @property
    def arrow(self) -> "pa.DataType":
        import pyarrow as pa

        return pa.list_(pa.binary()) if self.windowed else pa.binary()

    def size(self, value: Value) -> int:
        return sum(map(len, self.split(value)))

    def expected(self, modality: Modality) -> str:
        return f"{modality.windows} JPEGs" if self.windowed else "one JPEG"

    def column(self, values: Sequence[Value | None]) -> "pa.Array":
        import pyarrow as pa

        return pa.array(values, self.arrow)

    def cells(self, column: "pa.Array", modality: Modality) -> Cells:
        starts, nested = _view(column.buffers()[1], np.int32), self.windowed
        offsets, content = (column.values if nested else column).buffers()[1:]
        ends, jpegs = _view(offsets, np.int32), memoryview(content or b"")

        def window(row: int, window: int) -> StoredWindow:
            place = starts[row] + window if nested else row
            return jpegs[ends[place] : ends[place + 1]]

        return Cells(starts, modality.windows if nested else None, window)

    def join(self, windows: Sequence[StoredWindow]) -> Value:
        jpegs = [bytes(window) for window in windows]
        return jpegs if self.windowed else jpegs[0]

    def decode(self, window: StoredWindow, modality: Modality) -> np.ndarray:
        from PIL import Image

        _, height, width = modality.shape
        try:
            with Image.open(io.BytesIO(window), formats=["JPEG"]) as image:
                size = image.size
                if size == (width, height):  # looked at before anything is decoded
                    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except (OSError, Image.DecompressionBombError) as error:  # PIL's own are OSErrors
            raise InputError("is no whole JPEG") from error
        raise InputError(f"has {size[0]} x {size[1]} pixels, not {width} x {height}")

    def memory(self, modality: Modality) -> tuple[int, ...]:
        channels, height, width = modality.shape
        return height, width, channels  # as they are decoded

    def arranged(self, rows: "Tensor") -> "Tensor":
        return rows.permute(0, 3, 1, 2)

    def pooled(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        from PIL import Image

        grey = [Image.fromarray(window).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX) for window in windows]
        values = np.stack([np.asarray(picture, np.float64).ravel() / 255 for picture in grey])
        return np.concatenate([values.mean(0), values.std(0)]) if self.windowed else values[0]

    def described(self, modality: Modality) -> str:
        pictures = "one picture" if modality.windows == 1 else f"{modality.windows} pictures"
        return f"{pictures} of {modality.shape[2]} x {modality.shape[1]}"

    def draw(self, window: np.ndarray, scale: Scale | None) -> "tuple[Image.Image, str]":
        from PIL import Image

        return Image.fromarray(window), "JPEG"


class _Numbers(Kind):
    """Numbers, stored one after the other."""

    stored: ClassVar[np.dtype]

    @property
    def arrow(self) -> "pa.DataType":
        import pyarrow as pa

        return pa.list_(pa.from_numpy_dtype(self.stored))

    def size(self, value: Value) -> int:
        return value.nbytes

    def expected(self, modality: Modality) -> str:
        return f"numbers of shape {(modality.windows, *modality.shape) if self.windowed else tuple(modality.shape)}"

    def fault(self, value: Value, modality: Modality) -> str:
        if other := super().fault(value, modality):
            return other
        largest = np.abs(value[~np.isnan(value)]).max(initial=-1.0)
        if 0 <= largest <= np.finfo(self.stored).max:
            return ""
        return f"holds {largest} beyond {self.stored.name}, or NaN alone: leave out what is missing"

    def column(self, values: Sequence[Value | None]) -> "pa.Array":
        import pyarrow as pa

        shown = [np.ravel(value).astype(self.stored) for value in values if value is not None]
        starts = np.cumsum([0, *(0 if value is None else value.size for value in values)], dtype=np.int32)
        absent, flat = pa.array([value is None for value in values]), np.concatenate([np.empty(0, self.stored), *shown])
        return pa.ListArray.from_arrays(pa.array(starts), pa.array(flat), mask=absent)

    def cells(self, column: "pa.Array", modality: Modality) -> Cells:
        starts, numbers = _view(column.buffers()[1], np.int32), _view(column.buffers()[-1], self.stored)
        shape, size = tuple(modality.shape), math.prod(modality.shape)

        def window(row: int, window: int) -> StoredWindow:
            first = starts[row] + window * size
            return numbers[first : first + size].reshape(shape)

        return Cells(starts, modality.windows * size, window)

    def join(self, windows: Sequence[StoredWindow]) -> Value:
        return np.stack(windows) if self.windowed else windows[0].copy()

    def decode(self, window: StoredWindow, modality: Modality) -> np.ndarray:
        if np.shape(window) != tuple(modality.shape):
            raise InputError(f"has shape {np.shape(window)}, not {tuple(modality.shape)}")
        return window


class _Spectrogram(_Numbers):
    """Log-mel spectrograms, (bands, frames) per window, float16; pooled to each band's mean and deviation."""

    windowed = True
    stretched = True
    stored = np.dtype("<f2")

    def pooled(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        values = np.stack(windows).astype(np.float64)
        return np.concatenate([values.mean((0, 2)), values.std((0, 2))])

    def described(self, modality: Modality) -> str:
        spectrograms = (
            "one log-mel spectrogram" if modality.windows == 1 else f"{modality.windows} log-mel spectrograms"
        )
        return f"{spectrograms} of {modality.shape[0]} bands x {modality.shape[1]} frames"

    def scale(self, windows: Sequence[np.ndarray]) -> Scale | None:
        low, high = np.percentile(np.concatenate([np.ravel(w).astype(np.float32) for w in windows]), [5, 99.8])
        return float(low), max(float(high), float(low) + 1e-3)

    def draw(self, window: np.ndarray, scale: Scale | None) -> "tuple[Image.Image, str]":
        from matplotlib import colormaps
        from PIL import Image

        low, high = scale or self.scale([window])
        level = np.clip((window.astype(np.float32) - low) / (high - low), 0, 1)
        colours = colormaps["magma"](level[::-1])[..., :3] * 255  # low tones at the bottom
        return Image.fromarray(colours.round().astype(np.uint8)), "PNG"


class _Features(_Numbers):
    """A row of numbers, (d,), float32, the same in every window; pooled as they are."""

    windowed = False
    planar = False
    encoder = "mlp"
    stored = np.dtype("<f4")

    def pooled(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        return windows[0].astype(np.float64)

    def described(self, modality: Modality) -> str:
        return "one number" if modality.shape[0] == 1 else f"{modality.shape[0]} numbers"


KINDS: dict[str, Kind] = {
    "frames": _Pictures(windowed=True),
    "image": _Pictures(windowed=False),
    "spectrogram": _Spectrogram(),
    "features": _Features(),
}


def form_of(value: Value) -> str:
    """Return in words what form a value has."""
    match value:
        case np.ndarray():
            return f"numbers of shape {value.shape}"
        case bytes():
            return "one JPEG"
        case _:
            return f"{len(value)} JPEGs"


def _view(buffer: "pa.Buffer | None", dtype: type | np.dtype) -> np.ndarray:
    return np.frombuffer(buffer or b"", dtype)
