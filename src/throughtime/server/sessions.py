"""`/v1/sessions`: a state for every stream, which is there until it is deleted or its time is over.

A call that changes a session may carry the position that it expects, or an `Idempotency-Key`. With the same
key the same answer comes again, and nothing is done twice; at another position nothing is done (412).

The same calls are of language models and of taggers; what a session is, their own sessions say.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from throughtime.errors import CheckpointError
from throughtime.server.batcher import Batcher
from throughtime.server.errors import ApiError
from throughtime.server.replies import EventReply, JsonReply, to_json
from throughtime.server.rows import Live
from throughtime.server.scheduler import Scheduler
from throughtime.server.serving import Serving, serving
from throughtime.server.session_jobs import (
    CreateJob,
    SessionEvents,
    SessionJob,
    generate_job,
    last_reply,
    made,
    step_job,
)
from throughtime.server.session_requests import (
    CreateRequest,
    ForkRequest,
    FrameStep,
    GenerateRequest,
    StepRequest,
    chunk_of,
    digest_of,
    frame_step,
    id_of,
    schema_of,
)

_MOST_SESSIONS = 100_000

router = APIRouter(tags=["sessions"])
ServingHere = Annotated[Serving, Depends(serving)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
IfMatch = Annotated[str | None, Header(alias="If-Match")]
Retries = Annotated[int | None, Header(alias="x-stainless-retry-count")]


def new_id(model: Any) -> str:
    """A name that nobody guesses, and that says which model the session is of."""
    return f"ses-{model.fingerprint[:8]}-{secrets.token_hex(12)}"


def _expected(position: int | None, match: str | None) -> int | None:
    """The position that a call expects, in its body or as If-Match."""
    if match is None:
        return position
    text = match.strip().strip('"')
    if not text.isdecimal() or len(text) > 18:
        raise ApiError(400, "bad_position", "If-Match must be a position, as in If-Match: 12", "If-Match")
    if position is not None and position != int(text):
        raise ApiError(400, "bad_position", "If-Match and position contradict each other", "If-Match")
    return int(text)


def _headers(id: str) -> dict[str, str]:
    # Proxies may send all calls of a session to one server by it: a warm cache, never needed.
    return {"x-session-id": id}


@router.post("/v1/sessions", status_code=201, response_model=dict[str, Any])
async def create(request: CreateRequest, here: ServingHere, key: Key = None) -> Response:
    """A new session, empty or with a prompt."""
    host = here.following(request.model)
    model, sessions = host.model, host.sessions
    # With a key the name follows from it, so that the same call again makes no second session.
    id = id_of(model, key, "session") if key else new_id(model)
    if isinstance(host, Scheduler) and request.prompt:
        job = CreateJob(id, here.limits.deadline, request, key)
        await job.submit(host)
        return JsonReply(job.outlet, host.wake, last_reply, 1, _headers(id), status=201)
    digest = digest_of(request.model_dump())

    def work() -> dict[str, Any]:
        reply = made(sessions, id, key or "", digest)
        if reply is None:
            live = sessions.open(id, request)
            reply = sessions.described(live)
            if key:
                sessions.record(live, key, digest, reply)
        return reply

    return JSONResponse(await host.call(work), 201, _headers(id))


@router.get("/v1/sessions/{id}")
async def show(id: str, here: ServingHere, since: int | None = None) -> dict[str, Any]:
    """A session's facts; with `since`, the text that it read and wrote from that position on."""
    host = here.of_session(id)
    sessions = host.sessions

    def work() -> dict[str, Any]:
        live = sessions.get(id)
        facts = sessions.described(live)
        return facts if since is None else {**facts, **sessions.since(live, since)}

    return await host.call(work)


@router.delete("/v1/sessions/{id}")
async def delete(id: str, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """End a session."""
    host = here.of_session(id)
    sessions = host.sessions

    def work() -> dict[str, Any]:
        sessions.end(sessions.free(sessions.get(id), _expected(None, match)), "it was deleted")
        return {"id": id, "object": "session", "deleted": True}

    return await host.call(work)


@router.post("/v1/sessions/{id}/generate")
async def generate(
    id: str,
    request: GenerateRequest,
    here: ServingHere,
    key: Key = None,
    match: IfMatch = None,
    retries: Retries = None,
) -> Response:
    """Write. However it is cut into calls, a session of one seed writes one text."""
    scheduler = here.of_text_session(id)
    job = SessionJob(id, here.limits.deadline, _expected(request.position, match), key, bool(retries))
    await generate_job(job, request).submit(scheduler)
    if request.stream:
        events = SessionEvents().events
        return EventReply(job.outlet, scheduler.wake, events, lambda: b"data: [DONE]\n\n", 1, _headers(id))
    return JsonReply(job.outlet, scheduler.wake, last_reply, 1, _headers(id))


@router.post("/v1/sessions/{id}/step")
async def step(
    id: str,
    request: StepRequest,
    here: ServingHere,
    key: Key = None,
    match: IfMatch = None,
    retries: Retries = None,
) -> Response:
    """Read tokens, and tell what the model expects next; or frames, and tell what each one is."""
    host = here.of_session(id)
    expected = _expected(request.position, match)
    if isinstance(host, Batcher):
        reply = await host.ask(
            host.sessions.step, frame_step(host.model, id, request, expected, key, bool(retries))
        )
        return Response(to_json(reply), media_type="application/json", headers=_headers(id))
    scheduler = here.of_text_session(id)
    job = step_job(SessionJob(id, here.limits.deadline, expected, key, bool(retries)), request)
    await job.submit(scheduler)
    return JsonReply(job.outlet, scheduler.wake, last_reply, 1, _headers(id))


@router.post("/v1/sessions/{id}/fork", status_code=201)
async def fork(id: str, request: ForkRequest, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """Copies that go their own way from here."""
    host = here.of_session(id)
    model, sessions = host.model, host.sessions
    expected = _expected(request.position, match)

    def work() -> dict[str, Any]:
        live = sessions.free(sessions.get(id), expected)
        copies = []
        for number in range(request.count):
            seed = None if request.seed is None else request.seed + number
            copies.append(sessions.described(sessions.fork(live, new_id(model), seed)))
        return {**copies[0], "forks": copies} if request.count > 1 else copies[0]

    return await host.call(work)


@router.get("/v1/sessions/{id}/snapshot")
async def get_snapshot(id: str, here: ServingHere) -> Response:
    """All that going on exactly here needs, as bytes that `run.restore_session` reads, too."""
    host = here.of_session(id)
    sessions = host.sessions
    content, position = await host.call(lambda: sessions.snapshot_of(sessions.free(sessions.get(id))))
    headers = {**_headers(id), "etag": f'"{position}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.put("/v1/sessions/{id}/snapshot")
async def put_snapshot(id: str, request: Request, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """Go on from a snapshot: the session then stands where that was taken."""
    host = here.of_session(id)
    sessions = host.sessions
    content = await request.body()
    expected = _expected(None, match)

    def work() -> dict[str, Any]:
        live = sessions.free(sessions.get(id), expected)
        return sessions.described(_restored(lambda: sessions.restore_into(live, content)))

    return await host.call(work)


@router.post("/v1/sessions:restore", status_code=201)
async def restore(request: Request, here: ServingHere, model: str | None = None) -> dict[str, Any]:
    """A new session from a snapshot."""
    host = here.following(model)
    sessions = host.sessions
    content = await request.body()

    def work() -> dict[str, Any]:
        return sessions.described(_restored(lambda: sessions.restore_new(new_id(host.model), content)))

    return await host.call(work)


def _restored(restore: Callable[[], Live]) -> Any:
    try:
        return restore()
    except CheckpointError as error:
        raise ApiError(422, "bad_snapshot", str(error)) from None


class BulkStep(BaseModel):
    """What one session reads: tokens, or frames or samples."""

    model_config = ConfigDict(extra="forbid")

    id: str
    tokens: list[int] | None = None
    frames: list[list[float]] | None = None
    samples: list[float] | None = None
    position: int | None = None


class BulkRequest(BaseModel):
    """Steps of many sessions of one model."""

    model_config = ConfigDict(extra="forbid")

    steps: list[BulkStep] = Field(max_length=_MOST_SESSIONS)
    top: int = Field(1, ge=0, le=100, description="Language models: how many of the next tokens to tell.")


@router.post(
    "/v1/sessions:step",
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": schema_of(BulkRequest)}},
            "required": True,
        }
    },
)
async def step_many(request: Request, here: ServingHere) -> Response:
    """Read tokens or frames in thousands of sessions at once. Each has its own result."""
    from throughtime.server.bulk import compose_bulk, compose_frames, parse_bulk

    bulk = parse_bulk(await request.body())
    if not bulk.steps:
        return Response(b'{"results":[]}', media_type="application/json")
    host = here.of_session(bulk.steps[0][0])
    reads = host.model.reads if isinstance(host, Batcher) else "tokens"
    if bulk.reads != reads:
        raise ApiError(400, "wrong_task", f"{host.model.name} reads {reads}, not {bulk.reads}", bulk.reads)
    if isinstance(host, Batcher):
        width, sessions = host.model.width, host.sessions
        steps = [
            FrameStep(id, chunk_of(values, reads, width), position) for id, values, position in bulk.steps
        ]
        replies = await host.call(lambda: sessions.step(steps, together=True), without=bulk.frames_without)
        return Response(compose_frames(bulk, replies, host.model.name), media_type="application/json")
    scheduler = here.of_text_session(bulk.steps[0][0])
    stepped = await scheduler.call(
        lambda: scheduler.sessions.step_many(bulk.steps, bulk.top > 0), without=bulk.without
    )
    return Response(compose_bulk(bulk, stepped, scheduler.model), media_type="application/json")
