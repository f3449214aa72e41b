"""A run folder: what a training leaves, and everything that can be done with it."""

from __future__ import annotations

from throughtime.errors import OptionError
from throughtime.run.layout import CONFIG, PREPARED, WEIGHTS
from throughtime.run.run import Run, require_torch
from throughtime.tasks import TASKS

__all__ = ["CONFIG", "PREPARED", "WEIGHTS", "Run", "require_torch", "run_class"]


def run_class(task: str) -> type[Run]:
    """The kind of run that a task leaves.

    Raises:
        OptionError: there is no such task.
    """
    if task not in TASKS:
        raise OptionError(f"task {task!r} is unknown: use {', '.join(TASKS)}")
    return TASKS[task].run_class()
