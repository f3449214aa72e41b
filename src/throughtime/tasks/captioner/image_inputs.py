"""The images that a user names to have them captioned: files, folders, ready features, standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from throughtime.data.images import is_image, read_pixels
from throughtime.data.lines import STANDARD_INPUT, check_text, shown, standard_input
from throughtime.data.numbers import as_float32
from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.captioner.image_features import Encode, read_features


@dataclass(frozen=True)
class ImageInput:
    """An image to caption.

    Args:
        name: what the user calls it.
        path: the file; None where only features are there.
        features: of the image, or None.
    """

    name: str
    path: Path | None
    features: NDArray[Any] | None = None


def find_images(inputs: Sequence[str | Path], bad: BadRows) -> Iterator[ImageInput]:
    """Every image of the inputs, in order; a folder's sorted by name.

    Args:
        inputs: image files, folders, .npz files of features (see `read_features`); "-" is standard input, a
            path on each line.
        bad: what happens to inputs that are not there, and to features that are not numbers.
    Raises:
        DataError: an input is missing or holds no image.
    """
    for given in inputs:
        if str(given) == "-":
            for number, line in enumerate(standard_input(), 1):
                try:
                    name = check_text(line.strip())
                except DataError as error:
                    bad.report(STANDARD_INPUT, number, str(error))
                    continue
                # "-" would be standard input once more.
                if name:
                    yield from find_images([name if name != "-" else "./-"], bad)
            continue
        path = Path(given)
        if os.path.isdir(path):
            found = sorted(inside for inside in path.iterdir() if inside.is_file() and is_image(inside))
            if not found:
                bad.report(path, None, "no images in this folder")
            yield from (ImageInput(str(inside), inside) for inside in found)
        elif path.suffix == ".npz":
            for name, features in zip(*read_features(path), strict=True):
                try:
                    checked = as_float32(
                        features, lambda *place, name=name: f"{shown(name)}: feature {list(place)}"
                    )
                except DataError as error:
                    bad.report(path, None, str(error))
                else:
                    yield ImageInput(name, None, checked)
        elif os.path.isfile(path):
            yield ImageInput(str(given), path)
        else:
            bad.report(path, None, f"no such file (the working directory is {Path.cwd()})")


def encode_input(image: ImageInput, encode: Encode, size: int, bad: BadRows) -> NDArray[Any] | None:
    """What a model reads of an image, (...), or None where the image is bad and skipped.

    Args:
        image: the image.
        encode: pixels (1, S, S, 3) to (1, ...).
        size: S.
        bad: what happens to broken images.
    """
    assert image.path is not None
    try:
        return encode(read_pixels(image.path, size)[None])[0]
    except DataError as error:
        if not bad.skip:
            raise
        bad.report(image.path, None, str(error))
        return None
