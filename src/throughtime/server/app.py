"""The application: routes, errors in one shape, and the threads that start and end with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from throughtime import __version__
from throughtime.errors import OptionError, ThroughtimeError
from throughtime.run import Run
from throughtime.server import completions, kserve, operations, predictions, responses, sessions
from throughtime.server.batcher import Batcher
from throughtime.server.errors import ApiError
from throughtime.server.frame_model import FrameModel
from throughtime.server.frame_sessions import FrameSessions
from throughtime.server.guard import Guard
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.metrics import Metrics
from throughtime.server.predictors import predictor_of
from throughtime.server.replies import as_api_error
from throughtime.server.scheduler import Limits, Scheduler
from throughtime.server.serving import Serving
from throughtime.server.store import Store
from throughtime.server.stream_socket import StreamSocket
from throughtime.server.text_model import TextModel
from throughtime.server.text_sessions import TextSessions
from throughtime.tasks.language_model.run import LanguageModelRun
from throughtime.tasks.tagger.run import TaggerRun

H = TypeVar("H", Scheduler, Batcher)

_CODES = {
    404: ("not_found", "there is no such path: GET /openapi.json lists them"),
    405: ("method_not_allowed", "the path does not take this method: GET /openapi.json lists them"),
}

DESCRIPTION = """
Recurrent models over HTTP: completions in OpenAI's format, predictions of every task, and sessions that keep
a stream's state.
"""


def make_serving(runs: Mapping[str, Run], store: Store, limits: Limits) -> Serving:
    """The models, each with its thread, which does not run yet.

    Args:
        runs: by the names that requests call them.
        store: where sessions are kept.
        limits: how much the server takes on.
    """
    here = Serving({}, dict(runs), store, limits, Metrics(), created=time.time())
    for name, run in runs.items():
        if isinstance(run, LanguageModelRun):
            model = TextModel(name, run)
            sessions_of = TextSessions(model, store, limits.memory, limits.time_to_live)
            twin = _twin(here.texts.values(), sessions_of)
            here.texts[name] = twin or Scheduler(model, sessions_of, store, limits, here.metrics)
        else:
            here.batchers[name] = _batcher(here, name, run)
            predictor = predictor_of(run)
            if predictor is not None:
                here.predictors[name] = predictor
    for host in here.hosts:
        _watch(here.metrics, host)
    return here


def _twin(hosts: Iterable[H], sessions: LiveSessions[Any]) -> H | None:
    """The thread of a model that is served under another name already.

    A session's name says which weights it is of, and not what they are called: two threads would each have a
    state of it.
    """
    return next((one for one in hosts if one.sessions.identity == sessions.identity), None)


def _batcher(here: Serving, name: str, run: Run) -> Batcher:
    """The thread of a model that predicts, with sessions where it can follow a stream."""
    if not isinstance(run, TaggerRun):
        return Batcher(name, here.limits, here.metrics)
    try:
        model = FrameModel(name, run)
    except OptionError as error:
        here.no_sessions[name] = str(error)
        return Batcher(name, here.limits, here.metrics)
    sessions_of = FrameSessions(model, here.store, here.limits.memory, here.limits.time_to_live)
    twin = _twin((one for one in here.batchers.values() if one.has_sessions), sessions_of)
    return twin or Batcher(name, here.limits, here.metrics, model, sessions_of, here.store)


def _watch(metrics: Metrics, host: Scheduler | Batcher) -> None:
    name = host.name
    metrics.watch("streams", "Streams that are being moved on.", lambda: host.load[0], name)
    metrics.watch("waiting", "Calls that wait.", lambda: host.load[1], name)
    if isinstance(host, Scheduler) or host.has_sessions:
        metrics.watch("sessions_live", "Sessions in memory.", lambda: host.sessions.count, name)


def make_app(here: Serving, tokens: list[bytes], most_bytes: int) -> ASGIApp:
    """The application.

    Args:
        here: of `make_serving`.
        tokens: bearer tokens; none is open to all.
        most_bytes: of a body.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        for host in here.hosts:
            host.start(loop)
        here.ready = True
        yield
        await drain(here, 0.0)

    app = FastAPI(
        title="Throughtime",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json",
    )
    app.state.serving = here
    app.include_router(completions.router)
    app.include_router(sessions.router)
    app.include_router(predictions.router)
    app.router.routes.append(WebSocketRoute("/v1/sessions/{id}/stream", StreamSocket()))
    app.include_router(responses.router)
    app.include_router(kserve.router)
    app.include_router(operations.router)
    for kind in (ThroughtimeError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer_error)
    return Guard(app, here.metrics, tokens, most_bytes)


async def drain(here: Serving, seconds: float) -> None:
    """Take nothing new, end what runs within so many seconds, and save the sessions."""
    here.ready = False
    await asyncio.gather(*(host.drain(seconds) for host in here.hosts))


async def _answer_error(request: Request, error: Exception) -> Response:
    said = _as_said(error)
    # Clients of the KServe protocol read a text.
    is_v2 = request.url.path.split("/")[1:2] == [kserve.PREFIX[1:]]
    return JSONResponse({"error": str(said)} if is_v2 else said.body(), said.status, said.headers)


def _as_said(error: Exception) -> ApiError:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        # The first part says where it came from, and a part that follows a choice names one of its types.
        where = ".".join(str(part) for part in first["loc"][1:] if not str(part).endswith(("]", "str")))
        what = str(first["msg"]).removeprefix("Value error, ")
        return ApiError(422, "bad_request", f"{where}: {what}" if where else what, where or None)
    if isinstance(error, HTTPException):
        code, what = _CODES.get(error.status_code, ("http_error", str(error.detail)))
        return ApiError(error.status_code, code, what, headers=dict(error.headers or {}))
    return as_api_error(error)
