"""Which examples are kept back, to measure on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.lines import shown
from throughtime.errors import DataError

SPLIT_COLUMN = "split"
# The words that published splits use; Karpathy's restval images are training images.
SPLITS = {
    "train": "training",
    "training": "training",
    "restval": "training",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class HeldOut:
    """Prepared examples of which some are held out.

    Attributes:
        held_out: (N,), true where an example is for validation.
    """

    held_out: NDArray[np.bool_]

    @property
    def training(self) -> NDArray[np.int64]:
        """The numbers of the examples to learn from."""
        return np.flatnonzero(~self.held_out)

    @property
    def validation(self) -> NDArray[np.int64]:
        """The numbers of the examples to measure on."""
        return np.flatnonzero(self.held_out)


def part_of(value: Any) -> str:
    """The part that a cell of a split column names: training, validation or test; "" where it is empty.

    Raises:
        DataError: it names none.
    """
    name = "" if value is None else str(value).strip()
    if name and name.lower() not in SPLITS:
        raise DataError(f"split {shown(name)} is unknown: use train, validation or test")
    return SPLITS.get(name.lower(), "")


def stratified_split(classes: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Hold out a share of each class, so that a rare class is on both sides.

    Args:
        classes: (N,), the class of each example.
        fraction: the share, in [0, 1); rounded for each class, but one example of it stays at least.
        seed: of the draw.
    Returns:
        (N,): true where an example is held out.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    held_out = np.zeros(len(classes), dtype=bool)
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        count = min(round(len(members) * fraction), len(members) - 1)
        held_out[generator.permutation(members)[:count]] = True
    return held_out


def stratified_fold(classes: NDArray[Any], number: int, folds: int, seed: int) -> NDArray[np.bool_]:
    """Hold out one of several parts, each with its share of every class; every example is in one of them.

    Args:
        classes: (N,), the class of each example.
        number: of the part, from 1.
        folds: how many parts; a class with fewer examples than that is missing in some.
        seed: of the draw.
    Returns:
        (N,): true where an example is held out.
    Raises:
        DataError: there are fewer examples than parts, or nothing would be left to learn from.
    """
    if len(classes) < folds:
        raise DataError(f"{len(classes)} examples cannot be cut into {folds} folds: use fewer --folds")
    generator = np.random.Generator(np.random.PCG64(seed))
    part = np.empty(len(classes), dtype=np.int64)
    # One class after the other and on with the next part, so that parts differ by one example at most.
    order = np.concatenate(
        [generator.permutation(np.flatnonzero(classes == one)) for one in np.unique(classes)]
    )
    part[order] = np.arange(len(classes)) % folds
    return part == number - 1
