"""Single values of a user's data as JSON can hold them, and examples as arrays."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.lines import shown
from throughtime.errors import DataError

# What pandas calls a value that is not there. Named and not imported: nobody needs pandas for it.
NOTHING = ("NAType", "NaTType")


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers keep their exact value, times become ISO 8601, NaN becomes null.

    Raises:
        DataError: it is of a type that no table has.
    """
    if value is None or isinstance(value, (str, bool, int)):
        # A subclass of str, as NumPy's, is as good as its text.
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return None if value != value else float(value)
    if type(value).__name__ in NOTHING:
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        moment = value.item()  # a number where it counts nanoseconds, which Python's times do not have
        return plain(value.astype("datetime64[us]").item() if isinstance(moment, int) else moment)
    if isinstance(value, decimal.Decimal):
        return plain(float(value))
    if isinstance(value, PurePath) or type(value).__name__ == "Period":  # a month of pandas
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=str)  # in the same order in every process
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain_scalar(value)
    if is_array(value):
        return plain(as_array(value).tolist())
    raise DataError(
        f"{shown(repr(value))} is of type {type(value).__name__}: give text, numbers, true or false, times, "
        f"or lists of them"
    )


def _plain_scalar(value: np.generic[Any]) -> Any:
    if value.dtype.kind in "biufU":
        return plain(value.item())
    raise DataError(f"{shown(repr(value))} is of NumPy's type {value.dtype}, which no table has")


def is_array(value: Any) -> bool:
    """Whether it is an array of NumPy, a tensor of torch, or what says of itself that it can become one."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "__array__") and hasattr(value, "shape") and not isinstance(value, np.generic)
    )


def as_array(value: Any) -> NDArray[Any]:
    """An array or a tensor as NumPy's, of numbers, of true and false, or of texts.

    Raises:
        DataError: it holds something else.
    """
    if hasattr(value, "detach"):  # a tensor, perhaps on a GPU or with a gradient
        value = value.detach().cpu()
        if value.is_floating_point():
            value = value.float() if value.element_size() < 4 else value  # NumPy has no bfloat16
    found = np.asarray(value)
    if found.dtype.kind not in "biufUO":
        raise DataError(f"an array of {found.dtype}: give numbers or texts")
    return found
