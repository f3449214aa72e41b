"""What is learned of each frame: its label, its labels, or its numbers; read from the files of clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.arrays import read_array
from throughtime.data.labels import Labels
from throughtime.errors import DataError
from throughtime.targets.kinds import UNLABELLED, OneLabel, SeveralLabels, Target, TargetTraining, numbers_of
from throughtime.tasks.tagger.frame_labels import NO_LABEL, SegmentRows, read_frame_labels
from throughtime.tasks.tagger.segments import FrameScores


class FrameLabels(OneLabel):
    """One label for each frame, or none, measured by frames and by segments."""

    least = UNLABELLED

    def say(self, outputs: NDArray[np.floating]) -> dict[str, Any]:
        found = super().say(outputs)
        return {**found, "probability": round(found["probability"], 4)}

    def scores(self) -> FrameScores:  # type: ignore[override]
        return FrameScores(self.width)

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, frames right {metrics['val_accuracy']:.1%}, "
            f"macro F1 {metrics['val_macro_f1']:.1%}, edit {metrics['val_edit']:.1%}, "
            f"F1@50 {metrics['val_f1@50']:.1%}"
        )


class FrameTruth(ABC):
    """Reads the truth of clips, and holds later ones to what the first were like.

    Attributes:
        dtype: of what is kept for training.
    """

    dtype: Any

    @abstractmethod
    def read(
        self,
        source: Path | SegmentRows,
        count: int,
        seconds: Sequence[float] | None,
        is_sound: bool = False,
    ) -> NDArray[Any]:
        """The truth (T, ...) of one clip.

        Args:
            source: the file with it, or rows of the table of clips.
            count: T, the frames of the clip.
            seconds: when each is shown, where that is known.
            is_sound: whether the clip is a sound.
        Raises:
            DataError: the file cannot be used.
        """

    @abstractmethod
    def settle(
        self, truth: list[NDArray[Any]], training: TargetTraining, source: str
    ) -> tuple[Target, list[NDArray[Any]]]:
        """The target that the training's clips make, and their truth as it is kept.

        Raises:
            DataError: there is nothing to learn.
        """

    @abstractmethod
    def usable(self, truth: NDArray[Any]) -> int:
        """How many frames of a clip say something."""


class TruthByName(FrameTruth):
    """A label's name for each frame, or for ranges of them.

    Args:
        target: what is known; None lets the clips say which labels there are.
        background: the label of frames that have none; None leaves them without one.
    """

    dtype = np.int16

    def __init__(self, target: OneLabel | None = None, background: str | None = None) -> None:
        self._known: Sequence[str] | None = None
        self._background = background
        self._numbers: dict[str, int] = {}
        if target is not None:
            self._know(target.names)

    def read(
        self,
        source: Path | SegmentRows,
        count: int,
        seconds: Sequence[float] | None,
        is_sound: bool = False,
    ) -> NDArray[np.int64]:
        names = read_frame_labels(source, count, seconds, self._known, is_sound)
        if self._background:
            names = [name or self._background for name in names]
        # Only now, so that a clip that is left out adds no label.
        for name in dict.fromkeys(names):
            # Where training had no frame without a label, the model does not know the background.
            if name != NO_LABEL and self._known is None:
                self._numbers.setdefault(name, len(self._numbers))
        return np.array([self._numbers.get(name, UNLABELLED) for name in names])

    def settle(
        self, truth: list[NDArray[Any]], training: TargetTraining, source: str
    ) -> tuple[Target, list[NDArray[Any]]]:
        labels = Labels.of(self._numbers, source)
        names = labels.names
        if len(names) < 2:
            what = f"only the label {names[0]!r}" if names else "not a single label"
            raise DataError(f"{source}: the training clips have {what}: a tagger needs at least two")
        # Labels were numbered as they came; their sorted order is easier to read everywhere.
        place = np.array([labels.number(name) for name in self._numbers])
        self._know(names)
        return FrameLabels(labels), [np.where(one < 0, one, place[one]) for one in truth]

    def _know(self, names: Sequence[str]) -> None:
        self._known, self._numbers = names, {name: number for number, name in enumerate(names)}

    def usable(self, truth: NDArray[Any]) -> int:
        return int((truth != UNLABELLED).sum())


class TruthByValues(FrameTruth):
    """An array (T, C) for each clip: whether each label is given, or a number for each column.

    Args:
        target: what is known; None lets the first clip say how many values there are, and their names.
    """

    def __init__(self, target: Target | None = None) -> None:
        self._names = None if target is None else target.names

    def read(
        self,
        source: Path | SegmentRows,
        count: int,
        seconds: Sequence[float] | None,
        is_sound: bool = False,
    ) -> NDArray[Any]:
        if isinstance(source, SegmentRows):
            raise DataError(f"{source.table} has a label for each range: leave out --target")
        path = source
        values, names = read_array(path, self._names)
        if len(values) != count:
            raise DataError(f"{path} has {len(values)} rows for a clip of {count} frames")
        found = self._checked(values, path)
        self._names = names
        return found

    def usable(self, truth: NDArray[Any]) -> int:
        return len(truth)

    def _checked(self, values: NDArray[np.float32], path: Path) -> NDArray[Any]:
        return values


class TruthByFlags(TruthByValues):
    """Whether each of C labels is given, (T, C) of 0 and 1."""

    dtype = np.uint8

    def _checked(self, values: NDArray[np.float32], path: Path) -> NDArray[np.uint8]:
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            row, column = map(int, np.argwhere(wrong)[0])
            raise DataError(
                f"{path}, frame {row}, label {column}: {values[row, column]:g}, expected 0 or 1, whether the "
                f"label is given"
            )
        return values.astype(np.uint8)

    def settle(
        self, truth: list[NDArray[Any]], training: TargetTraining, source: str
    ) -> tuple[Target, list[NDArray[Any]]]:
        assert self._names is not None
        if not any(one.any() for one in truth):
            raise DataError(f"{source}: no frame of the training clips has a label")
        return SeveralLabels(self._names), truth


class TruthByNumbers(TruthByValues):
    """D numbers for each frame, (T, D)."""

    dtype = np.float32

    def settle(
        self, truth: list[NDArray[Any]], training: TargetTraining, source: str
    ) -> tuple[Target, list[NDArray[Any]]]:
        assert self._names is not None
        return numbers_of(self._names, np.concatenate(truth), training, source), truth


def truth_of(kind: str, target: Any = None, background: str | None = None) -> FrameTruth:
    """What reads the truth of a kind: label, labels or number.

    Args:
        kind: of target.
        target: what is known; None lets the clips say.
        background: the label of frames that have none, where each has one.
    """
    if kind == "label":
        return TruthByName(target, background)
    return {"labels": TruthByFlags, "number": TruthByNumbers}[kind](target)
