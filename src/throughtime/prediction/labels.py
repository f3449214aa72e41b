"""The labels of whole sequences, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches, pad

# Examples a batch where nothing is learned. Sorted by length they hold little padding, whatever their number.
_BATCH = 128


class SequenceLabeller(Protocol):
    """A classifier, whatever runs it."""

    def logits(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (B, C) of each sequence's classes.

        Args:
            inputs: (T, B) int64 tokens, or (T, B, F) float32; what lies past a length is ignored.
            lengths: (B,), each in [1, T].
        """
        ...


def all_logits(
    labeller: SequenceLabeller, examples: Any, progress: Callable[[float], None] | None = None
) -> NDArray[np.float32]:
    """Logits (N, C) in the order of the examples.

    Args:
        labeller: the network.
        examples: what has a length and gives arrays (T, ...) by number.
        progress: called with the share that is done.
    """
    batches = LengthBatches([len(examples[number]) for number in range(len(examples))], _BATCH, 0)
    parts, order = [], batches.in_order()
    done = 0
    for numbers in order:
        parts.append(labeller.logits(*as_batch([examples[number] for number in numbers])))
        done += len(numbers)
        if progress is not None:
            progress(done / len(examples))
    return np.concatenate(parts)[np.argsort(np.concatenate(order))]


def as_batch(arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Padded inputs (T, B, ...), whole numbers as int64, and lengths (B,)."""
    padded = pad(arrays)
    if padded.dtype.kind in "iu":
        padded = padded.astype(np.int64)
    return padded, np.array([len(array) for array in arrays])
