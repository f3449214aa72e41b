"""A stream that is labelled as it comes: frames of video, rows of numbers, or samples of a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.audio import LogMel, LogMelStream
from throughtime.data.numbers import as_float32
from throughtime.errors import DataError, RunError
from throughtime.targets.kinds import Target
from throughtime.tasks.tagger.frame_predictions import check_features, check_picture
from throughtime.tasks.tagger.frame_reader import BLOCK, Encode, log_mel, starts_of
from throughtime.tasks.tagger.prediction import FrameStepper, FrameTagger

if TYPE_CHECKING:
    from throughtime.tasks.tagger.options import FrameData


class FrameStream:
    """What comes in pieces, as frames that the network reads.

    Args:
        kind: "video", "array" or "sound".
        data: how frames are read.
        size: video: H and W of the frames; arrays: F.
        rate: sounds: samples a second.
        encode: video: a frozen CNN, or None.
    Attributes:
        given: frames or samples so far, which errors count by.
    """

    def __init__(
        self, kind: str, data: FrameData, size: int, rate: int | None, encode: Encode | None = None
    ) -> None:
        self._kind, self._size, self._encode = kind, size, encode
        self.given = 0
        self.mel = self._sound = None
        if kind == "sound":
            if rate is None:
                raise RunError("the run of a tagger of sounds has no rate")
            self.mel = log_mel(rate, data)
            self._sound = LogMelStream(self.mel)

    @property
    def rest(self) -> NDArray[np.float32]:
        """Samples that were given and that no frame is complete without; other streams have none."""
        return np.zeros(0, np.float32) if self._sound is None else self._sound.rest

    def stand(self, given: int, rest: NDArray[np.float32]) -> None:
        """Go on where a stream stood that had been given so much, and had this rest."""
        self.given = given
        if self._sound is not None:
            self._sound.rest = rest

    def read(self, chunk: NDArray[Any]) -> NDArray[Any]:
        """The frames (N, ...) that a chunk completes; see `FrameSession.feed`.

        Raises:
            DataError: the chunk has another shape, or a number is not finite.
        """
        array = np.asarray(chunk)
        if self._sound is not None:
            frames: NDArray[Any] = self._sound.feed(self._check_samples(array))
        else:
            frames = self._check_frames(array)
        self.given += len(array)
        if self._encode is None or not len(frames):
            return frames
        parts = [self._encode(frames[start : start + BLOCK]) for start in range(0, len(frames), BLOCK)]
        return np.concatenate(parts)

    def _check_frames(self, frames: NDArray[Any]) -> NDArray[Any]:
        check = check_features if self._kind == "array" else check_picture
        checked = []
        for place, frame in enumerate(frames):
            try:
                checked.append(check(frame, self._size))
            except DataError as error:
                raise DataError(f"frame {self.given + place} of the stream: {error}") from None
        return np.stack(checked) if checked else frames[:0]

    def _check_samples(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise DataError(
                f"samples of {samples.dtype} {samples.shape}, expected real numbers (N,) from -1 to 1: "
                f"divide 16-bit samples by 32768, and average channels"
            )
        return as_float32(samples, lambda place: f"sample {self.given + place} of the stream")


def clock(mel: LogMel | None, frame_rate: float | None, first: int, count: int) -> NDArray[np.float64] | None:
    """When frames from number `first` on begin, in seconds; None where that is not known."""
    if mel is not None:
        return starts_of(mel, first, count)
    return (first + np.arange(count)) / frame_rate if frame_rate else None


def said_of(
    target: Target, outputs: NDArray[np.float32], first: int, seconds: NDArray[np.float64] | None
) -> list[dict[str, Any]]:
    """What outputs (N, W) of frames say, as `FrameSession.feed` gives it.

    Args:
        target: what they mean.
        outputs: of frames that follow each other.
        first: the number of the first.
        seconds: of `clock`.
    """
    said = []
    for place, row in enumerate(outputs):
        when = {} if seconds is None else {"seconds": round(float(seconds[place]), 4)}
        said.append({"frame": first + place, **when, **target.say(row)})
    return said


class FrameSession:
    """One stream at constant memory: nothing is kept but the state and, of a sound, part of a window.

    Example:
        session = run.session()
        for samples in microphone:               # as many as come, (N,) in [-1, 1]
            for said in session.feed(samples):   # {"frame": 7, "seconds": 0.0775, "label": "seven"...}
                print(said)

    Args:
        tagger: the network.
        target: what its outputs mean.
        stream: what reads the chunks.
        frame_rate: frames a second of video and arrays, where that is known.
    Raises:
        OptionError: the tagger is bidirectional, and needs frames that have not come yet.
    """

    def __init__(
        self,
        tagger: FrameTagger,
        target: Target,
        stream: FrameStream,
        frame_rate: float | None = None,
    ) -> None:
        self._stepper = FrameStepper(tagger)
        self._target = target
        self._stream = stream
        self._frame_rate = frame_rate
        self._frames = 0

    def feed(self, chunk: NDArray[Any]) -> list[dict[str, Any]]:
        """Take what came, and say what can be said of it.

        However a stream is cut into chunks, the answers are the same; a sound gets its answer for a frame
        once the last sample of that frame is there.

        Args:
            chunk: of a sound (N,) samples in [-1, 1], real numbers; of arrays (N, F); of video (N, H, W, 3)
                uint8, RGB, of any size.
        Returns:
            Of each frame: frame, its number from 0; seconds, when it begins, where that is known; and what is
            said: label and probability, or labels, or value, low and high.
        Raises:
            DataError: the chunk has another shape, or a number is not finite.
        """
        first = self._frames
        outputs = self.outputs(chunk)
        return said_of(
            self._target, outputs, first, clock(self._stream.mel, self._frame_rate, first, len(outputs))
        )

    def outputs(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        """The network's outputs (T, W) of the frames that a chunk completes.

        Raises:
            DataError: as of `feed`.
        """
        frames = self._stream.read(chunk)
        parts = [self._stepper.feed(frames[start : start + BLOCK]) for start in range(0, len(frames), BLOCK)]
        found = np.concatenate(parts) if parts else np.zeros((0, self._target.width), np.float32)
        for row in found:
            self._target.checked(row, f"frame {self._frames} of the stream")
            self._frames += 1
        return found
