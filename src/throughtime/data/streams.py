"""Tokens as parallel streams through time, for truncated BPTT and for evaluation with carried state."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import DataError, OptionError

IGNORED_TARGET = -100  # what torch's cross entropy leaves out by default

# Merity, Keskar and Socher 2018 ("Regularizing and Optimizing LSTM Language Models"), section 5:
# the mean is halved with probability 0.05, the standard deviation is 5 steps.
_PROBABILITY_OF_FULL_MEAN = 0.95
_STANDARD_DEVIATION = 5.0
_SHORTEST = 5


class ContiguousStreams:
    """A text cut into `batch_size` equal streams that run in parallel, each contiguous in time.

    Stream b reads on in chunk after chunk, so the state of row b carries over. At most `batch_size` tokens at
    the end are left out.

    Args:
        tokens: (N,) whole numbers.
        batch_size: B, the number of streams.
    Raises:
        DataError: there are too few tokens for one prediction in each stream.
    """

    def __init__(self, tokens: NDArray[Any], batch_size: int) -> None:
        if batch_size < 1:
            raise OptionError(f"batch_size must be 1 or above, not {batch_size}")
        self.batch_size = batch_size
        self.length = (len(tokens) - 1) // batch_size
        if self.length < 1:
            raise DataError(
                f"{len(tokens)} tokens are too few for {batch_size} streams of at least one prediction: "
                f"use a longer text or a smaller batch_size"
            )
        used = self.length * batch_size
        self._inputs = tokens[:used].reshape(batch_size, self.length)
        self._targets = tokens[1 : used + 1].reshape(batch_size, self.length)

    def chunk(
        self, start: int, length: int, streams: slice = slice(None)
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets of the steps [start, start + length), cut at the streams' end; each (T, B).

        Args:
            streams: some of them only.
        """
        steps = slice(start, start + length)
        return _time_first(self._inputs[streams, steps]), _time_first(self._targets[streams, steps])


class EvaluationStreams:
    """A text cut into streams such that every token but the first is predicted exactly once.

    The last stream is filled up; fillers have target `IGNORED_TARGET`. With one stream each prediction sees
    everything before it; with more, what comes before a stream's start is not seen.

    Args:
        tokens: (N,) whole numbers, N >= 2.
        streams: S, the number of streams; fewer are used where there are fewer predictions.
    Raises:
        DataError: there is nothing to predict.
    """

    def __init__(self, tokens: NDArray[Any], streams: int) -> None:
        self.predictions = len(tokens) - 1
        if self.predictions < 1:
            raise DataError(f"{len(tokens)} tokens leave nothing to predict: at least 2 are needed")
        self.length = -(-self.predictions // streams)
        self.batch_size = -(-self.predictions // self.length)
        self._tokens = tokens

    def chunk(self, start: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets of the steps [start, start + length), cut at the streams' end; each (T, S)."""
        stop = min(start + length, self.length)
        positions = np.arange(start, stop)[:, None] + np.arange(self.batch_size)[None, :] * self.length
        real = positions < self.predictions
        positions = np.where(real, positions, 0)
        inputs = self._tokens[positions].astype(np.int64)
        targets = np.where(real, self._tokens[positions + 1].astype(np.int64), IGNORED_TARGET)
        return inputs, targets


class ChunkLengths:
    """How many steps the next chunk has.

    Args:
        mean: in steps; 0 takes all that remains in one chunk (full BPTT).
        mode: "fixed", or "random" around the mean, so that the cuts fall elsewhere in every epoch.
        seed: of the random lengths.
    Source: Merity, Keskar and Socher 2018, section 5.
    """

    def __init__(self, mean: int, mode: Literal["fixed", "random"] = "fixed", seed: int = 0) -> None:
        if mean < 0:
            raise OptionError(f"the chunk length must be 0 (full BPTT) or above, not {mean}")
        self.mean = mean
        self.mode = mode
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def next(self, remaining: int) -> int:
        """The length of the next chunk, from 1 to `remaining`."""
        if self.mean == 0:
            return remaining
        if self.mode == "fixed":
            return min(self.mean, remaining)
        mean = self.mean if self._generator.random() < _PROBABILITY_OF_FULL_MEAN else self.mean / 2
        length = int(self._generator.normal(mean, _STANDARD_DEVIATION))
        return min(max(_SHORTEST, length), remaining)

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on exactly here; JSON can hold it."""
        return self._generator.bit_generator.state  # type: ignore[return-value]

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self._generator.bit_generator.state = state


def _time_first(block: NDArray[Any]) -> NDArray[np.int64]:
    return np.ascontiguousarray(block.T, dtype=np.int64)
