"""How a joint batch is cut: into equal, contiguous shares of its rows, by nothing but the rows' numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """One of several contiguous parts of a batch.

    Args:
        part: its number, from 0.
        of: how many there are.
    """

    part: int = 0
    of: int = 1

    def rows(self, count: int) -> slice:
        """Which of `count` rows it has; where they do not divide evenly, the first shares have one more."""
        each, more = divmod(count, self.of)
        start = self.part * each + min(self.part, more)
        return slice(start, start + each + (self.part < more))


WHOLE = Share()


@dataclass(frozen=True)
class JointBatch:
    """What one step learns from, before it is shared out.

    Args:
        rows: streams or examples in it.
        content: what the task makes a loss of.
        place: where in the step it stands, for a task that reads more than one batch for a step.
    """

    rows: int
    content: Any
    place: int = 0
