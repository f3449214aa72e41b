"""Images on disk to pixels, whatever their format, orientation and colours."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import IMAGE_PIXELS
from throughtime.errors import DataError, MissingExtraError
from throughtime.extras import install_command

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# As Pillow calls them.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
# Standard error is one for the whole process.
_STANDARD_ERROR = threading.Lock()
_UNHEARD = logging.NullHandler()


def is_image(path: str | Path) -> bool:
    """Whether the file's name is that of an image."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def open_image(path: str | Path) -> Image.Image:
    """An image as a person sees it: upright, in RGB, on white where it is transparent.

    The orientation that a camera notes in EXIF is applied; palettes, grey levels, CMYK and 16 bits become
    8-bit RGB; of an animation it is the first picture.

    Raises:
        DataError: the file is missing, truncated, no image, or of more pixels than the limit.
        MissingExtraError: Pillow is not installed.
    """
    Image, ImageOps = _pillow()
    path = Path(path)
    limit = IMAGE_PIXELS.value
    if limit > IMAGE_PIXELS.default:
        # Pillow has a limit of its own, for the whole process. It is above ours unless the user raised that.
        Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS and max(limit, Image.MAX_IMAGE_PIXELS)
    try:
        # Of these formats only: Pillow looks at the content, and has readers that start other programs.
        with Image.open(path, formats=_FORMATS) as file:
            IMAGE_PIXELS.check(file.width * file.height, f"{path} has")
            with _silent(file.format == "TIFF"):
                file.load()
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):
                # Converting would clip at 255 what goes to 65535.
                image = Image.fromarray((np.asarray(image) / np.float32(257)).clip(0, 255).astype(np.uint8))
            if image.mode == "F":
                raise DataError(f"{path}: pixels are floating point numbers: save it with 8 or 16 bits")
            if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})") from None
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        ours = 2 * (Image.MAX_IMAGE_PIXELS or 0) >= limit
        reason = IMAGE_PIXELS.exceeded() if ours else _reason(error)
        raise DataError(f"{path} has too many pixels: {reason}") from None
    # Pillow's readers raise whatever their parsing runs into: OSError, SyntaxError, struct.error...
    except Exception as error:
        raise DataError(f"{path} cannot be read as an image: {_reason(error)}") from None


def read_pixels(path: str | Path, size: int) -> NDArray[np.uint8]:
    """An image as (size, size, 3), uint8.

    The whole picture is kept, squeezed to a square: a caption may be about its edge.

    Raises:
        DataError: as `open_image`.
    """
    return resize(open_image(path), size)


def resize(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """An RGB image as (size, size, 3), uint8."""
    from PIL import Image

    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.uint8)


@contextmanager
def _silent(where: bool) -> Iterator[None]:
    """Send what libtiff itself writes to standard error nowhere: Pillow raises the same as an error."""
    if not where:
        yield
        return
    with _STANDARD_ERROR:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(nowhere)
            os.close(kept)


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError(
            f"images need Pillow: install it with `{install_command('vision')}`"
        ) from None
    # What it logs of a damaged file would stand beside our error, which says the same.
    logging.getLogger("PIL").addHandler(_UNHEARD)
    return Image, ImageOps


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "its content is that of no known image format, or it is cut off"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
