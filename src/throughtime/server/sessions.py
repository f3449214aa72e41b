"""`/v1/sessions`: a state for every stream, which is there until it is deleted or its time is over.

A call that changes a session may carry the position that it expects, or an `Idempotency-Key`. With the same
key the same answer comes again, and nothing is done twice; at another position nothing is done (412).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from throughtime.errors import CheckpointError
from throughtime.generation.text import random_seed
from throughtime.server.completions import Sampling, best_tokens, digest_of, joined, stop_strings
from throughtime.server.errors import ApiError
from throughtime.server.outlet import Outlet
from throughtime.server.replies import EventReply, JsonReply, to_json
from throughtime.server.rows import NO_TOKENS, Live, News, Row
from throughtime.server.serving import Serving, serving
from throughtime.server.text_model import TextModel
from throughtime.server.text_output import TextOutput
from throughtime.server.text_sessions import TextSessions

_MOST_TOKENS = 1_000_000
_LONGEST_LIFE = 10 * 365 * 24 * 3600.0
_MOST_SESSIONS = 100_000
_SHOWN = 5
# Why a stream ends that was told before.
REPLAYED = "replayed"

router = APIRouter(tags=["sessions"])
ServingHere = Annotated[Serving, Depends(serving)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
IfMatch = Annotated[str | None, Header(alias="If-Match")]
Retries = Annotated[int | None, Header(alias="x-stainless-retry-count")]


class CreateRequest(Sampling):
    """A new session."""

    model: str | None = Field(None, description="One of /v1/models; needed where there are several.")
    prompt: str | list[int] | None = Field(None, description="What it reads at once.")
    seed: int | None = Field(None, ge=0, lt=2**63)
    conditions: dict[str, Any] | None = Field(None, description="Lines: what steers them.")
    ttl: float | None = Field(None, gt=0, le=_LONGEST_LIFE, description="Seconds after its last call.")
    metadata: dict[str, str] | None = Field(None, description="Kept, and given back.")


class Changing(BaseModel):
    """What every call that changes a session may say."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    position: int | None = Field(None, ge=0, description="Where the session has to be; else 412.")


class GenerateRequest(Changing, Sampling):
    """Text to write."""

    max_tokens: int = Field(16, ge=0, le=_MOST_TOKENS)
    prompt: str | list[int] | None = Field(None, description="What it reads first.")
    stop: str | list[str] | None = Field(None, description="Ends before the first of these, and has read it.")
    stream: bool = False


class StepRequest(Changing):
    """Tokens to read."""

    tokens: list[int] | None = Field(None, description="What it reads.")
    text: str | None = Field(None, description="The same as a text.")
    top: int = Field(_SHOWN, ge=0, le=1000, description="How many of the most probable next tokens to tell.")
    logits: bool = Field(False, description="Tell the logits of all tokens.")


class ForkRequest(Changing):
    """A copy."""

    count: int = Field(1, ge=1, le=1000)
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Seeds the copies' draws; else they draw the same."
    )


class SessionJob:
    """A call that moves a session on: tokens to read, then tokens to draw."""

    rows_wanted = 1

    def __init__(self, id: str, seconds: float, position: int | None, key: str | None, retried: bool) -> None:
        self.id = id
        self.outlet = Outlet()
        self.deadline = time.monotonic() + seconds
        self.position = position
        self.key = key or ""
        self.retried = retried
        self.reads: Any = ()
        self.limit = 0
        self.stops: list[str] = []
        self.streams = False
        self.top: int | None = None
        self.tells_logits = False
        self.request: Sampling | None = None
        self.digest = ""

    def begin(self, model: TextModel, sessions: TextSessions) -> list[Row] | News:
        live = sessions.get(self.id)
        self.tokenizer = model.tokenizer
        call = sessions.recorded(live, self.key, self.digest) if self.key else None
        if call is not None and call.get("reply") is not None:
            return News(0, b"", [], reason=REPLAYED, position=live.position, reply=call["reply"])
        if self.retried and self.position is None and not self.key:
            raise ApiError(
                409,
                "ambiguous_retry",
                "this is a repeated call, and nobody knows whether the first one was done: send position, or "
                "an Idempotency-Key",
                facts={"position": live.position},
                headers={"x-should-retry": "false"},
            )
        sessions.free(live, None if call is not None else self.position)
        row = self._row(model, sessions, live)
        if call is not None:
            sessions.go_on(row, self.key, call)
        else:
            sessions.supersede(live)
        if call is None and self.key:
            row.key = self.key
            row.call = {
                "digest": self.digest,
                "start": live.position,
                "decoder": live.decoder.state(),
                "complete": live.complete,
            }
            if self.streams:
                sessions.begin_call(live, self.key, row.call)
        live.busy = True
        if self.request is not None:
            options = self.request.sampling(live.options)
            if options != live.options:
                row.own_options = options
                sessions.set_options(live, options)
        return [row]

    def _row(self, model: TextModel, sessions: TextSessions, live: Live) -> Row:
        reads = NO_TOKENS
        resets = False
        given = len(self.reads) > 0
        if given or self.limit:
            resets = sessions.begin_line(live) and live.position > 0
        if given:
            begins = model.writes_lines and (resets or live.position == 0)
            reads = model.session_tokens(self.reads, begins)
        elif self.limit and (resets or live.position == 0):
            reads = model.prompt_tokens("")
        output = TextOutput(model.vocabulary, self.stops, live.decoder)
        row = Row(self, 0, live.slot, reads, self.limit, output, live, self.streams, not self.streams)
        row.resets = resets
        row.wants_logits = bool(self.top) or self.tells_logits
        row.has_stop_strings = bool(self.stops)
        if not len(reads) and not self.limit:
            row.reason = "read"
            if row.wants_logits:
                row.last_logits = model.engine.logits([live.slot])[0]
        return row

    def reply(self, row: Row) -> dict[str, Any] | None:
        live = row.live
        assert live is not None
        if self.top is None:
            return {
                "id": live.id,
                "object": "session.generation",
                "text": json.loads(b'"' + b"".join(row.all_text) + b'"'),
                "position": live.position,
                "finish_reason": row.reason,
                "tokens": row.drawn,
            }
        told: dict[str, Any] = {"id": live.id, "object": "session.step", "position": live.position}
        if row.last_logits is not None:
            told["next"] = best_tokens(self.tokenizer, row.last_logits, self.top)
            if self.tells_logits:
                told["logits"] = row.last_logits.tolist()
        return told


def described(live: Live, model: TextModel) -> dict[str, Any]:
    """What is told of a session."""
    facts = live.facts
    return {
        "id": live.id,
        "object": "session",
        "model": model.name,
        "position": live.position,
        "seed": facts["seed"],
        "created": int(facts["created"]),
        "expires": int(live.expires),
        "options": facts["options"],
        "conditions": facts.get("conditions"),
        "metadata": facts.get("metadata") or {},
        "forked_from": facts.get("forked_from"),
        "busy": live.busy,
    }


def new_id(model: TextModel) -> str:
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


@router.post("/v1/sessions", status_code=201)
async def create(
    request: CreateRequest, here: ServingHere, response: Response, key: Key = None
) -> dict[str, Any]:
    """A new session, empty or with a prompt."""
    scheduler = here.text(request.model)
    model = scheduler.model
    options = request.sampling()
    digest = digest_of(request.model_dump())
    # With a key the name follows from it, so that the same call again makes no second session.
    id = new_id(model) if key is None else f"ses-{model.fingerprint[:8]}-{digest_of([key, 'session'])[:24]}"
    seed = random_seed() if request.seed is None else request.seed

    def work() -> dict[str, Any]:
        if key is not None:
            try:
                known = scheduler.sessions.get(id)
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                call = scheduler.sessions.recorded(known, key, digest)
                if call is not None:
                    return call["reply"]
        tokens = None if not request.prompt else model.session_tokens(request.prompt, model.writes_lines)
        given = {"metadata": request.metadata}
        live = scheduler.sessions.create(id, options, seed, request.ttl, request.conditions, given)
        if tokens is not None:
            scheduler.sessions.read_at_once(live, tokens)
        reply = described(live, model)
        if key is not None:
            scheduler.sessions.record(live, key, digest, reply)
        return reply

    response.headers.update(_headers(id))
    return await scheduler.call(work)


@router.get("/v1/sessions/{id}")
async def show(id: str, here: ServingHere, since: int | None = None) -> dict[str, Any]:
    """A session's facts; with `since`, the text that it read and wrote from that position on."""
    scheduler = here.of_session(id)
    model, sessions = scheduler.model, scheduler.sessions

    def work() -> dict[str, Any]:
        live = sessions.get(id)
        facts = described(live, model)
        return facts if since is None else {**facts, **sessions.text_since(live, since)}

    return await scheduler.call(work)


@router.delete("/v1/sessions/{id}")
async def delete(id: str, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """End a session."""
    scheduler = here.of_session(id)
    sessions = scheduler.sessions

    def work() -> dict[str, Any]:
        sessions.end(sessions.free(sessions.get(id), _expected(None, match)), "it was deleted")
        return {"id": id, "object": "session", "deleted": True}

    return await scheduler.call(work)


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
    scheduler = here.of_session(id)
    job = SessionJob(id, here.limits.deadline, _expected(request.position, match), key, bool(retries))
    job.reads, job.limit, job.streams = request.prompt or (), request.max_tokens, request.stream
    job.stops, job.request = stop_strings(request.stop), request
    job.digest = digest_of(request.model_dump(exclude={"position"}))
    scheduler.submit(job)
    if request.stream:
        answer = _Events()
        return EventReply(
            job.outlet, scheduler.wake, answer.events, lambda: b"data: [DONE]\n\n", 1, _headers(id)
        )
    return JsonReply(job.outlet, scheduler.wake, _reply, 1, _headers(id))


class _Events:
    """The pieces of a session's text as events. Each says where the session stands after it."""

    def events(self, news: list[News]) -> bytes:
        (piece,) = joined(news)
        if piece.reason == REPLAYED:
            return b"data: " + to_json(piece.reply) + b"\n\n"
        if not piece.reason:
            return (
                b'data: {"text":"%s","position":%d}\n\n' % (piece.text, piece.position)
                if piece.tokens
                else b""
            )
        return b'data: {"text":"%s","position":%d,"finish_reason":"%s"}\n\n' % (
            piece.text,
            piece.position,
            piece.reason.encode(),
        )


def _reply(news: list[News]) -> bytes:
    return to_json(news[-1].reply)


@router.post("/v1/sessions/{id}/step")
async def step(
    id: str,
    request: StepRequest,
    here: ServingHere,
    key: Key = None,
    match: IfMatch = None,
    retries: Retries = None,
) -> Response:
    """Read tokens, and tell what the model expects next."""
    scheduler = here.of_session(id)
    if (request.tokens is None) == (request.text is None):
        raise ApiError(400, "no_input", "give either tokens or text", "tokens")
    job = SessionJob(id, here.limits.deadline, _expected(request.position, match), key, bool(retries))
    job.reads = request.tokens or request.text or ()
    job.top, job.tells_logits = request.top, request.logits
    job.digest = digest_of(request.model_dump(exclude={"position"}))
    scheduler.submit(job)
    return JsonReply(job.outlet, scheduler.wake, _reply, 1, _headers(id))


@router.post("/v1/sessions/{id}/fork", status_code=201)
async def fork(id: str, request: ForkRequest, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """Copies that go their own way from here."""
    scheduler = here.of_session(id)
    model, sessions = scheduler.model, scheduler.sessions
    expected = _expected(request.position, match)

    def work() -> dict[str, Any]:
        live = sessions.free(sessions.get(id), expected)
        copies = []
        for number in range(request.count):
            seed = None if request.seed is None else request.seed + number
            copies.append(described(sessions.fork(live, new_id(model), seed), model))
        return {**copies[0], "forks": copies} if request.count > 1 else copies[0]

    return await scheduler.call(work)


@router.get("/v1/sessions/{id}/snapshot")
async def get_snapshot(id: str, here: ServingHere) -> Response:
    """All that going on exactly here needs, as bytes that `run.restore_session` reads, too."""
    scheduler = here.of_session(id)
    sessions = scheduler.sessions
    content, position = await scheduler.call(lambda: sessions.snapshot_of(sessions.free(sessions.get(id))))
    headers = {**_headers(id), "etag": f'"{position}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.put("/v1/sessions/{id}/snapshot")
async def put_snapshot(id: str, request: Request, here: ServingHere, match: IfMatch = None) -> dict[str, Any]:
    """Go on from a snapshot: the session then stands where that was taken."""
    scheduler = here.of_session(id)
    model, sessions = scheduler.model, scheduler.sessions
    content = await request.body()
    expected = _expected(None, match)

    def work() -> dict[str, Any]:
        live = sessions.free(sessions.get(id), expected)
        return described(_restored(lambda: sessions.restore_into(live, content)), model)

    return await scheduler.call(work)


@router.post("/v1/sessions:restore", status_code=201)
async def restore(request: Request, here: ServingHere, model: str | None = None) -> dict[str, Any]:
    """A new session from a snapshot."""
    scheduler = here.text(model)
    of = scheduler.model
    content = await request.body()

    def work() -> dict[str, Any]:
        return described(_restored(lambda: scheduler.sessions.restore_new(new_id(of), content)), of)

    return await scheduler.call(work)


def _restored(restore: Callable[[], Live]) -> Live:
    try:
        return restore()
    except CheckpointError as error:
        raise ApiError(422, "bad_snapshot", str(error)) from None


class BulkStep(BaseModel):
    """What one session reads."""

    model_config = ConfigDict(extra="forbid")

    id: str
    tokens: list[int]
    position: int | None = None


class BulkRequest(BaseModel):
    """Steps of many sessions of one model."""

    model_config = ConfigDict(extra="forbid")

    steps: list[BulkStep] = Field(max_length=_MOST_SESSIONS)
    top: int = Field(1, ge=0, le=100)


@router.post(
    "/v1/sessions:step",
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": BulkRequest.model_json_schema()}}}
    },
)
async def step_many(request: Request, here: ServingHere) -> Response:
    """Read tokens in thousands of sessions at once. Each has its own result."""
    from throughtime.server.bulk import compose_bulk, parse_bulk

    bulk = parse_bulk(await request.body())
    if not bulk.steps:
        return Response(b'{"results":[]}', media_type="application/json")
    scheduler = here.of_session(bulk.steps[0][0])
    results = await scheduler.call(
        lambda: scheduler.sessions.step_many(bulk.steps, bulk.top > 0), without=bulk.without
    )
    return Response(compose_bulk(bulk, results, scheduler.model), media_type="application/json")
