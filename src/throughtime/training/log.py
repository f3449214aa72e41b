"""What a training leaves to read: metrics.jsonl, what trackers make of it, and a picture of the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from throughtime.errors import CheckpointError
from throughtime.files import GrowingFile
from throughtime.pictures.writing import write_picture
from throughtime.run.history import METRICS
from throughtime.run.loss_picture import PICTURE, loss_figure
from throughtime.trackers.following import Trackers

# Of a training that is long enough, the last fifth has 1 to 5 % of the fall.
_LATE, _MUCH = 0.8, 0.1
_FEWEST_POINTS = 5


class MetricsLog:
    """Writes one JSON object a line, and tells the trackers.

    Every object has step, epoch, tokens and seconds. Lines of training have train_loss (mean since the last
    line), gradient_norm (mean, before clipping), learning_rate and tokens_per_second; lines of evaluation
    have val_loss and the task's other metrics. Losses are in nats a token.

    Args:
        folder: the run folder.
        trackers: that follow the training.
    """

    def __init__(self, folder: Path, trackers: Trackers) -> None:
        self._file = GrowingFile(folder / METRICS)
        self._trackers = trackers

    def write(self, entry: dict[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._trackers.wrote(entry)

    def flush(self) -> int:
        """Bring every line to the disk; return the file's length in bytes, for `rewind`."""
        return self._file.sync()

    def rewind(self, length: int) -> None:
        """Drop what was written after a checkpoint, which the resumed training will write again.

        Raises:
            CheckpointError: the file is shorter than it was then.
        """
        found = self._file.sync()
        if found < length:
            raise CheckpointError(
                f"{self._file.path} has {found:,} bytes, and had {length:,} when the checkpoint was written: "
                f"it was cut off or replaced, so put the whole file back from a copy"
            )
        self._file.cut(length)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class NoLog:
    """Stands for the log in all processes but the first: that one writes."""

    def write(self, entry: dict[str, Any]) -> None:
        """Write nothing."""

    def flush(self) -> int:
        """Nothing is written, and no file has a length."""
        return 0

    def rewind(self, length: int) -> None:
        """Drop nothing."""

    def close(self) -> None:
        """Close nothing."""


def still_falling(entries: list[dict[str, float]]) -> str:
    """Whether a training ended too soon: its loss fell in the last fifth by a good part of the whole fall.

    Args:
        entries: of metrics.jsonl.
    Returns:
        What fell, as part of a sentence; "" where nothing did, or where too few losses say so.
    """
    for name, what in (("val_loss", "validation loss"), ("train_loss", "training loss")):
        points = [(entry["epoch"], entry[name]) for entry in entries if name in entry]
        if len(points) < _FEWEST_POINTS:
            continue
        (_, first), (end, last) = points[0], points[-1]
        late = next(
            value for epoch, value in reversed(points) if epoch <= _LATE * end or epoch == points[0][0]
        )
        if last == min(value for _, value in points) and late - last > _MUCH * (first - last):
            return f"the {what} was still falling at the end, from {late:.4g} to {last:.4g} in the last fifth"
        return ""
    return ""


def draw_loss(folder: Path, loss_name: str = "loss in nats per token", objective: str = "val_loss") -> Path:
    """Draw loss.png from metrics.jsonl.

    Args:
        folder: the run folder.
        loss_name, objective: as for `loss_figure`.
    """
    path = folder / PICTURE
    write_picture(path, loss_figure(folder, loss_name, objective))
    return path
