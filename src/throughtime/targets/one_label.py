"""One label of several: a softmax over the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax, softmax
from throughtime.data.labels import Labels
from throughtime.errors import RunError
from throughtime.metrics.classification import accuracy, add_confusion, confusion_matrix, macro_f1, majority
from throughtime.targets.target import Target

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

LABELS = "labels.json"
UNLABELLED = -1


class OneLabel(Target):
    """Each row has one of C labels. Truth is its number, (N,) int64; `UNLABELLED` where there is none.

    Args:
        labels: the names.
    """

    kind = "label"
    # The smallest number that is a truth; `UNLABELLED` where some rows may have none.
    least = 0
    picture = "confusion"

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.names = labels.names

    def encode(self, cells: Sequence[Any]) -> NDArray[np.int64]:
        return np.array([self.labels.number(name) for name in cells], dtype=np.int64)

    def check(self, truth: NDArray[Any], name: str) -> None:
        if truth.dtype.kind not in "iu" or truth.ndim != 1:
            raise RunError(f"{name} is damaged: it holds something else than one label each")
        least, most = int(truth.min(initial=0)), int(truth.max(initial=0))
        if least < self.least or most >= self.width:
            raise RunError(
                f"{name} does not belong to this run, or is damaged: it names class "
                f"{least if least < self.least else most} of {self.width}"
            )

    def is_known(self, truth: NDArray[Any]) -> NDArray[np.bool_]:
        return truth != UNLABELLED

    def for_loss(self, truth: NDArray[Any]) -> NDArray[np.int64]:
        return truth.astype(np.int64)

    def weights(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        """N / (C * n_c), so that the classes count alike in sum (King and Zeng 2001): (C,)."""
        counts = np.bincount(truth[self.is_known(truth)].astype(np.int64), minlength=self.width)
        return (counts.sum() / (self.width * np.maximum(counts, 1))).astype(np.float32)

    def losses(self, outputs: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        """-w log softmax(outputs)[truth], in nats."""
        from torch.nn import functional as F

        found = F.cross_entropy(outputs.float(), truth, reduction="none")
        return found if weights is None else found * weights[truth]

    def losses_of(
        self, outputs: NDArray[np.floating], truth: NDArray[Any], weights: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        truth = truth.astype(np.int64)
        losses = -log_softmax(outputs.astype(np.float64))[np.arange(len(truth)), truth]
        return losses * self.shares(truth, weights)

    def shares(self, truth: NDArray[Any], weights: NDArray[np.float32] | None) -> NDArray[np.float64]:
        return np.ones(len(truth)) if weights is None else weights[truth.astype(np.int64)].astype(np.float64)

    def together(self, each: Tensor) -> Tensor:
        """The logarithm of the mean of the members' probabilities."""
        return each.log_softmax(-1).logsumexp(0) - math.log(len(each))

    def decide(self, outputs: NDArray[np.floating]) -> NDArray[np.int64]:
        return outputs.argmax(-1)

    @property
    def kinds(self) -> dict[str, Any]:
        return {"label": str, "probability": float}

    def say(self, outputs: NDArray[np.floating]) -> dict[str, Any]:
        row = softmax(outputs.astype(np.float64))
        return {"label": self.names[int(row.argmax())], "probability": float(row.max())}

    def probabilities(self, outputs: NDArray[np.floating]) -> dict[str, float]:
        return dict(zip(self.names, softmax(outputs.astype(np.float64)).tolist(), strict=True))

    def truth_of(self, cell: Any) -> str:
        return cell

    def scores(self) -> LabelScores:
        return LabelScores(self.width)

    def baseline(self, truth: NDArray[Any]) -> dict[str, float]:
        return {"majority": majority(confusion_matrix(truth, truth, self.width))}

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, accuracy {metrics['val_accuracy']:.2%}, "
            f"macro F1 {metrics['val_macro_f1']:.4f}"
        )

    def draw(self, path: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> Path:
        from throughtime.metrics.classification import write_confusion

        confusion = confusion_matrix(truth, self.decide(outputs), self.width)
        return write_confusion(path, confusion, self.names)

    def save(self, folder: Path) -> None:
        self.labels.save(folder / LABELS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read labels.json.

        Raises:
            RunError: it is missing or damaged.
        """
        return cls(Labels.load(folder / LABELS))

    @property
    def files(self) -> tuple[str, ...]:
        return ()  # who runs an exported graph has the labels in its description


class LabelScores:
    """Accuracy and macro F1."""

    def __init__(self, classes: int) -> None:
        self._confusion = np.zeros((classes, classes), dtype=np.int64)

    def add(self, truth: NDArray[Any], decided: NDArray[Any]) -> None:
        """See `Scores.add`."""
        add_confusion(self._confusion, truth, decided)

    def result(self) -> dict[str, Any]:
        """See `Scores.result`."""
        found = self._confusion
        return {"accuracy": accuracy(found), "macro_f1": macro_f1(found)}
