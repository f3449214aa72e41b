"""What the frozen part of a CNN gives for each image, computed once and kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.captions import CaptionedImage
from throughtime.data.images import read_pixels
from throughtime.data.lines import shown
from throughtime.data.npy import npz_names, read_npz
from throughtime.data.numbers import as_float32
from throughtime.data.sequences import write_blocks
from throughtime.data.tables import BadRows
from throughtime.errors import DataError

Encode = Callable[[NDArray[np.uint8]], NDArray[Any]]

# Images that go through the CNN together: more would not be faster on a CPU, and take memory.
_BATCH = 16


def cache_images(
    path: str | Path,
    images: Sequence[CaptionedImage],
    table: Path,
    encode: Encode,
    size: int,
    bad: BadRows,
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Encode images and write the results as one array, an image a row.

    Args:
        path: the .npy file to write.
        images: which.
        table: where they come from, for errors.
        encode: pixels (B, S, S, 3) to (B, ...).
        size: S.
        bad: what happens to images that cannot be read.
        progress: called with images done and to do.
    Returns:
        Which of the images are in the file, in its order.
    Raises:
        DataError: an image is broken and `bad` does not skip, or none can be read.
    """
    kept: list[int] = []

    def encoded() -> Iterator[NDArray[Any]]:
        waiting: list[NDArray[np.uint8]] = []
        for number, image in enumerate(images):
            try:
                waiting.append(read_pixels(image.path, size))
                kept.append(number)
            except DataError as error:
                bad.report(table, image.line, str(error))
            if len(waiting) == _BATCH:
                yield encode(np.stack(waiting))
                waiting.clear()
            if progress is not None:
                progress(number + 1, len(images))
        if waiting:
            yield encode(np.stack(waiting))

    if write_blocks(path, encoded()) == 0:
        raise DataError(f"{table}: not a single image can be read ({bad.summary()})")
    return kept


def pick_features(
    path: str | Path,
    file: str | Path,
    images: Sequence[CaptionedImage],
    table: Path,
    grid: bool,
    bad: BadRows,
) -> list[int]:
    """Write the features of these images, out of an .npz that holds them by name.

    Args:
        path: the .npy file to write.
        file: the .npz; see `read_features`.
        images, table, bad: as in `cache_images`; bad is an image without features, or with NaN.
        grid: see `as_features`.
    Returns:
        Which of the images are in the file, in its order.
    Raises:
        DataError: as in `cache_images`.
    """
    names, features = read_features(file)
    row_of = {name: row for row, name in enumerate(names)}
    kept: list[int] = []
    found: list[NDArray[Any]] = []
    for number, image in enumerate(images):
        row = row_of.get(image.name)
        if row is None:
            bad.report(table, image.line, f"image {shown(image.name)} has no features in {file}")
            continue
        try:
            found.append(as_features(features[row : row + 1], grid, f"{file}: {shown(image.name)}"))
            kept.append(number)
        except DataError as error:
            bad.report(table, image.line, str(error))
    if not found:
        raise DataError(f"{table}: not a single image has features in {file} ({bad.summary()})")
    write_blocks(path, found)
    return kept


def read_features(file: str | Path) -> tuple[list[str], NDArray[Any]]:
    """Features that were computed elsewhere.

    Args:
        file: an .npz with `names` (N,), the images' file names, and `features`: (N, F) of whole images, or
            (N, P, F) or (N, F, height, width) of places.
    Returns:
        The names and the features.
    Raises:
        DataError: the file is missing, damaged, or its arrays do not fit (the message says which).
    """
    try:
        held = npz_names(file)
        missing = [name for name in ("names", "features") if name not in held]
        if missing:
            raise DataError(f"{file} has no array {missing[0]!r}; it has {', '.join(held[:6]) or 'none'}")
        names, features = read_npz(file, "names"), read_npz(file, "features")
    except FileNotFoundError:
        raise DataError(f"{file}: no such file (the working directory is {Path.cwd()})") from None
    if names.ndim != 1 or not features.ndim or len(names) != len(features):
        raise DataError(
            f"{file}: names are {names.shape}, features {features.shape}: each row needs one name"
        )
    if features.dtype.kind not in "fiu" or features.ndim not in (2, 3, 4):
        raise DataError(
            f"{file}: features are {features.dtype} {features.shape}: expected numbers (N, F), (N, P, F) or "
            f"(N, F, height, width)"
        )
    return [str(name) for name in names], features


def as_features(found: NDArray[Any], grid: bool, name: str) -> NDArray[Any]:
    """Features as the captioner reads them, of whatever a model gave: (B, F), or (B, P, F) for a grid.

    Args:
        found: (B, F), (B, C, h, w), or (B, P, F).
        grid: whether places are wanted; without, they are averaged.
        name: of the model, for errors.
    Raises:
        DataError: the shape is another, or places are wanted and there are none; or a number is NaN,
            infinite, or too large for the bits that it is kept in.
    """
    if found.ndim in (2, 3, 4):
        found = as_float32(found, lambda _, *place: f"{name}: feature {list(place)}")
    if found.ndim == 4:
        # (B, C, h, w) to (B, h * w, C)
        found = found.reshape(*found.shape[:2], -1).transpose(0, 2, 1)
    if found.ndim == 3 and grid:
        with np.errstate(over="ignore"):
            features = found.astype(np.float16)  # which halves the cache
        if not np.isfinite(features).all():
            largest = float(np.finfo(np.float16).max)
            raise DataError(f"{name} gives features above {largest:,.0f}, and grids are kept in 16 bits")
    elif found.ndim == 3:
        features = found.mean(1)
    elif found.ndim == 2 and not grid:
        features = found
    elif found.ndim == 2:
        raise DataError(
            f"{name} gives one vector for each image, {found.shape[1:]}: attention needs the grid of the "
            f"last convolution; use a model that ends there, or another --image-input"
        )
    else:
        raise DataError(f"{name} gives {found.shape}: expected (B, features) or (B, channels, height, width)")
    return features
