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
from throughtime.training.shares import WHOLE, JointBatch, Share
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
    def loss(self, examples: NDArray[np.int64], joint: NDArray[np.int64] | None = None) -> StepLoss:
        """The loss of training examples. May draw random numbers, by `throughtime.draws`.

        Args:
            examples: their numbers.
            joint: those of the whole batch that they are a share of, which says how far they are padded;
                None where they are all of it.
        """

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

    def next_batch(self) -> JointBatch | None:
        if self._position >= len(self._order):
            return None
        examples = self._order[self._position]
        self._position += 1
        return JointBatch(len(examples), examples)

    def loss_of(self, batch: JointBatch, share: Share = WHOLE) -> StepLoss:
        if share == WHOLE:
            return self.loss(batch.content)
        return self.loss(batch.content[share.rows(batch.rows)], batch.content)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"epoch": self._epoch, "position": self._position}, {}

    def restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        check_tensors(tensors, {}, saved.path, "task.")
        with saved:
            self.start_epoch(saved.integer("epoch"))
            self._position = saved.integer("position", most=len(self._order))
