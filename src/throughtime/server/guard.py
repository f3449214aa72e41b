"""What stands before every route: who may call, how much may come in, request ids, the log, and counting.

It is plain ASGI: anything that wraps answers again would cost each event twice.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import secrets
import time
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from throughtime.errors import OptionError
from throughtime.server.errors import ApiError
from throughtime.server.metrics import Metrics
from throughtime.server.replies import headers_of, send_error

log = logging.getLogger("throughtime.server.access")

# What anybody may ask, as load balancers do.
_OPEN = {"/health", "/ready", "/v2/health/live", "/v2/health/ready"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LEAST_TOKEN = 16


def read_tokens(path: Path) -> list[bytes]:
    """The bearer tokens of a file, one on each line.

    Raises:
        OptionError: there is none, or one is too short to be a secret.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--tokens {path}: {getattr(error, 'strerror', None) or error}") from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for number, token in enumerate(tokens, 1):
        if len(token) < _LEAST_TOKEN or not token.isascii():
            raise OptionError(
                f"--tokens {path}: token {number} must be {_LEAST_TOKEN} ASCII characters or longer"
            )
    if not tokens:
        raise OptionError(f"--tokens {path} holds no token: write one on each line")
    return [token.encode() for token in tokens]


class Guard:
    """The outermost layer of the application.

    Args:
        app: what it guards.
        metrics: what it counts.
        tokens: bearer tokens, one of which a call needs; none is open to all.
        most_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tokens: list[bytes], most_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._tokens = tokens
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        if scope["type"] == "websocket":
            if self._may_call(scope, headers):
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "no valid bearer token"})
            return
        begin = time.perf_counter()
        status, sent = 500, 0

        async def counting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            else:
                sent += 1
            await send(message)

        try:
            if not self._may_call(scope, headers):
                said = ApiError(401, "no_token", "send a valid token as Authorization: Bearer TOKEN")
                await send_error(counting, said, headers_of({"www-authenticate": "Bearer"}))
                return
            body = _Body(receive, self._most_bytes)
            try:
                body.check(headers)
                await self._app(scope, body, counting)
            except ApiError as error:
                await send_error(counting, error)
        finally:
            self._count(scope, status, sent, time.perf_counter() - begin, request_id)

    def _may_call(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        if not self._tokens or scope["path"] in _OPEN:
            return True
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        right = False
        for one in self._tokens:  # all of them, so that the time tells nothing
            right |= hmac.compare_digest(token.strip(), one)
        return right and kind.lower() == b"bearer"

    def _count(self, scope: Scope, status: int, sent: int, seconds: float, request_id: str) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "other")
        self._metrics.requests.labels(scope["method"], path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        self._metrics.events.inc(sent)
        # Balancers ask every second whether the server is well: that it is, is no news.
        if log.isEnabledFor(logging.INFO) and not (scope["path"] in _OPEN and status < 400):
            client = scope.get("client") or ("", 0)
            facts = {
                "time": round(time.time(), 3),
                "request_id": request_id,
                "client": client[0],
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(seconds, 5),
            }
            if user := scope["state"].get("user"):
                facts["user"] = user
            log.info(json.dumps(facts))


class _Body:
    """A request's body, up to a size."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._read = 0

    def check(self, headers: dict[bytes, bytes]) -> None:
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            raise self._too_large()

    async def __call__(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._most:
                raise self._too_large()
        return message

    def _too_large(self) -> ApiError:
        return ApiError(413, "too_large", f"a body may have {self._most:,} bytes at most: see --max-body")
