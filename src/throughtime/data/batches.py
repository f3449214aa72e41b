"""Batches of sequences of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Sorting within pools of this many batches keeps padding near that of a full sort, and the order random.
_POOL_BATCHES = 50


class LengthBatches:
    """Which examples make a batch, in each epoch.

    The order of an epoch depends on (seed, epoch) alone, so a position in it is enough to resume.

    Args:
        lengths: (N,), the length of each example; (N, K) where an example has K lengths (source, target).
        batch: examples a batch; the last one may be smaller.
        seed: of the shuffling.
    """

    def __init__(self, lengths: ArrayLike, batch: int, seed: int) -> None:
        lengths = np.asarray(lengths)
        self._lengths = lengths[:, None] if lengths.ndim == 1 else lengths
        self._batch = batch
        self._seed = seed

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch)

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch, each the numbers of its examples, in random order."""
        generator = np.random.Generator(np.random.PCG64([self._seed, number]))
        order = generator.permutation(len(self._lengths))
        pool = self._batch * _POOL_BATCHES
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(order), pool):
            batches += self._cut(order[start : start + pool])
        return [batches[index] for index in generator.permutation(len(batches))]

    def in_order(self) -> list[NDArray[np.int64]]:
        """Batches of all examples sorted by length, for evaluation."""
        return self._cut(np.arange(len(self._lengths)))

    def padding(self) -> float:
        """Share of the steps that is padding, in the first epoch."""
        padded = sum(len(batch) * self._lengths[batch].max(0).sum() for batch in self.epoch(0))
        return 1 - self._lengths.sum() / max(padded, 1)

    def _cut(self, examples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        keys = [self._lengths[examples, column] for column in reversed(range(self._lengths.shape[1]))]
        ordered = examples[np.lexsort(keys)]
        return [ordered[start : start + self._batch] for start in range(0, len(ordered), self._batch)]


def pad(arrays: Sequence[NDArray[Any]], value: float = 0, least: int = 0) -> NDArray[Any]:
    """Stack arrays (T_i, ...) as (T, B, ...), T the longest or `least`, filled up with `value`."""
    longest = max(least, max(len(array) for array in arrays))
    padded = np.full((longest, len(arrays), *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for column, array in enumerate(arrays):
        padded[: len(array), column] = array
    return padded
