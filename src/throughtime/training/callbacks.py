"""What a program has called while it trains: after each step, and after each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from throughtime.errors import OptionError

if TYPE_CHECKING:
    from throughtime.run import Run

# What a callback returns to end the training. A word and not True, which functions return for other reasons.
STOP = "stop"


@dataclass(frozen=True)
class StepEvent:
    """One optimiser step.

    Attributes:
        step: from 1.
        epoch: how many are done, with the share of the current one, in (0, epochs].
        loss: of the step's batch or chunk, as it is minimised.
        learning_rate: that it was taken with.
        gradient_norm: before clipping.
        seconds: that the training has taken, over all resumed parts.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float


@dataclass(frozen=True)
class EvaluationEvent:
    """One evaluation on the validation data.

    Attributes:
        step: after how many.
        epoch: as of `StepEvent`.
        metrics: as in metrics.jsonl: val_loss, val_accuracy...
        improved: whether the weights are the best so far, and were kept.
        seconds: as of `StepEvent`.
        folder: the run folder.
    """

    step: int
    epoch: float
    metrics: dict[str, float]
    improved: bool
    seconds: float
    folder: Path

    @property
    def run(self) -> Run:
        """The run as it lies in its folder: with the weights that are the best so far."""
        from throughtime.run import Run

        return Run.open(self.folder)


OnStep = Callable[[StepEvent], object]
OnEvaluation = Callable[[EvaluationEvent], object]


class Callbacks:
    """Calls the functions of a program, and remembers what they ask for.

    An error in one of them ends the training after a checkpoint. A callback may draw random numbers from
    torch: the training's own stay what they are.

    Args:
        on_step, on_evaluation: functions of one event; `STOP` as their answer ends the training.
    Attributes:
        wants_to_stop: one of them has answered so.
        error: that one of them raised.
    Raises:
        OptionError: one is no function.
    """

    def __init__(self, on_step: OnStep | None = None, on_evaluation: OnEvaluation | None = None) -> None:
        for name, function in (("on_step", on_step), ("on_evaluation", on_evaluation)):
            if function is not None and not callable(function):
                raise OptionError(f"{name} is a function of one event, not {type(function).__name__}")
        self.on_step = on_step
        self.on_evaluation = on_evaluation
        self.wants_to_stop = False
        self.error: Exception | None = None

    def stepped(self, event: StepEvent) -> None:
        """Call `on_step`."""
        self._call(self.on_step, event)

    def evaluated(self, event: EvaluationEvent) -> None:
        """Call `on_evaluation`."""
        self._call(self.on_evaluation, event)

    def _call(self, function: Callable[..., object] | None, event: object) -> None:
        if function is None or self.error is not None:
            return
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        try:
            with torch.random.fork_rng(devices), torch.enable_grad():
                answer = function(event)
        except Exception as error:  # whatever it is, it is raised once the training has saved itself
            self.error = error
            return
        self.wants_to_stop |= isinstance(answer, str) and answer == STOP
