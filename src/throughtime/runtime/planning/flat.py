"""A plan as the native part reads it: one row of whole numbers, and the arrays that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NO_ARRAY = -1


@dataclass
class FlatPlan:
    """What native/plans.cpp reads.

    A list is its length and its members; a tuple is its members alone, as the reader knows how many it has.
    An array of floats is its number among the arrays, None is no array; a table of whole numbers is its two
    sides and its numbers.

    Args:
        parts: of a plan, in the order in which they are read.
    Attributes:
        numbers: int64.
        arrays: float32, as they are referred to.
    """

    parts: Iterable[Any]
    numbers: NDArray[np.int64] = field(init=False)
    arrays: list[NDArray[np.float32]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        numbers: list[int] = []
        for part in self.parts:
            self._add(part, numbers)
        self.numbers = np.array(numbers, np.int64)

    def _add(self, part: Any, numbers: list[int]) -> None:
        if part is None:
            numbers.append(_NO_ARRAY)
        elif isinstance(part, np.ndarray) and part.dtype == np.int64:
            numbers += part.shape
            numbers += part.ravel().tolist()
        elif isinstance(part, np.ndarray):
            numbers.append(len(self.arrays))
            self.arrays.append(np.ascontiguousarray(part, np.float32))
        elif isinstance(part, (list, tuple)):
            if isinstance(part, list):
                numbers.append(len(part))
            for member in part:
                self._add(member, numbers)
        else:
            numbers.append(int(part))
