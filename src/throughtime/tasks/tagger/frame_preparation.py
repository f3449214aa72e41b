"""From a folder of clips to what training reads: frames, labels and statistics, in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.features import HIGHEST_RATE
from throughtime.data.sequences import Sequences, write_sequences
from throughtime.data.tables import BadRows
from throughtime.errors import DataError, OptionError
from throughtime.targets.kinds import OneLabel, Target
from throughtime.tasks.tagger.clips import Clip, list_clips, split_clips
from throughtime.tasks.tagger.frame_labels import SegmentRows
from throughtime.tasks.tagger.frame_reader import Encode, FrameReader, kind_of
from throughtime.tasks.tagger.frame_targets import FrameTruth, truth_of
from throughtime.tasks.tagger.options import LEAST_FRAME_RATE, FrameData, TaggerConfig

if TYPE_CHECKING:
    from throughtime.training.progress import Progress

DATA = Path("data")
# How clips of one kind are read is nothing to the others.
_OPTIONS_OF = {
    "video": ("image_encoder", "image_size", "pixels"),
    "array": ("columns", "fill", "frame_rate"),
    "sound": ("mel_bands", "frame_seconds", "frame_hop"),
}
_USUAL = {name: FrameData.model_fields[name].default for names in _OPTIONS_OF.values() for name in names}


@dataclass(frozen=True)
class FrameFacts:
    """What predicting needs to know of the training's clips: what frames.json holds.

    Args:
        labels: C names, sorted, where a frame has one label; none where target.json says what it has.
        kind: "video", "array" or "sound".
        frame_rate: frames a second of the training clips, or None where that is not known.
        mean, deviation: of each feature; None where the network reads pictures.
        rate: samples a second of sounds; None for other clips.
    """

    labels: tuple[str, ...]
    kind: Literal["video", "array", "sound"]
    frame_rate: Annotated[FiniteFloat, Field(ge=LEAST_FRAME_RATE)] | None
    mean: tuple[FiniteFloat, ...] | None
    deviation: tuple[Annotated[FiniteFloat, Field(ge=0)], ...] | None
    rate: Annotated[int, Field(ge=1, le=HIGHEST_RATE)] | None = None

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a label occurs twice")
        if len(self.labels) == 1:
            raise ValueError("labels: there is only one")
        if len(self.mean or ()) != len(self.deviation or ()) or (self.mean is None and self.kind != "video"):
            raise ValueError("mean and deviation do not fit together")
        if (self.rate is not None) != (self.kind == "sound"):
            raise ValueError("rate: sounds have one, and nothing else has")


def frames_file(folder: Path, part: str) -> Path:
    """Where the frames of a part are."""
    return folder / f"{part}.frames.npy"


def labels_file(folder: Path, part: str) -> Path:
    """Where the labels of a part are."""
    return folder / f"{part}.labels.npy"


def prepare_clips(
    folder: Path, config: TaggerConfig, frame_size: int, encode: Encode | None, show: Progress
) -> tuple[FrameFacts, Target]:
    """Read the clips once and write their frames and labels below the run folder.

    Args:
        folder: the run folder.
        config: which clips, and how.
        frame_size: video: frames are resized to it.
        encode: a frozen CNN, or None.
        show: where progress and remarks go.
    Returns:
        What frames.json holds, and what is learned of each frame.
    Raises:
        DataError: the clips cannot be used.
    """
    data = config.data
    bad = BadRows(data.skip_bad)
    training, validation = _parts(config, bad)
    if not training:
        raise DataError(f"{data.source} has no clip to train on: every row is of another split")
    kind = _kind_of_first(training, bad)
    _refuse_of_other_kinds(config, kind)
    reader = FrameReader(kind, data, frame_size, encode)
    done, total = 0, len(training) + len(validation)

    def progress(share: float) -> None:
        nonlocal done
        done += 1
        show.preparing("reading the clips", done, total)

    place = folder / DATA
    truth = truth_of(data.target, background=data.background)
    found = write_frames(place, "training", training, reader, truth, bad, progress)
    if not found:
        raise DataError(f"{data.source} has no clip that can be used ({bad.summary()})")
    target, found = truth.settle(found, config.training, data.source)
    write_labels(place, "training", found, truth.dtype)
    held_out = write_frames(place, "validation", validation, reader, truth, bad, progress)
    if held_out:
        write_labels(place, "validation", held_out, truth.dtype)
        if not any(truth.usable(one) for one in held_out):
            raise DataError(f"{data.source}: no frame of the {len(held_out)} validation clips has a label")
    else:
        show.remark("no clips are held out for validation: the last weights are kept")
    if bad.count:
        show.remark(bad.summary())
    mean = deviation = None
    if reader.kind != "video" or encode is not None:
        mean, deviation = _statistics(Sequences.open(frames_file(place, "training")))
    rates = reader.rates
    rate = float(np.median(rates)) if rates else None
    names = target.names if isinstance(target, OneLabel) else ()
    return FrameFacts(names, reader.kind, rate, mean, deviation, reader.rate), target  # type: ignore[arg-type]


def write_frames(
    folder: Path,
    part: str,
    clips: Sequence[Clip],
    reader: FrameReader,
    truth: FrameTruth,
    bad: BadRows,
    progress: Callable[[float], None] | None = None,
) -> list[NDArray[Any]]:
    """Write the frames of clips, one clip in memory at a time, and read their labels.

    Args:
        folder, part: where to, see `frames_file`.
        clips: which.
        reader: how.
        truth: reads what there is to learn of each frame.
        bad: what happens to clips that cannot be used.
        progress: called with the share that is done, after each clip.
    Returns:
        The truth (T_i, ...) of each clip that could be used; where there is none, no file is written.
    """
    found: list[NDArray[Any]] = []

    def frames() -> Iterator[NDArray[Any]]:
        for count, clip in enumerate(clips, start=1):
            try:
                array, seconds = reader.read(clip.path)
                times = None if seconds is None else seconds.tolist()
                one = truth.read(clip.labels, len(array), times, reader.kind == "sound")
            except DataError as error:
                own = isinstance(clip.labels, SegmentRows)
                bad.report(clip.table, clip.line, str(error).removeprefix(f"{clip.table} " if own else ""))
            else:
                found.append(one)
                reader.accept(array, seconds)
                yield array
            if progress is not None:
                progress(count / len(clips))

    usable = frames()
    first = next(usable, None)
    if first is not None:
        path = frames_file(folder, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sequences(path, chain([first], usable))
    return found


def write_labels(folder: Path, part: str, truth: Sequence[NDArray[Any]], dtype: Any) -> None:
    """Write the truth of clips beside their frames."""
    write_sequences(labels_file(folder, part), truth, dtype)


def _parts(config: TaggerConfig, bad: BadRows) -> tuple[list[Clip], list[Clip]]:
    data = config.data
    clips = list_clips(data.source, bad, data.allow_outside_files)
    if data.validation is None:
        return split_clips(clips, data.validation_fraction, config.training.seed)
    others = list_clips(data.validation, bad, data.allow_outside_files)
    validation = [clip for clip in others if clip.part == "validation"] or others
    return [clip for clip in clips if clip.part in ("", "training")], validation


def _kind_of_first(clips: Sequence[Clip], bad: BadRows) -> str:
    """What the clips are, by the first whose name tells; the others must agree with it."""
    for clip in clips:
        try:
            return kind_of(clip.path)
        except DataError as error:
            # Counted when it is read.
            if not bad.skip:
                bad.report(clip.table, clip.line, str(error))
    raise DataError(f"{clips[0].table} names no video, no sound and no array")


def _refuse_of_other_kinds(config: TaggerConfig, kind: str) -> None:
    """Refuse options that say how clips of another kind are read.

    Raises:
        OptionError: one was given.
    """
    for other, names in _OPTIONS_OF.items():
        given = [name for name in names if other != kind and name in config.given("data")]
        given = [name for name in given if getattr(config.data, name) != _USUAL[name]]
        if given:
            flag = "--" + given[0].replace("_", "-")
            raise OptionError(f"{flag} is for {other}s, and {config.data.source} names {kind}s: leave it out")


def _statistics(frames: Sequences) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each feature over all frames."""
    count, total = 0, np.zeros(frames.values.shape[1])
    for index in range(len(frames)):
        total += frames[index].sum(0, dtype=np.float64)
        count += len(frames[index])
    mean = total / count
    # The second pass costs a read, and loses no digits where the mean is far from 0.
    squares = np.zeros_like(mean)
    for index in range(len(frames)):
        squares += np.square(frames[index] - mean).sum(0)
    return tuple(mean.tolist()), tuple(np.sqrt(squares / count).tolist())
