"""Work on each of several items, in their order: here one after the other, elsewhere shared out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

# Takes items and a function of one that gives arrays; yields these for each item in order. Where several
# processes train together, each computes every W-th, and all get everything: see `Processes.in_turns`.
Turns: TypeAlias = Callable[
    [Sequence[Any], Callable[[Any], Sequence[NDArray[Any]]]], Iterator[Sequence[NDArray[Any]]]
]


def one_by_one(
    items: Sequence[Any], compute: Callable[[Any], Sequence[NDArray[Any]]]
) -> Iterator[Sequence[NDArray[Any]]]:
    """What a function gives for each item."""
    return map(compute, items)
