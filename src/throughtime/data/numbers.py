"""Numbers of users as 32-bit floating point, and none that is NaN, infinite, or becomes infinite."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.data.lines import shown
from throughtime.errors import DataError

Decimal = Literal[",", "."]
DECIMALS: tuple[Decimal, ...] = (",", ".")
LARGEST = float(np.finfo(np.float32).max)

# Numbers as people write them: a sign, a currency, groups of three digits, a decimal mark.
_CURRENCY = "[$\u20ac\u00a3\u00a5\u20a9\u20b9]"
_GROUPS = {",": r"[.'\u00a0\u202f ]", ".": r"[,'\u00a0\u202f ]"}
_WRITTEN: dict[str, re.Pattern[str]] = {
    mark: re.compile(
        rf"([+-]?){_CURRENCY}?\s?([+-]?)([1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d+)"
        rf"(?:{re.escape(mark)}(\d+))?\s?{_CURRENCY}?"
    )
    for mark, group in _GROUPS.items()
}


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
        found = as_float(value)
    except (TypeError, ValueError):
        raise DataError(f"{shown(value)} is not a number") from None
    if not abs(found) <= LARGEST:
        raise DataError(_why(found))
    return found


def plain_number(text: str, decimal: Decimal) -> str:
    """A number as people write it, as a program reads it: "1.234,5" and "$1,234.5" become "1234.5".

    Args:
        text: a cell of a table; any other text comes back as it is.
        decimal: what stands before the fraction, "," or "."; the other may stand between groups of digits.
    """
    found = _WRITTEN[decimal].fullmatch(text.strip())
    if found is None:
        return text
    sign, inner, whole, fraction = found.groups()
    digits = re.sub(r"\D", "", whole)
    return f"{sign or inner}{digits}{f'.{fraction}' if fraction else ''}"


def how_written(texts: Iterable[str], between_commas: bool) -> Decimal | None:
    """What stands before the fraction in all of these cells; None where they are no numbers, or plain ones.

    A comma stands before a fraction in three of four cells at least: 1,3 may as well be two labels. Where
    cells have commas between them, 1,234 has a group of three digits.
    """
    cells = [text.strip() for text in texts]
    marks: tuple[Decimal, ...] = (".", ",") if between_commas else (",", ".")
    for mark in marks:
        if cells and all(_WRITTEN[mark].fullmatch(cell) for cell in cells):
            with_mark = sum(mark in cell for cell in cells)
            if mark == "." or with_mark * 4 >= len(cells) * 3:
                return mark
    return None


def reads_as_number(value: Any) -> bool:
    """Whether a table's value is meant as a number, be it NaN."""
    try:
        as_float(value)
    except (TypeError, ValueError):
        return False
    return True


def as_float(value: Any) -> float:
    """`float(value)`, and infinity for a whole number of hundreds of digits, as for the text of one.

    Raises:
        TypeError, ValueError: it is no number.
    """
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _why(number: float) -> str:
    if math.isfinite(number):
        return f"{number:g} is too large: numbers are kept in 32 bits"
    return f"{number} is not a finite number"
