"""Numbers of users as 32-bit floating point, and none that is NaN, infinite, or becomes infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.data.lines import shown
from throughtime.errors import DataError

LARGEST = float(np.finfo(np.float32).max)


def as_float32(values: ArrayLike, where: Callable[..., str]) -> NDArray[np.float32]:
    """Numbers as the networks read them; every reader of numbers ends here.

    Args:
        values: numbers of any type and shape.
        where: of an index (i, j, ...), what the error names.
    Raises:
        DataError: a number is NaN or infinite, or too large for 32 bits (the message names the first).
    """
    given = np.asarray(values)
    # A number that overflows is found below; so is one that NumPy would warn of.
    with np.errstate(over="ignore", invalid="ignore"):
        found = given.astype(np.float32, copy=False)
    finite = np.isfinite(found)
    if not finite.all():
        index = np.unravel_index(int(finite.argmin()), found.shape)
        raise DataError(f"{where(*map(int, index))}: {_why(float(given[index]))}")
    return found


def read_number(value: Any) -> float:
    """A table's value as a number that fits in 32 bits.

    Raises:
        DataError: it is none.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise DataError(f"{shown(value)} is not a number") from None
    except OverflowError:  # a whole number of hundreds of digits
        found = math.inf
    if not abs(found) <= LARGEST:
        raise DataError(_why(found))
    return found


def reads_as_number(value: Any) -> bool:
    """Whether a table's value is meant as a number, be it NaN."""
    try:
        float(value)
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return False
    return True


def _why(number: float) -> str:
    if math.isfinite(number):
        return f"{number:g} is too large: numbers are kept in 32 bits"
    return f"{number} is not a finite number"
