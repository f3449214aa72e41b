"""What a tagger's predictions look like: the segments of a clip, its frames, and the answers to a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import softmax
from throughtime.data.lines import STANDARD_INPUT, check_text
from throughtime.data.numbers import as_float32, read_number, reads_as_number
from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.targets.kinds import OneLabel, Target

# The outputs (N, W) of some frames of a clip, and when each is shown (N,), where that is known.
Block = tuple[NDArray[np.float32], NDArray[np.float64] | None]


def told(
    target: Target, blocks: Iterable[Block], clip: str, probabilities: bool = False
) -> Iterator[dict[str, Any]]:
    """What is said of a clip: the segments of its labels; or each frame with its labels or numbers.

    Args:
        target: what the outputs mean.
        blocks: of the clip, in order.
        clip: its name.
        probabilities: several labels: give the probability of each.
    """
    if isinstance(target, OneLabel):
        frames = (frame for outputs, seconds in blocks for frame in frame_labels(softmax(outputs), seconds))
        yield from segments(frames, clip, target.names)
        return
    count = 0
    for outputs, seconds in blocks:
        for place, row in enumerate(outputs):
            clock = {} if seconds is None else {"seconds": round(float(seconds[place]), 3)}
            every = {"probabilities": target.probabilities(row)} if probabilities else {}
            yield {"clip": clip, "frame": count, **clock, **target.say(row), **every}
            count += 1


@dataclass(frozen=True)
class FrameLabel:
    """What the model says of one frame.

    Args:
        label: its number.
        probability: what the model gives it.
        seconds: when the frame is shown, or None where that is not known.
    """

    label: int
    probability: float
    seconds: float | None


def frame_labels(
    probabilities: NDArray[np.float32], seconds: NDArray[np.float64] | None
) -> Iterator[FrameLabel]:
    """The most probable label of each frame.

    Args:
        probabilities: (N, C).
        seconds: (N,), or None.
    """
    labels = probabilities.argmax(-1)
    for row, label in enumerate(labels.tolist()):
        clock = None if seconds is None else float(seconds[row])
        yield FrameLabel(label, float(probabilities[row, label]), clock)


def segments(frames: Iterable[FrameLabel], clip: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Neighbouring frames with one label, each segment as soon as it ends.

    Yields:
        clip, start, end (not in it), their times in seconds where they are known, label, and the mean
        probability.
    """
    first: FrameLabel | None = None
    before: FrameLabel | None = None
    start = count = 0
    total = step = 0.0

    def finished(end: int, end_seconds: float | None) -> dict[str, Any]:
        assert first is not None
        times = {}
        if first.seconds is not None and end_seconds is not None:
            times = {"start_seconds": round(first.seconds, 3), "end_seconds": round(end_seconds, 3)}
        return {
            "clip": clip,
            "start": start,
            "end": end,
            **times,
            "label": names[first.label],
            "probability": round(total / (end - start), 4),
        }

    for frame in frames:
        if first is not None and frame.label != first.label:
            yield finished(count, frame.seconds)
            start, total, first = count, 0.0, None
        if first is None:
            first = frame
        if before is not None and before.seconds is not None and frame.seconds is not None:
            step = frame.seconds - before.seconds
        before, total, count = frame, total + frame.probability, count + 1
    if before is not None:
        # The last frame is shown for as long as the one before it.
        yield finished(count, None if before.seconds is None else before.seconds + step)


def rows_of_numbers(lines: Iterable[str], size: int, bad: BadRows) -> Iterator[NDArray[np.float32]]:
    """The frames of an array that comes line by line: numbers between commas or tabs.

    Args:
        lines: as they come. A first line of names is passed over, and so are empty lines.
        size: F, how many numbers a frame has.
        bad: what happens to lines that cannot be used.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.replace("\t", ",").split(",")
        if number == 1 and not all(map(reads_as_number, cells)):
            continue  # a header
        try:
            check_text(line)
            yield check_features(np.array([read_number(cell) for cell in cells]), size)
        except DataError as error:
            bad.report(STANDARD_INPUT, number, str(error))


def check_features(frame: NDArray[Any], size: int) -> NDArray[np.float32]:
    """One frame of an array, (F,) float32.

    Raises:
        DataError: its size or a value is wrong.
    """
    if frame.shape != (size,) or frame.dtype.kind not in "fiub":
        raise DataError(f"a frame of {frame.dtype} {frame.shape}, expected {size} numbers")
    return as_float32(frame, lambda feature: f"feature {feature}")


def check_picture(frame: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """One frame of a video, (size, size, 3) uint8; another size is resized.

    Raises:
        DataError: it is no picture in RGB.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise DataError(f"a frame of {frame.dtype} {frame.shape}, expected uint8 (H, W, 3)")
    if frame.shape[:2] == (size, size):
        return frame
    from throughtime.data.video import resize_frame

    return resize_frame(frame, size)


def kept_as_well(blocks: Iterator[Block], found: list[Block]) -> Iterator[Block]:
    """The blocks, and all of them in `found` as well."""
    for block in blocks:
        found.append(block)
        yield block
