"""Clients of a server, as light as they can be: the machine's other core has to feed 64 streams.

Bytes are kept with the times at which they came, and read when all is over.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """What one request was answered.

    Args:
        seed: of the request.
        asked: when it was to go out.
        pieces: when each piece of the answer came, and its bytes.
    """

    seed: int
    asked: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def events(self) -> list[tuple[float, str]]:
        """When each event came, and its text."""
        events, rest = [], b""
        for when, content in self.pieces:
            *lines, rest = (rest + content).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    if choices and (choices[0]["text"] or choices[0]["finish_reason"]):
                        events.append((when, choices[0]["text"]))
        return events


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks for streams, one after the other."""

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._done: asyncio.Future[None] | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._done is None:
            return
        self._reply.pieces.append((time.perf_counter(), data))
        self._tail = (self._tail + data)[-16:]
        if self._tail.endswith(b"0\r\n\r\n") and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))

    async def ask(self, path: str, body: dict[str, Any], seed: int, asked: float) -> Reply:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        self._reply, self._tail = Reply(seed, asked), b""
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + content)  # type: ignore[attr-defined]
        await self._done
        return self._reply


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


Body = Callable[[int], dict[str, Any]]


async def keep_busy(port: int, path: str, body: Body, streams: int, seconds: float) -> list[Reply]:
    """So many streams at once, each followed by the next."""
    replies: list[Reply] = []
    end = time.perf_counter() + seconds
    seeds = iter(range(10**9))

    async def one() -> None:
        connection = await connect(port)
        while time.perf_counter() < end:
            seed = next(seeds)
            replies.append(await connection.ask(path, body(seed), seed, time.perf_counter()))

    await asyncio.gather(*(one() for _ in range(streams)))
    return replies


async def arrive(port: int, path: str, body: Body, rate: float, seconds: float) -> list[Reply]:
    """Requests that come when they come (Poisson), whether others have been answered or not."""
    replies: list[Reply] = []
    tasks: set[asyncio.Task[None]] = set()
    idle: list[Connection] = []
    chance = random.Random(0)
    begin = time.perf_counter()
    due = begin
    seed = 0

    async def one(seed: int, asked: float) -> None:
        connection = idle.pop() if idle else await connect(port)
        replies.append(await connection.ask(path, body(seed), seed, asked))
        idle.append(connection)

    while (due := due + chance.expovariate(rate)) < begin + seconds:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        task = asyncio.create_task(one(seed, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        seed += 1
    while tasks:
        await asyncio.gather(*tasks)
    return replies
