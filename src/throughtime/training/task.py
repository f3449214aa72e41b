"""What the trainer needs to know about a shape of problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.recurrent import Recurrent
from throughtime.saved import Saved
from throughtime.training.checkpoint import Expected, check_tensors
from throughtime.training.own_loss import OwnLoss
from throughtime.training.shares import WHOLE, JointBatch, Share
from throughtime.training.sharing import Sharing


@dataclass(frozen=True)
class StepLoss:
    """The loss of one step.

    Args:
        loss: the mean over tokens, in nats, with its graph.
        tokens: over how many it is the mean.
        learning_rate_scale: multiplies the step's learning rate.
        weight: what the sum of losses was divided by, where that is not the number of tokens.
        measured: the loss as `evaluate` measures it, where something else is minimised: the mean without
            smoothing and penalties.
    """

    loss: Tensor
    tokens: int
    learning_rate_scale: float = 1.0
    weight: float | None = None
    measured: float | None = None


class Task(ABC):
    """Turns examples into losses. Owns the position in the data and the carried state.

    Args:
        model: the network, on its device.
    Attributes:
        unit: what the speed counts, in the plural.
        loss_name: the loss with its unit, for an axis.
        objective: the metric of `evaluate` by which weights are kept.
        higher_is_better: the direction of the objective.
        own_loss: what is minimised in the place of the task's loss, where a program says so. What `evaluate`
            measures stays the task's.
        sharing: which shares of a batch this process has, and how the others are reached.
    """

    unit = "tokens"
    loss_name = "loss in nats per token"
    objective = "val_loss"
    higher_is_better = False
    own_loss: OwnLoss | None = None

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.sharing = Sharing()

    @abstractmethod
    def facts(self) -> str:
        """What is trained on what, in a line for the user."""

    def sample(self) -> str:
        """What the model writes at this moment, for --show-samples; "" where the task writes nothing."""
        return ""

    def describe(self, metrics: dict[str, float]) -> str:
        """Metrics of `evaluate` as the task's people write them."""
        return ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in metrics.items())

    @abstractmethod
    def start_epoch(self, epoch: int) -> None:
        """Go to the beginning of the data."""

    @abstractmethod
    def next_batch(self) -> JointBatch | None:
        """The next batch or chunk of all processes, or None at the epoch's end. Moves the position."""

    @abstractmethod
    def loss_of(self, batch: JointBatch, share: Share = WHOLE) -> StepLoss | None:
        """The loss of a share of a batch, with at least one row; None where it has nothing to learn from.

        A share of several is padded as the whole batch is, so that random numbers fall on the same places.
        """

    def next_loss(self) -> StepLoss | None:
        """The loss of the next batch or chunk as one share, or None at the epoch's end."""
        batch = self.next_batch()
        return None if batch is None else self.loss_of(batch)

    @property
    @abstractmethod
    def epoch_progress(self) -> float:
        """Share of the epoch that is done, in [0, 1]."""

    def observe(self, step: int, gradient_norm: float, seconds: float) -> dict[str, Any]:
        """Take in the optimiser step just taken; return what to log about it, empty most of the time.

        Args:
            step: from 1.
            gradient_norm: before clipping.
            seconds: that the training has taken.
        """
        return {}

    def advice(self) -> str:
        """What the task measured that helps after a divergence, to be added to the message."""
        return ""

    @abstractmethod
    def evaluate(self, progress: Callable[[float], None] | None = None) -> dict[str, float]:
        """Metrics on the validation data: `val_loss` and others; empty where there is none. Draws nothing.

        Args:
            progress: called with the share that is done.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Position and the carried state of all shares: what JSON can hold, and tensors."""

    @abstractmethod
    def restore(self, saved: Saved, tensors: dict[str, Tensor]) -> None:
        """Go on where `state()` was taken.

        Raises:
            CheckpointError: a number or a tensor is missing, left over, or not this task's.
        """


def carried_state(
    tensors: dict[str, Tensor], recurrent: Recurrent | None, batch: int, weight: Tensor, saved: Saved
) -> State:
    """Read a recurrence's state out of a task's tensors, `carried.0` and so on.

    Args:
        tensors: the task's.
        recurrent: whose state it is; None where nothing is carried.
        batch: rows.
        weight: one of the model's, with its device and type; mixed precision carries a state in bf16.
        saved: of the file, for errors.
    Raises:
        CheckpointError: a part is missing, left over, or of another shape or type.
    """
    sizes, layers = (recurrent.state_sizes, len(recurrent.cells)) if recurrent is not None else ((), 0)
    expected = {
        f"carried.{part}": Expected((layers, batch, size), (weight.dtype, torch.bfloat16))
        for part, size in enumerate(sizes)
    }
    check_tensors(tensors, expected, saved.path, "task.")
    return tuple(tensors[name].to(weight.device) for name in expected)
