"""What every kind of target has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.outputs import check_output

if TYPE_CHECKING:
    from torch import Tensor

TARGET_KINDS = ("label", "labels", "number")
# What a run knows of its target, unless it is one label, whose names are in labels.json or frames.json.
TARGET = "target.json"


class Scores(Protocol):
    """Gathers how well outputs fit, part by part."""

    def add(self, truth: NDArray[Any], decided: NDArray[Any]) -> None:
        """Take in some rows: the true targets, and what `Target.decide` made of the outputs."""
        ...

    def result(self) -> dict[str, Any]:
        """Each figure by its name, as JSON can hold it."""
        ...


class Target(ABC):
    """What a network says of each row: of an example for a classifier, of a frame for a tagger.

    A row of outputs is W numbers as the network gives them; a row of truth is a class, or one value for each
    label or column. N rows lie below each other.

    Attributes:
        kind: "label", "labels" or "number", as in config.toml.
        port: what the network's output is called.
        picture: what the picture of `draw` is called.
        names: of the labels, or of the columns of numbers.
    """

    kind: ClassVar[str]
    port: ClassVar[str] = "logits"
    picture: ClassVar[str]
    names: tuple[str, ...]

    @property
    def loss_unit(self) -> str:
        """What its loss is in."""
        return "nats"

    @property
    def width(self) -> int:
        """W, how many outputs the network has."""
        return len(self.names)

    @property
    def output_names(self) -> list[str]:
        """W names, of the rows of the output layer."""
        return list(self.names)

    @property
    def counted(self) -> str:
        """How many of what there are, for the user."""
        return f"{len(self.names):,} labels"

    @property
    def meaning(self) -> str:
        """What the outputs are, for who reads the network's description."""
        return "of the classes"

    # ---- truth

    @abstractmethod
    def encode(self, cells: Sequence[Any]) -> NDArray[Any]:
        """The truth of rows, as it is kept for training.

        Args:
            cells: of each row what its table or file says: a name, names, or numbers.
        Raises:
            DataError: a label is unknown.
        """

    @abstractmethod
    def check(self, truth: NDArray[Any], name: str) -> None:
        """Raise RunError where truth that was kept does not belong to this target, or is damaged."""

    def is_known(self, truth: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,): whether a row has a truth at all."""
        return np.ones(len(truth), dtype=bool)

    # ---- learning

    def for_loss(self, truth: NDArray[Any]) -> NDArray[Any]:
        """The truth as the losses take it."""
        return truth

    def weights(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        """What makes rare labels count as much as frequent ones, from the truth of the training.

        Raises:
            OptionError: there is nothing to balance.
        """
        raise NotImplementedError

    @abstractmethod
    def losses(self, outputs: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of each row, (N,), in float32. Needs torch.

        Args:
            outputs: (N, W).
            truth: of `for_loss`.
            weights: of `weights`.
        """

    @abstractmethod
    def losses_of(
        self, outputs: NDArray[np.floating], truth: NDArray[Any], weights: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        """The same in NumPy, in float64."""

    def shares(self, truth: NDArray[Any], weights: NDArray[np.float32] | None) -> NDArray[np.float64]:
        """How much each row counts in a mean that is weighted, (N,)."""
        return np.ones(len(truth))

    @abstractmethod
    def together(self, each: Tensor) -> Tensor:
        """What the members of an ensemble say together: (M, N, W) to (N, W). Needs torch."""

    # ---- saying

    def checked(self, outputs: NDArray[Any], name: str) -> NDArray[Any]:
        """Outputs that something can be said of.

        Args:
            outputs: (..., W).
            name: what they are for, for the error.
        Raises:
            NotANumberError: they are too large to compute with.
        """
        return check_output(outputs, name)

    @abstractmethod
    def decide(self, outputs: NDArray[np.floating]) -> NDArray[Any]:
        """What the outputs (N, W) say, as scores and pictures want it."""

    @property
    @abstractmethod
    def kinds(self) -> dict[str, Any]:
        """What `say` gives, by name: see `throughtime.run.row_prediction`."""

    @abstractmethod
    def say(self, outputs: NDArray[np.floating]) -> dict[str, Any]:
        """What one row of outputs (W,) says, as JSON can hold it."""

    def probabilities(self, outputs: NDArray[np.floating]) -> dict[str, float]:
        """The probability of each label, of one row of outputs (W,)."""
        raise NotImplementedError

    @abstractmethod
    def truth_of(self, cell: Any) -> Any:
        """The truth of a row as it is shown beside what was said of it."""

    # ---- measuring

    @abstractmethod
    def scores(self) -> Scores:
        """What gathers the scores of rows."""

    def baseline(self, truth: NDArray[Any]) -> dict[str, float]:
        """What the simplest model would reach on rows with this truth."""
        return {}

    @abstractmethod
    def describe(self, metrics: dict[str, float]) -> str:
        """The figures of a validation in a line; their names begin with val_."""

    @abstractmethod
    def draw(self, path: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> Path:
        """The picture that shows how well outputs fit; without matplotlib a .json of the numbers.

        Returns:
            The file that was written.
        """

    def calibrate(self, folder: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> None:
        """Settle what only validation examples can tell: thresholds, margins. They go to calibration.json."""
        return

    # ---- in the run folder

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load_target` reads."""

    @property
    def files(self) -> tuple[str, ...]:
        """What of the folder belongs to the target."""
        return (TARGET,)

    def facts(self) -> dict[str, Any]:
        """What `info`, and who runs an exported graph, should know."""
        return {"labels": list(self.names)}
