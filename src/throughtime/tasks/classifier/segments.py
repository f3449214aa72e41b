"""Steps of long sequences that are read together, as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

# Cross-validation within the training parts of UCR sets says so: of ArrowHead (251 steps) 67, 71 and 76 % are
# right with segments of 1, 8 and 16, of GunPoint (150) 94 and 95 % with 4 and 8; the losses agree.
_MOST_STEPS = 25
_LONGEST_SEGMENT = 32
# Of a window around a segment, in segments and at least in steps.
_WINDOW, _LEAST_WINDOW = 4, 16


def segmented(array: NDArray[np.float32], segment: int, around: int = 0) -> NDArray[np.float32]:
    """Steps (T, F) as (ceil(T / N), (N + 2 A) * F): step after step, N of them and those around in each row.

    Where a row lacks steps, the first or the last step is repeated: a signal that stays where it was is the
    only end that does not look like an event.

    Args:
        segment: N.
        around: A, the steps before and after a row's own that it has as well.
    """
    lacking = -len(array) % segment
    if lacking or around:
        first, last = np.repeat(array[:1], around, 0), np.repeat(array[-1:], lacking + around, 0)
        array = np.concatenate([first, array, last])
    if not around:
        return array if segment == 1 else array.reshape(len(array) // segment, -1)
    windows = np.lib.stride_tricks.sliding_window_view(array, segment + 2 * around, axis=0)[::segment]
    return np.ascontiguousarray(windows.transpose(0, 2, 1)).reshape(len(windows), -1)


def around_for(segment: int) -> int:
    """How many steps on either side of a segment its convolutions see."""
    return (max(_LEAST_WINDOW, _WINDOW * segment) - segment + 1) // 2


def segment_for(length: float) -> int:
    """How many steps of sequences of such a length to read as one: a power of two, 1 for short ones."""
    segment = 1
    while length > _MOST_STEPS * segment and segment < _LONGEST_SEGMENT:
        segment *= 2
    return segment


def look_at(
    arrays: Iterable[NDArray[np.float32]], most: int
) -> tuple[list[int], Iterator[NDArray[np.float32]]]:
    """How long the first arrays are, so many at most; and all arrays, these among them."""
    remaining = iter(arrays)
    first = list(islice(remaining, most))
    return [len(array) for array in first], chain(first, remaining)
