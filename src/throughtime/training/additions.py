"""What a program adds to a training: functions, which a run folder cannot keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from throughtime.training.callbacks import Callbacks, OnEvaluation, OnStep
from throughtime.training.own_loss import OwnLoss


@dataclass(frozen=True)
class Additions:
    """Callbacks, and a loss in the place of the task's.

    Args:
        on_step, on_evaluation: see `Callbacks`.
        loss: see `OwnLoss`.
    """

    on_step: OnStep | None = None
    on_evaluation: OnEvaluation | None = None
    loss: OwnLoss | None = None

    @classmethod
    def of(
        cls, on_step: OnStep | None, on_evaluation: OnEvaluation | None, options: dict[str, Any]
    ) -> Additions:
        """Take the loss out of the options where it is a function, and not the name of one."""
        loss = OwnLoss(options.pop("loss")) if callable(options.get("loss")) else None
        found = cls(on_step, on_evaluation, loss)
        found.callbacks()  # what is no function is refused before the data is read
        return found

    def callbacks(self) -> Callbacks:
        """New ones for each training: those of a fold may stop it, and only it."""
        return Callbacks(self.on_step, self.on_evaluation)
