"""Calls whose sessions other servers have: they are tried again until those are given."""

from __future__ import annotations

import time
from typing import Any

# Another server gives a session at its next tick, and says so; asking again is for where that was not heard.
_FIRST, _LONGEST = 0.005, 0.1
# Longer than a lease, after which a server that says nothing has lost its sessions.
_PATIENCE = 30.0


class Postponed:
    """What waits. One that does not come again (it was done, or refused) is forgotten after a while.

    Attributes:
        all_due: another server has answered something.
    """

    def __init__(self) -> None:
        self.all_due = False
        self._waiting: list[tuple[float, Any]] = []
        self._since: dict[Any, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, one: Any, now: float) -> bool:
        """Have a call wait; False where it has waited too long."""
        if len(self._since) > 2 * len(self._waiting) + 1024:
            self._since = {one: self._since[one] for _, one in self._waiting if one in self._since}
        since = self._since.setdefault(one, now)
        if now - since > _PATIENCE:
            del self._since[one]
            return False
        self._waiting.append((now + min(max((now - since) / 2, _FIRST), _LONGEST), one))
        return True

    def due(self, now: float) -> list[Any]:
        """Those to try again."""
        if not self._waiting:
            if self._since:
                self._since = {}
            return []
        if self.all_due:
            now, self.all_due = float("inf"), False
        due = [one for when, one in self._waiting if when <= now]
        self._waiting = [(when, one) for when, one in self._waiting if when > now]
        return due

    def wait(self, seconds: float) -> float:
        """The time until one is due, at most so many seconds."""
        if not self._waiting:
            return seconds
        if self.all_due:
            return 0.0
        return min(max(min(when for when, _ in self._waiting) - time.monotonic(), 0.001), seconds)
