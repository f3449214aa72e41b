"""What the frozen part of a CNN gives for each image, computed once and kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.images import read_pixels
from throughtime.data.lines import check_text, shown
from throughtime.data.npy import npz_names, read_npz
from throughtime.data.sequences import write_blocks
from throughtime.data.tables import BadRows
from throughtime.encoders.frozen import as_features
from throughtime.errors import DataError
from throughtime.tasks.captioner.captions import CaptionedImage

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
    if names.dtype.kind not in "US":
        raise DataError(f"{file}: names are {names.dtype}: expected texts")
    try:
        texts = [name.decode() if isinstance(name, bytes) else check_text(str(name)) for name in names]
    except (DataError, ValueError) as error:
        raise DataError(f"{file}: a name is no text: {error}") from None
    return texts, features
