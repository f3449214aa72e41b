"""`/v1/sessions/{id}/stream`: a WebSocket on which each message is a call of one session, answered in order.

A message is JSON: `{"frames": [[...]]}`, `{"samples": [...]}`, `{"tokens": [...]}` or `{"text": "..."}` is a
step, `{"generate": {...}}` writes, and the pieces come back one by one. `position` and `key` may stand beside
each. Or it is binary: little-endian, float32 frames or samples, or int32 tokens. A call that is refused is
told so, and the socket stays; it closes where the session is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope, Send

from throughtime.server.batcher import Batcher
from throughtime.server.errors import ApiError
from throughtime.server.replies import as_api_error, to_json
from throughtime.server.rows import News
from throughtime.server.serving import Host, Serving
from throughtime.server.session_jobs import (
    SessionEvents,
    SessionJob,
    generate_job,
    last_reply,
    step_job,
)
from throughtime.server.session_requests import FrameStep, GenerateRequest, StepRequest, frame_step

# What a client may have sent ahead of its answers before nobody reads on.
_MOST_BYTES = 2**20
_MOST_MESSAGES = 64
# Reasons to close, beside those of the protocol; the first is that of HTTP.
_CLOSES = {404: 4404, 410: 4410, 503: 1012}
_INTERNAL, _LONGEST_KEY = 1011, 200

M = TypeVar("M", bound=BaseModel)


class StreamSocket:
    """The endpoint, as plain ASGI."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        here: Serving = scope["app"].state.serving
        id: str = scope["path_params"]["id"]
        try:
            host = here.of_session(id)
            sessions = host.sessions
            facts = await host.call(lambda: sessions.described(sessions.get(id)))
        except ApiError as error:
            await _refuse(send, error, _CLOSES.get(error.status, _INTERNAL))
            return
        await _tell(send, to_json(facts))
        connection = _Connection(here, host, id, receive, send)
        await connection.run()


class _Connection:
    """One socket: a task reads messages, and this one answers them.

    Args:
        here, host: the server, and the thread of the session's model.
        id: the session.
        receive, send: of the socket.
    """

    def __init__(self, here: Serving, host: Host, id: str, receive: Receive, send: Send) -> None:
        self._here, self._host, self._id = here, host, id
        self._receive, self._send = receive, send
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(_MOST_MESSAGES)
        self._bytes = 0
        self._room = asyncio.Event()
        self._job: SessionJob | None = None

    async def run(self) -> None:
        """Answer until one of the two sides leaves."""
        answering = asyncio.create_task(self._answer_all())
        reading = asyncio.create_task(self._read_all())
        try:
            await asyncio.wait([answering, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, reading):
                task.cancel()
            await asyncio.gather(answering, reading, return_exceptions=True)
            self._let_go()

    def _let_go(self) -> None:
        """What still runs for nobody ends at the next tick, and its session is free."""
        job, self._job = self._job, None
        if job is not None:
            job.outlet.closed = True
            self._here.of_text_session(self._id).wake()

    async def _read_all(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            self._bytes += _size(message)
            await self._inbox.put(message)
            while self._bytes > _MOST_BYTES:
                self._room.clear()
                await self._room.wait()

    async def _answer_all(self) -> None:
        while True:
            message = await self._inbox.get()
            self._bytes -= _size(message)
            self._room.set()
            try:
                await self._answer(message)
            except OSError:  # the other side has left
                return
            except Exception as error:
                said = as_api_error(error)
                if said.status in _CLOSES or said.status >= 500:
                    await _refuse(self._send, said, _CLOSES.get(said.status, _INTERNAL))
                    return
                await _tell(self._send, _error(said))

    async def _answer(self, message: Message) -> None:
        if message.get("bytes") is not None:
            await self._step_of_bytes(message["bytes"])
            return
        try:
            body = json.loads(message["text"])
        except (ValueError, RecursionError):
            raise ApiError(400, "bad_json", "the message is no JSON") from None
        if not isinstance(body, dict):
            raise ApiError(422, "bad_request", 'the message must be an object, as {"frames": [[...]]}')
        key = body.pop("key", "")
        if not isinstance(key, str) or len(key) > _LONGEST_KEY:
            raise ApiError(
                422, "bad_request", f"key must be a text of {_LONGEST_KEY} characters at most", "key"
            )
        if "generate" in body:
            await self._generate(body, key)
        else:
            await self._step(_checked(StepRequest, body), key)

    async def _generate(self, body: dict[str, Any], key: str) -> None:
        wishes = body.pop("generate")
        if not isinstance(wishes, dict):
            raise ApiError(422, "bad_request", "generate must be an object", "generate")
        request = _checked(GenerateRequest, {**wishes, **body, "stream": True})
        events = SessionEvents().events
        job = generate_job(self._new_job(request.position, key), request)
        async for news in self._run(job):
            event = events(news)
            if event:
                await _tell(self._send, event[len(b"data: ") :].rstrip())

    async def _step(self, request: StepRequest, key: str) -> None:
        if isinstance(self._host, Batcher):
            step = frame_step(self._host.model, self._id, request, request.position, key, False)
            await self._step_frames(self._host, step)
        else:
            await self._step_text(step_job(self._new_job(request.position, key), request))

    async def _step_of_bytes(self, content: bytes) -> None:
        host = self._host
        if isinstance(host, Batcher):
            width, reads = host.model.width, host.model.reads
            if len(content) % (4 * width):
                raise ApiError(400, "bad_bytes", f"{reads} are {width} x 4 bytes each, float32", reads)
            chunk = np.frombuffer(content, "<f4").astype(np.float32)
            step = FrameStep(self._id, chunk if reads == "samples" else chunk.reshape(-1, width))
            await self._step_frames(host, step)
            return
        if len(content) % 4:
            raise ApiError(400, "bad_bytes", "tokens are 4 bytes each, int32", "tokens")
        request = _checked(StepRequest, {"tokens": np.frombuffer(content, "<i4").tolist()})
        await self._step_text(step_job(self._new_job(None, ""), request))

    async def _step_frames(self, host: Batcher, step: FrameStep) -> None:
        await _tell(self._send, to_json(await host.ask(host.sessions.step, step)))

    async def _step_text(self, job: SessionJob) -> None:
        news: list[News] = []
        async for some in self._run(job):
            news += some
        await _tell(self._send, last_reply(news))

    def _new_job(self, position: int | None, key: str) -> SessionJob:
        return SessionJob(self._id, self._here.limits.deadline, position, key, False)

    async def _run(self, job: SessionJob) -> AsyncIterator[list[News]]:
        """What comes of a job, until its end."""
        await job.submit(self._here.of_text_session(self._id))
        self._job = job
        ended = False
        while not ended:
            news: list[News] = []
            for piece in await job.outlet.take():
                if not isinstance(piece, News):
                    self._job = None
                    raise piece
                if piece.error is not None:
                    self._job = None
                    raise piece.error
                news.append(piece)
                ended = ended or bool(piece.reason)
            if ended:
                self._job = None
            yield news


async def _tell(send: Send, body: bytes) -> None:
    await send({"type": "websocket.send", "text": body.decode()})


async def _refuse(send: Send, error: ApiError, code: int) -> None:
    """Say why, and close."""
    await _tell(send, _error(error))
    await send({"type": "websocket.close", "code": code, "reason": error.code})


def _error(error: ApiError) -> bytes:
    return to_json({**error.body(), "status": error.status})


def _size(message: Message) -> int:
    return len(message.get("bytes") or message.get("text") or b"")


def _checked(kind: type[M], body: dict[str, Any]) -> M:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ApiError(422, "bad_request", f"{where}: {first['msg']}", where or None) from None
