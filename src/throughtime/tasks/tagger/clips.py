"""A folder of clips with a label for every frame: the list of them, and their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.arrays import ARRAY_SUFFIXES, Fill, read_array
from throughtime.data.file_names import FILE_COLUMN, file_of
from throughtime.data.limits import EXAMPLE_BYTES
from throughtime.data.lines import shown
from throughtime.data.tables import METADATA, BadRows, find_metadata, read_rows
from throughtime.data.video import VIDEO_SUFFIXES, decode_video
from throughtime.errors import DataError

COLUMNS = (FILE_COLUMN, "labels")
# How people call the three parts.
PARTS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

# Frames that are decoded, encoded and labelled together: enough to be fast, and few in memory.
BLOCK = 64

Encode = Callable[[NDArray[np.uint8]], NDArray[Any]]


@dataclass(frozen=True)
class Clip:
    """One row of the metadata.

    Args:
        table: the metadata file.
        line: the row's line in it.
        path: the video or the array.
        labels: the file with its labels.
        part: training, validation or test; "" where the metadata says nothing.
        group: clips of one group (a person, a day) belong together; "" where the metadata says nothing.
    """

    table: Path
    line: int
    path: Path
    labels: Path
    part: str = ""
    group: str = ""


def list_clips(source: str | Path, bad: BadRows, allow_outside: bool = False) -> list[Clip]:
    """The clips of a folder, in the order of its metadata.

    Args:
        source: the folder or its metadata file, with the columns file_name and labels (paths beside it), and
            if wanted split and group.
        bad: what happens to rows that cannot be used.
        allow_outside: accept clips and labels outside the folder.
    Raises:
        DataError: there is no metadata, or it cannot be used.
    """
    table = find_metadata(source)
    if table is None:
        raise DataError(
            f"{source} holds no {' or '.join(METADATA)}: a table of clips with the columns file_name,labels"
        )
    clips = []
    for row in read_rows(table, bad, COLUMNS):
        name, labels, split, group = (
            str(value if (value := row.values.get(key)) is not None else "").strip()
            for key in (*COLUMNS, "split", "group")
        )
        if not name or not labels:
            bad.report(table, row.line, f"{'file_name' if not name else 'labels'} is empty")
        elif split and split.lower() not in PARTS:
            bad.report(table, row.line, f"split {shown(split)} is unknown: use train, validation or test")
        else:
            try:
                path, label_path = (file_of(table, one, allow_outside) for one in (name, labels))
            except DataError as error:
                bad.report(table, row.line, str(error))
                continue
            clips.append(Clip(table, row.line, path, label_path, PARTS.get(split.lower(), ""), group))
    if any(clip.part for clip in clips):
        # A row without a split is a training clip, as long as other rows have one.
        clips = [clip if clip.part else Clip(**{**vars(clip), "part": "training"}) for clip in clips]
    return clips


def split_clips(clips: Sequence[Clip], fraction: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Training and validation clips: by the metadata's split where it has one, else drawn by the seed.

    Args:
        clips: of `list_clips`.
        fraction: share of the groups (of the clips, where they have no group) to validate on.
        seed: of the draw.
    """
    if any(clip.part for clip in clips):
        return (
            [clip for clip in clips if clip.part == "training"],
            [clip for clip in clips if clip.part == "validation"],
        )
    groups = [clip.group or f"{clip.table} {clip.line}" for clip in clips]
    names = sorted(set(groups))
    count = round(fraction * len(names))
    if fraction > 0 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    generator = np.random.Generator(np.random.PCG64([seed, len(names)]))
    held_out = {names[index] for index in generator.permutation(len(names))[:count]}
    return (
        [clip for clip, group in zip(clips, groups, strict=True) if group not in held_out],
        [clip for clip, group in zip(clips, groups, strict=True) if group in held_out],
    )


def clips_in(folder: Path, kind: str) -> list[Path]:
    """The clips of a kind in a folder that has no metadata, by name.

    Raises:
        DataError: there are none.
    """
    suffixes = VIDEO_SUFFIXES if kind == "video" else ARRAY_SUFFIXES
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise DataError(
            f"{folder} has neither {METADATA[0]} nor {kind}s in it ({', '.join(sorted(suffixes))})"
        )
    return found


def kind_of(path: str | Path) -> str:
    """ "video" or "array", by the file's name.

    Raises:
        DataError: it is neither.
    """
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in ARRAY_SUFFIXES:
        return "array"
    raise DataError(
        f"{path}: clips are video ({', '.join(sorted(VIDEO_SUFFIXES))}) or arrays "
        f"({', '.join(sorted(ARRAY_SUFFIXES))})"
    )


class FrameReader:
    """Reads the frames of clips as the network wants them.

    Args:
        kind: "video" or "array".
        image_size: video: frames are resized to this.
        frame_rate: arrays: frames a second, or None.
        encode: video: a frozen CNN, frames (N, H, W, 3) to features (N, F); None leaves the pixels.
        features: arrays: F; None takes any, until `accept` has seen the first.
        columns, fill: arrays: see `read_array`.
    Attributes:
        rates: frames a second of the clips that were accepted, where they are known.
    """

    def __init__(
        self,
        kind: str,
        image_size: int = 32,
        frame_rate: float | None = None,
        encode: Encode | None = None,
        features: int | None = None,
        columns: str | None = None,
        fill: Fill = "none",
    ) -> None:
        self.kind = kind
        self.frame_rate = frame_rate
        self.features = features
        self._image_size = image_size
        self._encode = encode
        self._columns = columns
        self._fill: Fill = fill
        self.rates: list[float] = []

    def accept(self, frames: NDArray[Any], seconds: NDArray[np.float64] | None) -> None:
        """Hold later clips to what this one is like."""
        if self.kind == "array":
            self.features = frames.shape[1]
        if seconds is not None and len(seconds) > 1:
            self.rates.append((len(seconds) - 1) / float(seconds[-1]))

    def blocks(self, path: str | Path) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        """The clip in blocks of at most `BLOCK` frames, with the time of each where that is known.

        Yields:
            (N, H, W, 3) uint8 or (N, F) float32, and (N,) seconds.
        Raises:
            DataError: the clip cannot be used (the message names the file).
        """
        if kind_of(path) != self.kind:
            raise DataError(f"{path} is {_called(kind_of(path))}, where {_called(self.kind)} is expected")
        if self.kind == "array":
            yield from self._array_blocks(path)
            return
        pixels: list[NDArray[np.uint8]] = []
        seconds: list[float] = []
        for frame in decode_video(path, self._image_size):
            pixels.append(frame.pixels)
            seconds.append(frame.seconds)
            if len(pixels) == BLOCK:
                yield self._block(pixels), np.array(seconds)
                pixels, seconds = [], []
        if pixels:
            yield self._block(pixels), np.array(seconds)

    def read(self, path: str | Path) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """The whole clip: (T, ...) and (T,) seconds where they are known.

        Raises:
            DataError: the clip cannot be used, or its frames take more memory than the limit.
        """
        blocks, size = [], 0
        for block in self.blocks(path):
            size += block[0].nbytes
            if self.kind == "video":
                EXAMPLE_BYTES.check(size, f"the frames of {path} take")
            blocks.append(block)
        frames = np.concatenate([block for block, _ in blocks])
        times = [seconds for _, seconds in blocks if seconds is not None]
        return frames, np.concatenate(times) if times else None

    def _array_blocks(self, path: str | Path) -> Iterator[tuple[NDArray[Any], NDArray[np.float64] | None]]:
        array, _ = read_array(path, None, self._columns, self._fill)
        if self.features is not None and array.shape[1] != self.features:
            raise DataError(f"{path} has {array.shape[1]} features a frame, expected {self.features}")
        for start in range(0, len(array), BLOCK):
            block = array[start : start + BLOCK]
            clock = (start + np.arange(len(block))) / self.frame_rate if self.frame_rate else None
            yield block, clock

    def _block(self, pixels: list[NDArray[np.uint8]]) -> NDArray[Any]:
        frames = np.stack(pixels)
        return frames if self._encode is None else self._encode(frames)


def _called(kind: str) -> str:
    return "a video" if kind == "video" else "an array"
