"""The labels of whole sequences, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches, pad

# Examples a batch where nothing is learned. Sorted by length they hold little padding, whatever their number.
_BATCH = 128
# Steps in a batch: with 256 outputs of a step 256 MB, three times over.
_STEPS = 1 << 18


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
    lengths = [len(examples[number]) for number in range(len(examples))]
    parts, order = [], list(_short_enough(LengthBatches(lengths, _BATCH, 0).in_order(), lengths))
    done = 0
    for numbers in order:
        parts.append(labeller.logits(*as_batch([examples[number] for number in numbers])))
        done += len(numbers)
        if progress is not None:
            progress(done / len(examples))
    return np.concatenate(parts)[np.argsort(np.concatenate(order))]


def _short_enough(
    batches: Iterable[NDArray[np.int64]], lengths: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    """The same batches, cut where they hold too many steps."""
    for batch in batches:
        # Sorted by length, so the last is the longest.
        together = max(1, _STEPS // max(lengths[batch[-1]], 1))
        yield from (batch[start : start + together] for start in range(0, len(batch), together))


def as_batch(arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Padded inputs (T, B, ...), whole numbers as int64, and lengths (B,)."""
    # One array is a batch as it is; of a long sound, a copy would be large.
    alone = len(arrays) == 1 and arrays[0].flags.writeable
    padded = arrays[0][:, None] if alone else pad(arrays)
    if padded.dtype.kind in "iu":
        padded = padded.astype(np.int64)
    return padded, np.array([len(array) for array in arrays])
