"""From the thread that computes to the connection that waits: one wake-up of the event loop for each tick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

# What a connection that does not read may leave in memory before its stream pauses.
_MOST_BYTES = 64 * 1024


class Outlet:
    """What one request has to be told, in order. It is filled and emptied in the event loop.

    A reader that is slow finds several pieces at once, and may join them; one that is too slow makes `full`
    true, and the scheduler leaves its streams where they are until it has read.

    Attributes:
        full: too much waits; the computing thread reads it.
        closed: the connection is gone; the computing thread reads it.
        drained: called when it is no longer full.
    """

    def __init__(self) -> None:
        self.full = self.closed = False
        self.drained: Callable[[], None] = _nothing
        self._pieces: list[Any] = []
        self._bytes = 0
        self._reader: asyncio.Future[None] | None = None

    def put(self, piece: Any, size: int) -> None:
        """Add a piece, and wake whoever waits."""
        self._pieces.append(piece)
        self._bytes += size
        self.full = self._bytes > _MOST_BYTES
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> list[Any]:
        """All that waits, at least one piece."""
        if not self._pieces:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        taken, self._pieces = self._pieces, []
        self._bytes = 0
        if self.full:
            self.full = False
            self.drained()
        return taken


def _nothing() -> None:
    """Nobody waits for the reader."""
