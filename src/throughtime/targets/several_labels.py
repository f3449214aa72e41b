"""Several labels at once: a sigmoid for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from throughtime.data.labels import Labels
from throughtime.errors import OptionError, RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically
from throughtime.metrics.several_labels import SeveralScores, write_label_scores
from throughtime.targets.calibration import Calibration, best_thresholds
from throughtime.targets.target import TARGET, Target

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

# A label that is given once in ten thousand rows would drown all others with its full weight.
_MOST_WEIGHT = 100.0


@dataclass(frozen=True)
class _Facts:
    """What target.json holds."""

    labels: Annotated[tuple[str, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a label occurs twice")


class SeveralLabels(Target):
    """Each row has any of C labels, or none. Truth is (N, C) uint8 of 0 and 1.

    Args:
        names: of the labels.
        thresholds: (C,), the probability from which each is given; None is 0.5 for all.
    """

    kind = "labels"
    picture = "label-scores"

    def __init__(self, names: Iterable[str], thresholds: Sequence[float] | None = None) -> None:
        self.names = tuple(names)
        self._numbers = Labels(self.names)
        self.thresholds = np.array([0.5] * len(self.names) if thresholds is None else thresholds)

    @classmethod
    def of(cls, cells: Iterable[Sequence[str]], source: object = "the data") -> Self:
        """With the labels that occur in the cells of training examples; arguments as of `Labels.of`."""
        return cls(Labels.of((name for cell in cells for name in cell), source).names)

    @property
    def meaning(self) -> str:
        return "of each label by itself; their sigmoids are its probability"

    def encode(self, cells: Sequence[Any]) -> NDArray[np.uint8]:
        found = np.zeros((len(cells), self.width), dtype=np.uint8)
        for row, cell in enumerate(cells):
            found[row, [self._numbers.number(name) for name in cell]] = 1
        return found

    def check(self, truth: NDArray[Any], name: str) -> None:
        if truth.dtype != np.uint8 or truth.shape[1:] != (self.width,) or int(truth.max(initial=0)) > 1:
            raise RunError(
                f"{name} does not belong to this run, or is damaged: expected 0 or 1 for each of "
                f"{self.width} labels"
            )

    def for_loss(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        return truth.astype(np.float32)

    def weights(self, truth: NDArray[Any]) -> NDArray[np.float32]:
        """How much more a row with a label counts, (C,): rows without it for each with it, at most 100."""
        given = np.maximum(truth.sum(0, dtype=np.float64), 1)
        return np.clip((len(truth) - given) / given, 1 / _MOST_WEIGHT, _MOST_WEIGHT).astype(np.float32)

    def losses(self, outputs: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        """The binary cross entropies of a row's labels, summed: the nats that all of its labels take."""
        from torch.nn import functional as F

        return F.binary_cross_entropy_with_logits(
            outputs.float(), truth, reduction="none", pos_weight=weights
        ).sum(-1)

    def losses_of(
        self, outputs: NDArray[np.floating], truth: NDArray[Any], weights: NDArray[np.float32] | None = None
    ) -> NDArray[np.float64]:
        outputs, truth = outputs.astype(np.float64), truth.astype(np.float64)
        yes, no = np.logaddexp(0, -outputs), np.logaddexp(0, outputs)
        return (truth * yes * (1.0 if weights is None else weights) + (1 - truth) * no).sum(-1)

    def together(self, each: Tensor) -> Tensor:
        """The logit of the mean of the members' probabilities."""
        # Of log p and log(1 - p), each a mean over the members: their difference loses no digits near 0 or 1.
        from torch.nn import functional as F

        return F.logsigmoid(each).logsumexp(0) - F.logsigmoid(-each).logsumexp(0)

    def decide(self, outputs: NDArray[np.floating]) -> NDArray[np.bool_]:
        return _sigmoid(outputs) >= self.thresholds

    @property
    def kinds(self) -> dict[str, Any]:
        return {"labels": [str]}

    def say(self, outputs: NDArray[np.floating]) -> dict[str, Any]:
        given = self.decide(outputs)
        return {"labels": [name for name, is_given in zip(self.names, given, strict=True) if is_given]}

    def probabilities(self, outputs: NDArray[np.floating]) -> dict[str, float]:
        return dict(zip(self.names, _sigmoid(outputs).tolist(), strict=True))

    def truth_of(self, cell: Any) -> list[str]:
        return list(cell)

    def scores(self) -> SeveralScores:
        return SeveralScores(self.width)

    def describe(self, metrics: dict[str, float]) -> str:
        return (
            f"loss {metrics['val_loss']:.4f}, micro F1 {metrics['val_micro_f1']:.4f}, "
            f"macro F1 {metrics['val_macro_f1']:.4f}, all labels right {metrics['val_subset_accuracy']:.2%}"
        )

    def draw(self, path: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> Path:
        scores = self.scores()
        scores.add(truth, self.decide(outputs))
        return write_label_scores(path, scores, self.names)

    def calibrate(self, folder: Path, truth: NDArray[Any], outputs: NDArray[np.floating]) -> None:
        thresholds = best_thresholds(truth, _sigmoid(outputs))
        Calibration(thresholds=tuple(thresholds)).save(folder)
        self.thresholds = np.array(thresholds)

    def with_threshold(self, threshold: float) -> None:
        """Give every label from this probability on.

        Raises:
            OptionError: it is none.
        """
        if not 0 <= threshold <= 1:
            raise OptionError(f"--threshold is a probability, from 0 to 1, and not {threshold:g}")
        self.thresholds = np.full(self.width, threshold)

    def save(self, folder: Path) -> None:
        """Write target.json."""
        content = json.dumps(asdict(_Facts(self.names)), ensure_ascii=False, indent=1)
        write_atomically(folder / TARGET, content.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read target.json and calibration.json.

        Raises:
            RunError: one is missing or damaged.
        """
        facts = read_json(folder / TARGET, _Facts)
        return cls(facts.labels, Calibration.load(folder, len(facts.labels)).thresholds)

    def facts(self) -> dict[str, Any]:
        return {"labels": list(self.names), "thresholds": self.thresholds.tolist()}


def _sigmoid(outputs: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -outputs.astype(np.float64)))
