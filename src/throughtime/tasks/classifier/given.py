"""What a classifier reads of its examples: texts or features, a second text, and what stands beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import pad
from throughtime.data.conditions import as_arrays

SECOND, SECOND_LENGTHS, NUMBERS = "second", "second_lengths", "numbers"


@dataclass(frozen=True)
class Encoded:
    """One example as the network reads it.

    Args:
        first: tokens (T,) or features (T, F).
        second: the tokens of its second text.
        beside: categories and numbers, as `Conditions.encode` gives them.
    """

    first: NDArray[Any]
    second: NDArray[Any] | None = None
    beside: tuple[list[int], list[float]] | None = None


@dataclass(frozen=True)
class Given:
    """N examples as the network reads them.

    Args:
        examples: what has a length and gives arrays (T_i, ...) by number.
        second: likewise, the tokens (S_i,) of each one's second text.
        categories: (N, K) int64, the numbers of the values of K conditions.
        numbers: (N, R) float32, conditions as they are.
    """

    examples: Any
    second: Any = None
    categories: NDArray[np.int64] | None = None
    numbers: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @classmethod
    def of(cls, rows: Sequence[Encoded]) -> Given:
        """Examples that are at hand; all have the same parts."""
        beside = [row.beside for row in rows if row.beside is not None]
        categories, numbers = as_arrays(beside) if beside else (None, None)
        second = None if rows[0].second is None else [row.second for row in rows]
        return cls([row.first for row in rows], second, categories, numbers)

    def lengths(self) -> NDArray[np.int64]:
        """(N,), or (N, 2) where there are second texts."""
        first = [len(self.examples[number]) for number in range(len(self))]
        if self.second is None:
            return np.array(first, np.int64)
        return np.array([first, [len(self.second[number]) for number in range(len(self))]], np.int64).T

    def part(self, numbers: NDArray[np.int64]) -> Given:
        """Some of the examples, read as they are asked for."""
        return replace(
            self,
            examples=_Part(self.examples, numbers),
            second=None if self.second is None else _Part(self.second, numbers),
            categories=None if self.categories is None else self.categories[numbers],
            numbers=None if self.numbers is None else self.numbers[numbers],
        )

    def batch(
        self, numbers: Iterable[int], least: tuple[int, int] = (0, 0)
    ) -> tuple[NDArray[Any], NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Padded inputs (T, B, ...), lengths (B,), and what the network takes besides, by name.

        Args:
            least: T is at least the first of these, and S of second texts the second.
        """
        rows = np.asarray(list(numbers), np.int64)
        more: dict[str, NDArray[Any]] = {}
        if self.second is not None:
            more[SECOND], more[SECOND_LENGTHS] = as_batch([self.second[number] for number in rows], least[1])
        if self.categories is not None:
            more |= {f"category_{place}": column for place, column in enumerate(self.categories[rows].T)}
        if self.numbers is not None and self.numbers.shape[1]:
            more[NUMBERS] = self.numbers[rows]
        return *as_batch([self.examples[number] for number in rows], least[0]), more


def given_of(examples: Any) -> Given:
    """Examples that may be arrays alone."""
    return examples if isinstance(examples, Given) else Given(examples)


def as_batch(arrays: list[NDArray[Any]], least: int = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Padded inputs (T, B, ...), of `least` steps or more, whole numbers as int64, and lengths (B,)."""
    # One array is a batch as it is; of a long sound, a copy would be large.
    alone = len(arrays) == 1 and arrays[0].flags.writeable and len(arrays[0]) >= least
    padded = arrays[0][:, None] if alone else pad(arrays, least=least)
    if padded.dtype.kind in "iu":
        padded = padded.astype(np.int64)
    return padded, np.array([len(array) for array in arrays])


class _Part:
    """Some of the arrays, read as they are asked for."""

    def __init__(self, arrays: Any, numbers: NDArray[np.int64]) -> None:
        self._arrays = arrays
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._arrays[int(self._numbers[index])]
