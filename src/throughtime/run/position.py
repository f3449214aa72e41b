"""How far a training has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from throughtime.saved import Saved


@dataclass
class Window:
    """Sums since the last line of metrics.jsonl."""

    loss: float = 0.0
    tokens: int = 0
    gradient_norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0

    @classmethod
    def restore(cls, saved: Saved) -> Window:
        """Read what a checkpoint has of it."""
        with saved:
            steps = saved.integer("steps")
            return cls(
                loss=saved.number("loss"),
                # They divide the loss.
                tokens=saved.integer("tokens", least=min(steps, 1)),
                gradient_norm=saved.number("gradient_norm", least=0),
                steps=steps,
                seconds=saved.number("seconds", least=0),
                learning_rate=saved.number("learning_rate", least=0),
            )


@dataclass
class Position:
    """How far a training has come.

    Args:
        seconds: wall time, with evaluations and checkpoints, over all resumed parts.
        best: the task's objective at the best evaluation.
        evaluated_at: the step of the last evaluation.
    """

    step: int = 0
    epoch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: float | None = None
    evaluations_since_best: int = 0
    evaluated_at: int = 0
    finished: bool = False
    window: Window = field(default_factory=Window)

    @classmethod
    def restore(cls, saved: Saved, epochs: int) -> Position:
        """Read what a checkpoint has of it.

        Args:
            saved: the checkpoint's numbers.
            epochs: of the training that it is from.
        Raises:
            CheckpointError: a number is missing, or out of its range.
        """
        with saved:
            step = saved.integer("step")
            finished = saved.flag("finished")
            return cls(
                step=step,
                # A finished training stands behind its last epoch.
                epoch=saved.integer("epoch", most=epochs if finished else epochs - 1),
                tokens=saved.integer("tokens", least=min(step, 1)),
                seconds=saved.number("seconds", least=0),
                best=saved.optional_number("best"),
                evaluations_since_best=saved.integer("evaluations_since_best"),
                evaluated_at=saved.integer("evaluated_at", most=step),
                finished=finished,
                window=Window.restore(saved.part("window")),
            )
