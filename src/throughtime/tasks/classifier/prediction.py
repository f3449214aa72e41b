"""What is said of whole sequences, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.data.batches import LengthBatches
from throughtime.data.turns import Turns, one_by_one
from throughtime.program.network import Functions
from throughtime.tasks.classifier.given import given_of

# Examples a batch where nothing is learned. Sorted by length they hold little padding, whatever their number.
_BATCH = 128
# Steps in a batch: with 256 outputs of a step 256 MB, three times over.
_STEPS = 1 << 18
# Steps of a long sequence that are read together: 16 MB of outputs of 256 units, and calling costs nothing.
_BLOCK_STEPS = 1 << 14


class SequenceLabeller(Protocol):
    """A classifier, whatever runs it."""

    def outputs(
        self, inputs: NDArray[Any], lengths: NDArray[np.int64], more: Mapping[str, NDArray[Any]] | None = None
    ) -> NDArray[np.float32]:
        """The outputs (B, W) of each sequence, as its target takes them.

        Args:
            inputs: (T, B) int64 tokens, or (T, B, F) float32; what lies past a length is ignored.
            lengths: (B,), each in [1, T].
            more: what stands beside, by the names of the network's inputs; see `Given.batch`.
        """
        ...


class Labeller:
    """A classifier by its functions.

    Args:
        network: its functions; without "outputs" every sequence is read in one go.
        pooling: how the outputs become one vector: "last", "mean", "max" or "attention".
        said: what its output is called.
    """

    def __init__(self, network: Functions, pooling: str, said: str = "logits") -> None:
        self._network = network
        self._pooling = pooling
        self._read = network.functions["sequence"].inputs[0].name
        self._said = said

    def outputs(
        self, inputs: NDArray[Any], lengths: NDArray[np.int64], more: Mapping[str, NDArray[Any]] | None = None
    ) -> NDArray[np.float32]:
        """As of `SequenceLabeller`."""
        more = more or {}
        if "outputs" in self._network.functions and inputs.shape[1] == 1 and len(inputs) > _BLOCK_STEPS:
            pooled = self._pooled_in_blocks(inputs[: lengths[0]])
            return self._network("answer", {"pooled": pooled, **more})[self._said]
        return self._network("sequence", {self._read: inputs, "lengths": lengths, **more})[self._said]

    def _pooled_in_blocks(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """One sequence (T, 1, ...), pooled, (1, M * D * H).

        Its outputs are never in memory together: those of six hours of sound would take 2 GB, three times
        over. Each direction is read for itself, so that blocks may come in its order; the outputs of the
        other, which come along, are passed over.
        """
        rows = np.zeros(1, np.int64)
        first = self._network("begin", {"rows": rows}) if "begin" in self._network.functions else {}
        pooled: list[NDArray[np.float32]] = []
        directions, direction = 1, 0
        while direction < directions:
            pool, state = _RunningPool(self._pooling), first
            starts = range(0, len(inputs), _BLOCK_STEPS)
            for start in reversed(starts) if direction else starts:
                block = inputs[start : start + _BLOCK_STEPS]
                found = self._network("outputs", {self._read: block, **state})
                state = {name: found[f"new_{name}"] for name in state}
                directions = found["outputs"].shape[3]
                own = found["outputs"][:, :, :, direction]
                pool.add(own[::-1] if direction else own)
            pooled.append(pool.result())
            direction += 1
        return np.stack(pooled, 2).reshape(1, -1)


class _RunningPool:
    """Pools the outputs (T_i, ...) of blocks in the order in which the recurrence has read them."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._steps = 0
        self._pool: NDArray[Any] | None = None

    def add(self, outputs: NDArray[np.float32]) -> None:
        """Take the next block."""
        self._steps += len(outputs)
        if self._kind == "last":
            self._pool = outputs[-1].copy()
        elif self._kind == "max":
            block = outputs.max(0)
            self._pool = block if self._pool is None else np.maximum(self._pool, block)
        else:
            block = outputs.sum(0, dtype=np.float64)
            self._pool = block if self._pool is None else self._pool + block

    def result(self) -> NDArray[np.float32]:
        """What all blocks give, without the axis of time."""
        assert self._pool is not None
        return (self._pool / self._steps if self._kind == "mean" else self._pool).astype(np.float32)


def all_outputs(
    labeller: SequenceLabeller,
    examples: Any,
    progress: Callable[[float], None] | None = None,
    turns: Turns = one_by_one,
) -> NDArray[np.float32]:
    """Outputs (N, W) in the order of the examples.

    Args:
        labeller: the network.
        examples: `Given`, or what has a length and gives arrays (T, ...) by number.
        progress: called with the share that is done.
        turns: how batches are gone through.
    """
    given = given_of(examples)
    lengths = given.lengths()
    parts, order = [], list(_short_enough(LengthBatches(lengths, _BATCH, 0).in_order(), lengths))
    done = 0

    def outputs(numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        inputs, sizes, more = given.batch(numbers)
        return [labeller.outputs(inputs, sizes, more) if more else labeller.outputs(inputs, sizes)]

    for numbers, (found,) in zip(order, turns(order, outputs), strict=True):
        parts.append(found)
        done += len(numbers)
        if progress is not None:
            progress(done / len(given))
    return np.concatenate(parts)[np.argsort(np.concatenate(order))]


def _short_enough(
    batches: Iterable[NDArray[np.int64]], lengths: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """The same batches, cut where they hold too many steps."""
    steps = lengths if lengths.ndim == 1 else lengths.max(1)
    for batch in batches:
        together = max(1, _STEPS // max(int(steps[batch].max()), 1))
        yield from (batch[start : start + together] for start in range(0, len(batch), together))
