"""Clips of any length as parallel streams of chunks, for truncated BPTT with carried state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """Frames [start, stop) of a clip, of which [counted_from, counted_to) count.

    The others are context: the network reads them, and they add nothing to the loss.
    """

    clip: int
    start: int
    stop: int
    counted_from: int
    counted_to: int

    @property
    def length(self) -> int:
        """Frames, with the context."""
        return self.stop - self.start


def whole_clips(lengths: Sequence[int]) -> list[Window]:
    """One window for each clip, all of it."""
    return [Window(clip, 0, length, 0, length) for clip, length in enumerate(lengths)]


def windows_with_context(lengths: Sequence[int], chunk: int, context: int) -> list[Window]:
    """Each clip cut into windows that count `chunk` frames, and read `context` more on either side.

    For a network that reads backwards as well: its state cannot be carried from chunk to chunk, as it comes
    from both ends. Each frame counts in exactly one window.
    """
    windows = []
    for clip, length in enumerate(lengths):
        for begin in range(0, length, chunk):
            end = min(begin + chunk, length)
            windows.append(Window(clip, max(begin - context, 0), min(end + context, length), begin, end))
    return windows


@dataclass(frozen=True)
class Piece:
    """Steps [start, stop) of one window: what one row reads in one chunk."""

    window: Window
    start: int
    stop: int

    @property
    def frames(self) -> slice:
        """Where in the clip it is."""
        return slice(self.window.start + self.start, self.window.start + self.stop)


@dataclass(frozen=True)
class Chunk:
    """What the rows of a batch read next.

    Args:
        pieces: one for each row. The first `len(kept)` go on where rows of the chunk before stopped; the
            others begin a window.
        kept: which rows of the chunk before they are.
    """

    pieces: list[Piece]
    kept: NDArray[np.int64]


class ClipStreams:
    """Reads windows in up to `batch` rows, chunk after chunk; a row that is done takes the next window.

    So the rows stay full whatever the lengths are, and a state belongs to one clip only. Where no window is
    left, the batch gets smaller.

    Args:
        windows: what there is to read.
        batch: B, the largest number of rows.
        chunk: steps in a chunk, at most; 0 reads each window in one go.
    """

    def __init__(self, windows: Sequence[Window], batch: int, chunk: int) -> None:
        self._windows = windows
        self._batch = batch
        self._chunk = chunk
        self._total = sum(window.length for window in windows)
        self.start(np.arange(len(windows)))

    def start(self, order: NDArray[np.integer]) -> None:
        """Begin again, with the windows in another order."""
        self._order = order
        self._taken = 0
        self._read = 0
        self._rows: list[list[int]] = []

    @property
    def read(self) -> int:
        """Steps that were read since the start."""
        return self._read

    @property
    def progress(self) -> float:
        """Share of the steps that has been read."""
        return self._read / max(self._total, 1)

    def next(self) -> Chunk | None:
        """The next chunk, or None at the end. Moves on."""
        kept = [row for row, (window, step) in enumerate(self._rows) if step < self._windows[window].length]
        rows = [self._rows[row] for row in kept]
        while len(rows) < self._batch and self._taken < len(self._order):
            rows.append([int(self._order[self._taken]), 0])
            self._taken += 1
        if not rows:
            return None
        pieces = []
        for row in rows:
            window, start = self._windows[row[0]], row[1]
            row[1] = window.length if self._chunk == 0 else min(start + self._chunk, window.length)
            pieces.append(Piece(window, start, row[1]))
            self._read += row[1] - start
        self._rows = rows
        return Chunk(pieces, np.array(kept, dtype=np.int64))

    def state(self) -> dict[str, Any]:
        """The position, as JSON can hold it; the order is the caller's to give again."""
        return {"taken": self._taken, "read": self._read, "rows": [list(row) for row in self._rows]}

    def holds(self, state: dict[str, Any]) -> bool:
        """Whether a state is a place in these windows."""
        return (
            0 <= state["taken"] <= len(self._windows)
            and 0 <= state["read"] <= self._total
            and len(state["rows"]) <= self._batch
            and all(
                0 <= window < len(self._windows) and 0 <= step <= self._windows[window].length
                for window, step in state["rows"]
            )
        )

    def restore(self, state: dict[str, Any], order: NDArray[np.integer]) -> None:
        """Go on where `state()` was taken."""
        self.start(order)
        self._taken, self._read = int(state["taken"]), int(state["read"])
        self._rows = [[int(window), int(step)] for window, step in state["rows"]]
