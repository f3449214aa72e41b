"""A run folder: what a training leaves, and everything that can be done with it."""

from __future__ import annotations

from throughtime.config import RunConfig
from throughtime.run.run import CONFIG, PREPARED, WEIGHTS, Run, require_torch
from throughtime.tasks import TASKS

__all__ = ["CONFIG", "PREPARED", "WEIGHTS", "Run", "require_torch", "run_class"]


def run_class(config: RunConfig) -> type[Run]:
    """The kind of run that a training with these options leaves."""
    return TASKS[config.task].run_class().kind_for(config)
