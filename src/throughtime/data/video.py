"""Video files as streams of frames, through PyAV: one frame in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import FRAME_PIXELS
from throughtime.errors import DataError, MissingExtraError
from throughtime.extras import install_command

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv"})


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        seconds: when it is shown, from the first frame's 0.
    """

    pixels: NDArray[np.uint8]
    seconds: float


def decode_video(path: str | Path, size: int) -> Iterator[VideoFrame]:
    """Read a video frame by frame, each resized to `size` x `size` without regard to its proportions.

    Args:
        path: any file that FFmpeg reads.
        size: H and W.
    Raises:
        DataError: the file is missing, has no video, is broken, or ends before it should; or its frames have
            more pixels than the limit.
        MissingExtraError: PyAV is not installed.
    """
    av = require_av()
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file (the working directory is {Path.cwd()})")
    decoded = packets = 0
    first = last = None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError(f"{path} has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DataError(f"{path} has video in a codec that is not known here")
            FRAME_PIXELS.check(stream.width * stream.height, f"{path} has frames of")
            # Frames may grow in the middle, too: then the decoder refuses them.
            stream.codec_context.options = {"max_pixels": str(FRAME_PIXELS.value)}
            promised, rate, duration = stream.frames, stream.average_rate, container.duration
            alone = len(container.streams) == 1
            for packet in container.demux(stream):
                packets += bool(packet.size)
                for frame in packet.decode():
                    clock = frame.time if frame.time is not None else decoded / float(rate or 25)
                    first = clock if first is None else first
                    last = clock - first
                    decoded += 1
                    small = frame.reformat(size, size, "rgb24", interpolation="AREA")
                    yield VideoFrame(small.to_ndarray(), last)
    except av.FFmpegError as error:
        where = f" after frame {decoded - 1}" if decoded else ""
        raise DataError(f"{path} is broken or cut off{where}: {error.strerror}") from None
    if last is None:
        raise DataError(f"{path} has no frames: it is broken or empty")
    if packets < promised:
        raise DataError(f"{path} is cut off: it has {packets} of the {promised} frames that it announces")
    if not promised and duration and rate:
        _check_duration(path, last, duration / av.time_base, 1 / float(rate), alone)


def _check_duration(path: Path, last: float, announced: float, frame: float, alone: bool) -> None:
    """Matroska announces no number of frames, but how long it lasts."""
    # The duration is that of the longest stream: sound may go on after the picture.
    tolerance = 2 * frame if alone else max(2 * frame, 0.1 * announced)
    if last + frame < announced - tolerance:
        raise DataError(
            f"{path} is cut off: it has {last + frame:.2f} of the {announced:.2f} seconds that it announces"
        )


def resize_frame(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A frame (H, W, 3) as `decode_video` would resize it, (size, size, 3)."""
    frame = require_av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(size, size, "rgb24", interpolation="AREA").to_ndarray()


def write_video(path: str | Path, frames: Iterator[NDArray[np.uint8]], rate: int = 25) -> None:
    """Write RGB frames (H, W, 3) with even sizes as H.264, or MPEG-4 where the encoder is missing.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    av = require_av()
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    # One thread: with several, the encoder's output depends on how many there are. Even so its bytes differ
    # once in a while for the same frames, on a busy machine.
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"threads": "1"})
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            # Converted here: where `encode` converts, the bytes differ each time.
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def require_av() -> Any:
    """The PyAV module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError(
            f"reading video needs PyAV: install it with `{install_command('video')}`"
        ) from None
    return av
