"""A stream that is written down as it comes: samples of a sound, or rows of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.audio import LogMelStream
from throughtime.data.numbers import as_float32
from throughtime.errors import DataError, OptionError
from throughtime.tasks.transcriber.decoding import BLANK

if TYPE_CHECKING:
    from throughtime.tasks.transcriber.run import TranscriberRun


class TranscriptSession:
    """The most probable path of one stream, at constant memory but for the text.

    Example:
        session = run.session()
        for samples in microphone:                 # as many as come, (N,) in [-1, 1]
            print(session.feed(samples), end="")   # the characters that they add

    Args:
        run: a transcriber that reads in one direction.
    Raises:
        OptionError: it is bidirectional, and needs what has not come yet.
    Attributes:
        text: all that was written so far.
    """

    def __init__(self, run: TranscriberRun) -> None:
        if run.network.looks_ahead:
            raise OptionError(
                "this transcriber is bidirectional: what it writes depends on what has not come yet, so "
                "it cannot run as a stream; train one with --no-bidirectional, or predict whole recordings"
            )
        assert run.space is not None
        self.text = ""
        self._run = run
        self._state = run.network.begin(1)
        self._last = BLANK
        self._given = 0
        self._size = len(run.space.names)
        self._waiting = np.zeros((0, self._size), np.float32)
        self._sound = LogMelStream(run.log_mel) if run.space.rate else None

    def feed(self, chunk: NDArray[Any]) -> str:
        """Take what came, and say which characters it adds.

        However a stream is cut into chunks, the text is the same.

        Args:
            chunk: of a sound (N,) samples in [-1, 1], real numbers; of arrays (N, F).
        Raises:
            DataError: the chunk has another shape, or a number is not finite.
        """
        frames = np.concatenate([self._waiting, self._frames(np.asarray(chunk))])
        stack = self._run.config.data.stack
        whole = len(frames) // stack * stack
        self._waiting = frames[whole:]
        return self._write(frames[:whole].reshape(-1, stack * self._size))

    def finish(self) -> str:
        """Say what the end adds, with the last stack of frames filled up as in a whole recording."""
        rest, self._waiting = self._waiting, self._waiting[:0]
        if not len(rest):
            return ""
        missing = self._run.config.data.stack - len(rest)
        return self._write(np.concatenate([rest, np.repeat(rest[-1:], missing, 0)]).reshape(1, -1))

    def _write(self, steps: NDArray[np.float32]) -> str:
        if not len(steps):
            return ""
        found, self._state = self._run.network.go_on(steps[:, None], np.array([len(steps)]), self._state)
        added = []
        for one in found[:, 0].argmax(1).tolist():
            if one not in (BLANK, self._last):
                added.append(one)
            self._last = one
        text = self._run.alphabet.decode(added)
        self.text += text
        return text

    def _frames(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        sound = self._sound
        fits = chunk.ndim == 1 and chunk.dtype.kind == "f"
        if sound is None:
            fits = chunk.ndim == 2 and chunk.shape[1] == self._size and chunk.dtype.kind in "fiu"
        if not fits:
            what = f"numbers (N, {self._size})" if sound is None else "real numbers (N,) from -1 to 1"
            raise DataError(f"a chunk of {chunk.dtype} {chunk.shape}, expected {what}")
        unit = "row" if sound is None else "sample"
        array = as_float32(chunk, lambda place, *_: f"{unit} {self._given + place} of the stream")
        self._given += len(chunk)
        return array if sound is None else sound.feed(array)
