"""The frames of clips as the network reads them: of videos, of arrays, of sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.arrays import ARRAY_SUFFIXES, read_array
from throughtime.data.audio import AUDIO_SUFFIXES, LogMel, open_sound
from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.data.tables import METADATA
from throughtime.data.video import VIDEO_SUFFIXES, decode_video
from throughtime.errors import DataError, OptionError
from throughtime.tasks.tagger.options import FrameData

SUFFIXES = {"video": tuple(sorted(VIDEO_SUFFIXES)), "sound": AUDIO_SUFFIXES, "array": ARRAY_SUFFIXES}

# Frames that are decoded, encoded and labelled together: enough to be fast, and few in memory.
BLOCK = 64

Encode = Callable[[NDArray[np.uint8]], NDArray[Any]]
# Frames (N, ...), and the time of each (N,) where that is known.
Frames = tuple[NDArray[Any], NDArray[np.float64] | None]


def kind_of(path: str | Path) -> str:
    """ "video", "array" or "sound", by the file's name.

    Raises:
        DataError: it is none of them.
    """
    suffix = Path(path).suffix.lower()
    for kind, suffixes in SUFFIXES.items():
        if suffix in suffixes:
            return kind
    listed = "; ".join(f"{kind}s ({', '.join(suffixes)})" for kind, suffixes in SUFFIXES.items())
    raise DataError(f"{path}: clips are {listed}")


def clips_in(folder: Path, kind: str) -> list[Path]:
    """The clips of a kind in a folder that has no metadata, by name.

    Raises:
        DataError: there are none.
    """
    suffixes = SUFFIXES[kind]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise DataError(f"{folder} has neither {METADATA[0]} nor {kind}s in it ({', '.join(suffixes)})")
    return found


class FrameReader:
    """Reads the frames of clips as the network wants them.

    Args:
        kind: "video", "array" or "sound".
        data: how clips of each kind are read.
        image_size: video: frames are resized to this.
        encode: video: a frozen CNN, frames (N, H, W, 3) to features (N, F); None leaves the pixels.
        features: arrays: F; None takes any, until `accept` has seen the first.
        rate: sounds: samples a second; None takes any, until `accept` has seen the first.
    Attributes:
        rates: frames a second of the clips that were accepted, where they are known.
    """

    def __init__(
        self,
        kind: str,
        data: FrameData,
        image_size: int = 32,
        encode: Encode | None = None,
        features: int | None = None,
        rate: int | None = None,
    ) -> None:
        self.kind = kind
        self.features = features
        self.rate = rate
        self.rates: list[float] = []
        self._data = data
        self._image_size = image_size
        self._encode = encode
        self._rate_read: int | None = None

    def accept(self, frames: NDArray[Any], seconds: NDArray[np.float64] | None) -> None:
        """Hold later clips to what this one is like."""
        if self.kind == "array":
            self.features = frames.shape[1]
        if self.kind == "sound":
            self.rate = self._rate_read
        # A video may claim that all of its frames are shown at one moment.
        if seconds is not None and seconds[-1] > seconds[0]:
            self.rates.append((len(seconds) - 1) / float(seconds[-1] - seconds[0]))

    def blocks(self, path: str | Path) -> Iterator[Frames]:
        """The clip in blocks of at most `BLOCK` frames, with the time of each where that is known.

        Yields:
            (N, H, W, 3) uint8 or (N, F) float32, and (N,) seconds: of a sound, the middle of each frame.
        Raises:
            DataError: the clip cannot be used (the message names the file).
        """
        if kind_of(path) != self.kind:
            raise DataError(f"{path} is {_called(kind_of(path))}, where {_called(self.kind)} is expected")
        read = {"video": self._video, "array": self._array, "sound": self._sound}
        yield from read[self.kind](path)

    def read(self, path: str | Path) -> Frames:
        """The whole clip: (T, ...) and (T,) seconds where they are known.

        Raises:
            DataError: the clip cannot be used, or its frames take more memory than the limit.
        """
        blocks, size = [], 0
        for block in self.blocks(path):
            size += block[0].nbytes
            if self.kind != "array":
                EXAMPLE_BYTES.check(size, f"the frames of {path} take")
            blocks.append(block)
        frames = np.concatenate([block for block, _ in blocks])
        times = [seconds for _, seconds in blocks if seconds is not None]
        return frames, np.concatenate(times) if times else None

    def _video(self, path: str | Path) -> Iterator[Frames]:
        pixels: list[NDArray[np.uint8]] = []
        seconds: list[float] = []
        for frame in decode_video(path, self._image_size):
            pixels.append(frame.pixels)
            seconds.append(frame.seconds)
            if len(pixels) == BLOCK:
                yield self._encoded(pixels), np.array(seconds)
                pixels, seconds = [], []
        if pixels:
            yield self._encoded(pixels), np.array(seconds)

    def _array(self, path: str | Path) -> Iterator[Frames]:
        array, _ = read_array(path, None, self._data.columns, self._data.fill)
        if self.features is not None and array.shape[1] != self.features:
            raise DataError(f"{path} has {array.shape[1]} features a frame, expected {self.features}")
        rate = self._data.frame_rate
        for start in range(0, len(array), BLOCK):
            block = array[start : start + BLOCK]
            yield block, (start + np.arange(len(block))) / rate if rate else None

    def _sound(self, path: str | Path) -> Iterator[Frames]:
        with open_sound(path, self.rate) as sound:
            try:
                mel = log_mel(sound.rate, self._data)
            except OptionError as error:  # of a strange rate: with another the options are right
                raise DataError(f"{path}: {error}") from None
            self._rate_read, done = sound.rate, 0
            for found in mel.blocks(sound.pieces):
                for start in range(0, len(found), BLOCK):
                    block = found[start : start + BLOCK]
                    yield block, mel.middles(done + start, len(block))
                done += len(found)

    def _encoded(self, pixels: list[NDArray[np.uint8]]) -> NDArray[Any]:
        frames = np.stack(pixels)
        return frames if self._encode is None else self._encode(frames)


def log_mel(rate: int, data: FrameData) -> LogMel:
    """How sounds of some samples a second become frames."""
    return LogMel(rate, data.mel_bands, data.frame_seconds, data.frame_hop)


def starts_of(mel: LogMel, first: int, count: int) -> NDArray[np.float64]:
    """When what is said of a sound's frames begins, (N,) seconds: between the middles of two, or at 0.

    Args:
        mel: how the sound is cut.
        first: the number of the first frame.
        count: N.
    """
    starts = mel.middles(first, count) - mel.hop_samples / mel.rate / 2
    # The middle of the very first frame is half a window from the sound's start: what lies before counts too.
    return np.where(first + np.arange(count) == 0, 0.0, starts)


def _called(kind: str) -> str:
    return "an array" if kind == "array" else f"a {kind}"
