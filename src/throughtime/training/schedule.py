"""Learning rates over the course of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from throughtime.config import TrainingConfig
from throughtime.saved import Saved


@dataclass
class Plateau:
    """Counts evaluations without improvement, and the cuts of the learning rate that they caused."""

    patience: int
    waited: int = 0
    cuts: int = 0

    @classmethod
    def restore(cls, saved: Saved, patience: int) -> Plateau:
        """Read what a checkpoint has of it."""
        with saved:
            return cls(
                saved.integer("patience", patience, patience),
                saved.integer("waited", most=patience - 1),
                saved.integer("cuts"),
            )

    def observe(self, improved: bool) -> None:
        """Take in one evaluation."""
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.waited, self.cuts = 0, self.cuts + 1


def learning_rate(config: TrainingConfig, progress: float, epoch: int, cuts: int) -> float:
    """The learning rate of a step.

    Args:
        config: the schedule and its numbers.
        progress: share of the whole training done when the step is done, in (0, 1].
        epoch: from 0.
        cuts: how often a plateau has been met.
    Source: cosine Loshchilov and Hutter 2017; zaremba Zaremba, Sutskever and Vinyals 2014, section 4.1.
    """
    rate = config.learning_rate
    if progress < config.warmup:
        return rate * progress / config.warmup
    if config.schedule == "cosine":
        done = (progress - config.warmup) / (1 - config.warmup)
        low = config.final_learning_rate
        return rate * (low + (1 - low) * (1 + math.cos(math.pi * done)) / 2)
    if config.schedule == "zaremba":
        return rate * config.decay ** max(0, epoch + 1 - config.decay_after)
    if config.schedule == "plateau":
        return rate * config.decay**cuts
    return rate
