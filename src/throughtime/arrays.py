"""Arrays as callers hand them in: converted where nothing is lost, refused where something would be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_INT64 = np.dtype(np.int64)


def softmax(scores: NDArray[Any], axis: int = -1) -> NDArray[Any]:
    """exp(scores) over its sum, in the scores' own type; -inf gives exactly 0."""
    # Of finite scores the difference may be -inf, which is right; NaN is for `check_output` to refuse.
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(scores - scores.max(axis, keepdims=True))
        return powers / powers.sum(axis, keepdims=True)


def log_softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """The logarithm of `softmax` over the last axis."""
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = scores - scores.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def whole_numbers(values: ArrayLike, what: str) -> NDArray[np.int64]:
    """Token numbers, slots or lengths as int64: integers of any width, and Python's.

    Args:
        values: of any shape; an empty list has no type and passes.
        what: they are, for errors, such as "tokens".
    Raises:
        ValueError: they are floats (which would be cut off), booleans or no numbers, or do not fit 64 bits.
    """
    array = np.asarray(values)
    # A step of a small model takes a few microseconds: what is right already should not wait.
    if array.dtype == _INT64:
        return array
    if not array.size:
        return array.astype(np.int64)
    # NumPy makes objects of Python's integers beyond 64 bits, and uint64 of those that need the last one.
    if (array.dtype.kind == "O" and all(type(value) is int for value in array.flat)) or (
        array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max
    ):
        raise ValueError(f"{what} must fit 64 bits")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be whole numbers, not {array.dtype}")
    return array.astype(np.int64)


def real_numbers(values: ArrayLike, what: str) -> NDArray[np.float32]:
    """Numbers of any real type as contiguous float32.

    Args:
        values: of any shape.
        what: they are, for errors.
    Raises:
        ValueError: they are complex or no numbers.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be real numbers, not {array.dtype}")
    return np.require(array, np.float32, ["C"])
