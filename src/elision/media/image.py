"""Pictures: cut, resized, and encoded as JPEG."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from elision.media.clip import MAX_PIXELS, MAX_SIDE, MediaError

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""Formats that images are read from, by Pillow's names."""

MAX_SHAPE = 16
"""The longest picture's long side, in short sides."""

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""

Crop = Callable[[np.ndarray], Box | None]
"""An upright picture, (height, width, 3) uint8 RGB, to the box that is wanted of it, such as a face; None for all."""


def read_image(path: Path, size: int, quality: int, crop: Crop | None = None) -> bytes:
    """Return an image file as a square JPEG, turned upright as its EXIF says.

    Args:
        path: of the file; of an animation the first picture is read.
        size: pixels a side.
        quality: of the JPEG, 1 to 95.
        crop: what to cut out first.

    Raises:
        MediaError: it is no image, it is damaged, too large or too thin.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                check_size(path, *image.size)
                image.draft("RGB", (2 * size, 2 * size))  # JPEG is decoded at a fraction of its size
                picture = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError as error:
        raise MediaError(path, "does not exist") from error
    except PermissionError as error:
        raise MediaError(path, "cannot be read: permission denied") from error
    except UnidentifiedImageError as error:
        raise MediaError(path, f"is not an image of a format that is read: {', '.join(IMAGE_FORMATS)}") from error
    except MediaError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(path, f"is truncated or damaged: {error}") from error
    return encode_jpeg(square(picture, size, crop), quality)


def square(picture: Image.Image, size: int, crop: Crop | None) -> Image.Image:
    """Return the middle square of the picture, or of the box that ``crop`` wants of it, resized to ``size``."""
    box = crop(np.asarray(picture)) if crop else None
    left, top, right, bottom = box or (0, 0, *picture.size)
    left, top = max(left, 0), max(top, 0)
    width, height = min(right, picture.width) - left, min(bottom, picture.height) - top
    if min(width, height) < 1:
        return square(picture, size, None)
    side = min(width, height)
    middle = left + (width - side) / 2, top + (height - side) / 2
    box = (*middle, middle[0] + side, middle[1] + side)
    return picture.resize((size, size), Image.Resampling.BILINEAR, box, reducing_gap=3.0)


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Return a picture as a JPEG with colours at half resolution."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def check_size(path: Path, width: int, height: int) -> None:
    """Raise `MediaError` unless a picture of so many pixels can be used."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise MediaError(
            path,
            f"has pictures of {width} x {height} pixels: expected at most {MAX_SIDE} a side "
            f"and {MAX_PIXELS // 2**20} megapixels",
        )
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise MediaError(path, f"has pictures of {width} x {height} pixels: too thin to use")
