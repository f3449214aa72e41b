"""A run folder: what a training leaves, and everything that can be done with it."""

from __future__ import annotations

from throughtime.run.run import CONFIG, PREPARED, WEIGHTS, Run, require_torch
from throughtime.tasks import TASKS

__all__ = ["CONFIG", "PREPARED", "WEIGHTS", "Run", "require_torch", "run_class"]


def run_class(task: str) -> type[Run]:
    """The kind of run that a task leaves."""
    return TASKS[task].run_class()
