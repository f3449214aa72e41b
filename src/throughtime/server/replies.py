"""The hot path: answers that are written as ASGI messages, without anything between them and the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from throughtime.server.errors import ApiError, shutting_down
from throughtime.server.outlet import Outlet
from throughtime.server.rows import News

# Proxies close connections on which nothing comes for a minute or so.
_PING_SECONDS = 15.0
_EVENT_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def to_json(value: Any) -> bytes:
    """A body."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def headers_of(given: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]


class JobReply(Response):
    """What comes of a job, written as it comes.

    A reader that goes away closes the job's outlet, which frees its slots at the next tick.

    Args:
        outlet: of the job.
        wake: tells the scheduler that something changed.
        headers: besides those of the kind of answer.
    """

    def __init__(
        self, outlet: Outlet, wake: Callable[[], None], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers=headers)
        self.outlet = outlet
        self._wake = wake
        self._extra = headers_of(headers or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._watch(receive))
        try:
            await self.answer(send)
        finally:
            watch.cancel()
            if not self.outlet.closed:
                self.outlet.closed = True
                self._wake()

    async def answer(self, send: Send) -> None:
        """Send the whole answer."""
        raise NotImplementedError

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.outlet.closed = True
        self._wake()
        self.outlet.put(_LEFT, 0)

    async def pieces(self) -> list[News]:
        """What came; an empty list where it is time for a sign of life.

        Raises:
            ApiError: the job was refused or ended by an error.
            ReaderLeftError: nobody reads the answer.
        """
        taken = [one for one in await self.outlet.take() if one is not _PING]
        for place, piece in enumerate(taken):
            if isinstance(piece, News):
                if piece.error is not None:
                    raise piece.error
                continue
            if piece is _LEFT:
                raise ReaderLeftError
            if place:  # what came before it goes out first
                self.outlet.put(piece, 0)
                return taken[:place]
            raise piece
        return taken

    async def send_json(self, send: Send, body: bytes, status: int = 200, headers: Any = ()) -> None:
        """The whole answer at once."""
        every = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        every += self._extra + list(headers)
        await send({"type": "http.response.start", "status": status, "headers": every})
        await send({"type": "http.response.body", "body": body})


class ReaderLeftError(Exception):
    """The connection was closed at the other end."""


_LEFT = object()
_PING = object()


class JsonReply(JobReply):
    """A job's answer in one piece.

    Args:
        compose: the body, from all that came.
        count: streams of the job, each of which ends.
        status: where it is done.
    """

    def __init__(
        self,
        outlet: Outlet,
        wake: Callable[[], None],
        compose: Callable[[list[News]], bytes],
        count: int,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> None:
        super().__init__(outlet, wake, headers)
        self._compose, self._count, self._status = compose, count, status

    async def answer(self, send: Send) -> None:
        news: list[News] = []
        left = self._count
        try:
            while left:
                for piece in await self.pieces():
                    news.append(piece)
                    left -= bool(piece.reason)
        except ReaderLeftError:
            return
        except Exception as error:
            await send_error(send, error, self._extra)
            return
        await self.send_json(send, self._compose(news), self._status)


class EventReply(JobReply):
    """A job's answer as server-sent events, one or more for each piece.

    Args:
        events: the bytes that go out for what came.
        last: what goes out after the end of all streams.
        count: streams of the job.
    """

    def __init__(
        self,
        outlet: Outlet,
        wake: Callable[[], None],
        events: Callable[[list[News]], bytes],
        last: Callable[[], bytes],
        count: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(outlet, wake, headers)
        self._events, self._last, self._count = events, last, count

    async def answer(self, send: Send) -> None:
        left, begun = self._count, False
        loop = asyncio.get_running_loop()
        self._told_at = loop.time()
        self._timer = loop.call_later(_PING_SECONDS, self._ping, loop)
        try:
            while left:
                pieces = await self.pieces()
                self._told_at = loop.time()
                if not begun:
                    begun = True
                    headers = _EVENT_HEADERS + self._extra
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                body = self._events(pieces) if pieces else b": ping\n\n"
                for piece in pieces:
                    left -= bool(piece.reason)
                if not left:
                    body += self._last()
                await send({"type": "http.response.body", "body": body, "more_body": bool(left)})
        except ReaderLeftError:
            return
        except Exception as error:
            if not begun:
                await send_error(send, error, self._extra)
                return
            body = to_json(as_api_error(error).body())
            await send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": False})
        finally:
            self._timer.cancel()

    def _ping(self, loop: asyncio.AbstractEventLoop) -> None:
        """A sign of life where nothing has gone out for long. A timer for each piece would cost more."""
        idle = loop.time() - self._told_at
        if idle >= _PING_SECONDS:
            self.outlet.put(_PING, 0)
            idle = 0.0
        self._timer = loop.call_later(_PING_SECONDS - idle, self._ping, loop)


def as_api_error(error: Exception) -> ApiError:
    """What an answer says of an error."""
    from throughtime.errors import ThroughtimeError, UnknownTokenError

    if isinstance(error, ApiError):
        return error
    if isinstance(error, UnknownTokenError):
        return ApiError(400, "unknown_token", str(error), "prompt")
    if isinstance(error, ThroughtimeError):
        return ApiError(400, "bad_request", str(error))
    if isinstance(error, asyncio.CancelledError):
        return shutting_down()
    return ApiError(500, "internal_error", f"the server failed: {type(error).__name__}")


async def send_error(send: Send, error: Exception, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """An error as the whole answer."""
    said = as_api_error(error)
    body = to_json(said.body())
    every = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    every += [*headers, *headers_of(said.headers)]
    await send({"type": "http.response.start", "status": said.status, "headers": every})
    await send({"type": "http.response.body", "body": body})


Sender = Callable[[dict[str, Any]], Awaitable[None]]
