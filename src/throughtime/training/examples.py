"""Training on separate examples, in batches of similar length."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from throughtime.config import TrainingConfig
from throughtime.data.batches import LengthBatches
from throughtime.saved import Saved
from throughtime.training.checkpoint import check_tensors
from throughtime.training.task import StepLoss, Task


class ExampleTask(Task):
    """A task whose examples do not depend on each other. Subclasses give `loss`, `evaluate` and `facts`.

    The order of the examples follows from the seed and the epoch, so the position is all of its state.

    Args:
        model: the network, on its device.
        lengths: (N,) or (N, K), of the training examples.
        config: batch and seed.
    """

    unit = "examples"

    def __init__(self, model: nn.Module, lengths: ArrayLike, config: TrainingConfig) -> None:
        super().__init__(model)
        self.device = next(model.parameters()).device
        self.batches = LengthBatches(lengths, config.batch, config.seed)
        self._epoch = 0
        self._order: list[NDArray[np.int64]] = []
        self._position = 0

    @abstractmethod
    def loss(self, examples: NDArray[np.int64]) -> StepLoss:
        """The loss of the training examples with these numbers. May draw from torch's generator."""

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self._epoch

    def start_epoch(self, epoch: int) -> None:
        self._epoch, self._position = epoch, 0
        self._order = self.batches.epoch(epoch)

    @property
    def epoch_progress(self) -> float:
        return self._position / len(self.batches)

    def next_loss(self) -> StepLoss | None:
        if self._position >= len(self._order):
            return None
        examples = self._order[self._position]
        self._position += 1
        return self.loss(examples)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"epoch": self._epoch, "position": self._position}, {}

    def restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        check_tensors(tensors, {}, saved.path, "task.")
        with saved:
            self.start_epoch(saved.integer("epoch"))
            self._position = saved.integer("position", most=len(self._order))
