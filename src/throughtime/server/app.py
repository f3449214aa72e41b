"""The application: routes, errors in one shape, and the threads that start and end with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from throughtime import __version__
from throughtime.errors import ThroughtimeError
from throughtime.run import Run
from throughtime.server import completions, operations, responses, sessions
from throughtime.server.errors import ApiError
from throughtime.server.guard import Guard
from throughtime.server.metrics import Metrics
from throughtime.server.replies import as_api_error
from throughtime.server.scheduler import Limits, Scheduler
from throughtime.server.serving import Serving
from throughtime.server.store import Store
from throughtime.server.text_model import TextModel
from throughtime.server.text_sessions import TextSessions
from throughtime.tasks.language_model.run import LanguageModelRun

_CODES = {
    404: ("not_found", "there is no such path: GET /openapi.json lists them"),
    405: ("method_not_allowed", "the path does not take this method: GET /openapi.json lists them"),
}

DESCRIPTION = """
Recurrent models over HTTP: completions in OpenAI's format, and sessions that keep a stream's state.
"""


def make_serving(runs: Mapping[str, Run], store: Store, limits: Limits) -> Serving:
    """The models, each with its thread, which does not run yet.

    Args:
        runs: by the names that requests call them.
        store: where sessions are kept.
        limits: how much the server takes on.
    """
    metrics = Metrics()
    texts = {}
    for name, run in runs.items():
        if isinstance(run, LanguageModelRun):
            model = TextModel(name, run)
            sessions_of = TextSessions(model, store, limits.memory, limits.time_to_live)
            scheduler = texts[name] = Scheduler(model, sessions_of, store, limits, metrics)
            _watch(metrics, scheduler)
    return Serving(texts, dict(runs), store, limits, metrics, created=time.time())


def _watch(metrics: Metrics, scheduler: Scheduler) -> None:
    name = scheduler.model.name
    metrics.watch("streams", "Streams that are being moved on.", lambda: scheduler.load[0], name)
    metrics.watch("waiting", "Calls that wait.", lambda: scheduler.load[1], name)
    metrics.watch("sessions_live", "Sessions in memory.", lambda: scheduler.sessions.count, name)


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
        for scheduler in here.texts.values():
            scheduler.start(loop)
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
    app.include_router(responses.router)
    app.include_router(operations.router)
    for kind in (ThroughtimeError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer_error)
    return Guard(app, here.metrics, tokens, most_bytes)


async def drain(here: Serving, seconds: float) -> None:
    """Take nothing new, end what runs within so many seconds, and save the sessions."""
    here.ready = False
    await asyncio.gather(*(scheduler.drain(seconds) for scheduler in here.texts.values()))


async def _answer_error(_: Request, error: Exception) -> Response:
    said = _as_said(error)
    return JSONResponse(said.body(), said.status, said.headers)


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
