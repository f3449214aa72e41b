"""What a tracker is to a training: four calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

# The folder of the runs that cross-validation trains.
FOLDS = "folds"
# Names that people know from other trainings; all others stay as they are in metrics.jsonl.
_NAMES = {"train_loss": "train/loss", "learning_rate": "lr", "gradient_norm": "grad_norm"}
_VALIDATION = "val_"
# What says where a line belongs, and is no curve of its own.
_PLACES = ("step", "tokens", "seconds")


class Tracker(ABC):
    """A run as a tracker keeps it.

    Args:
        name: of the tracker.
        folder: the run folder.
        run: what the tracker calls the run; "" where it does not know it yet.
        lines: how many lines of metrics.jsonl it has.
    Attributes:
        run: known after `start`.
        lines: how many lines it has by now. Who logs leaves out the lines before.
        has_thread: whether it is called from a thread of its own, as it may wait for a network.
    Raises:
        ImportError: its library is not installed.
    """

    has_thread: ClassVar[bool] = True

    def __init__(self, name: str, folder: Path, run: str, lines: int) -> None:
        self.name, self.folder, self.run, self.lines = name, folder, run, lines

    @property
    def title(self) -> str:
        """What people call the run: the folder's name, and for the run of a fold whose it is."""
        folder = self.folder.resolve()
        is_fold = folder.parent.name == FOLDS
        return f"{folder.parents[1].name}-fold-{folder.name}" if is_fold else folder.name

    @abstractmethod
    def start(self, config: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it, and learn how many lines the tracker has.

        Args:
            config: every option of the training.
        """

    @abstractmethod
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a line of metrics.jsonl.

        Args:
            step: of the optimiser.
            numbers: finite, by the names of `names_for_trackers`.
        """

    @abstractmethod
    def artifact(self, path: Path) -> None:
        """Add a file of the run folder, such as the picture of the loss."""

    @abstractmethod
    def finish(self) -> None:
        """Have everything written. A later `start` goes on."""


def names_for_trackers(entry: Mapping[str, float]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by the names that trackers get: train/loss, val/loss, lr..."""
    return {
        _NAMES.get(
            name, f"val/{name.removeprefix(_VALIDATION)}" if name.startswith(_VALIDATION) else name
        ): value
        for name, value in entry.items()
        if name not in _PLACES
    }
