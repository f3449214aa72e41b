"""Calls that move a session of a language model on: what it reads and writes, and what is told of that."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from throughtime.server.completions import best_tokens, joined, stop_strings
from throughtime.server.errors import ApiError, ambiguous_retry
from throughtime.server.live_sessions import LiveSessions
from throughtime.server.outlet import Outlet
from throughtime.server.replies import to_json
from throughtime.server.rows import NO_TOKENS, News, Row, TextLive
from throughtime.server.session_requests import (
    CreateRequest,
    GenerateRequest,
    Sampling,
    StepRequest,
    digest_of,
    refuse_fields,
)
from throughtime.server.text_model import TextModel
from throughtime.server.text_output import TextOutput
from throughtime.server.text_sessions import TextSessions

if TYPE_CHECKING:
    from throughtime.server.scheduler import Scheduler

# Why a stream ends that was told before.
REPLAYED = "replayed"


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

    async def submit(self, scheduler: Scheduler) -> None:
        """Have it done, once a long text of it is read.

        Raises:
            ApiError: the queue is full, or the server drains.
            UnknownTokenError: the text holds a character that the model does not know.
        """
        self.reads = await scheduler.model.encoded(self.reads)
        scheduler.submit(self)

    def begin(self, model: TextModel, sessions: TextSessions) -> list[Row] | News:
        live = sessions.get(self.id)
        self.tokenizer = model.tokenizer
        call = sessions.recorded(live, self.key, self.digest) if self.key else None
        if call is not None and call.get("reply") is not None:
            return News(0, b"", [], reason=REPLAYED, position=live.position, reply=call["reply"])
        if self.retried and self.position is None and not self.key:
            raise ambiguous_retry(live.position)
        sessions.free(live, None if call is not None else self.position)
        # What can be refused comes before anything is changed.
        told = [] if call is None else sessions.journal_of(live, call)
        options = live.options if self.request is None else self.request.sampling(live.options)
        row = self._row(model, sessions, live, call)
        if call is None:
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
        if options != live.options:
            row.own_options = options
            sessions.set_options(live, options)
        if call is not None:
            sessions.go_on(row, self.key, call, told)
        return [row]

    def _row(
        self, model: TextModel, sessions: TextSessions, live: TextLive, call: dict[str, Any] | None
    ) -> Row:
        """The stream, with all that the call reads, also what it has read before it broke off."""
        start, complete = live.position, live.complete
        if call is not None:
            start, complete = call["start"], call["complete"]
        begins = model.writes_lines and complete
        reads = NO_TOKENS
        if len(self.reads):
            reads = model.session_tokens(self.reads, begins)
        elif self.limit and (begins or start == 0):
            reads = model.prompt_tokens("")
        resets = bool(len(reads)) and sessions.begin_line(live) and live.position > 0
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


class CreateJob(SessionJob):
    """A call that makes a session, which reads a prompt a piece at a time, as other calls do.

    Args:
        id: of the session.
        seconds: that it may take.
        request: what it is to be.
        key: of the call.
    """

    def __init__(self, id: str, seconds: float, request: CreateRequest, key: str | None) -> None:
        super().__init__(id, seconds, None, key, False)
        self.created, self.reads = request, request.prompt or ()
        self.digest = digest_of(request.model_dump())

    def begin(self, model: TextModel, sessions: TextSessions) -> list[Row] | News:
        told = made(sessions, self.id, self.key, self.digest)
        if told is not None:
            return News(0, b"", [], reason=REPLAYED, reply=told)
        self.reads = model.session_tokens(self.reads, begins_line=False)
        live = sessions.open(self.id, self.created)
        row = self._row(model, sessions, live, None)
        row.key, row.call = self.key, {"digest": self.digest}
        live.busy = True
        self._described = sessions.described
        return [row]

    def reply(self, row: Row) -> dict[str, Any] | None:
        assert row.live is not None
        return {**self._described(row.live), "busy": False}


def made(sessions: LiveSessions[Any], id: str, key: str, digest: str) -> dict[str, Any] | None:
    """What the call was answered that made a session with this key; None where it is still to be made.

    Raises:
        ApiError: it was another call, or is being made right now, or it is over.
    """
    if not key:
        return None
    try:
        known = sessions.get(id)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    call = sessions.recorded(known, key, digest)
    if call is None:  # its call was broken off before its end
        sessions.end(sessions.free(known), "it is made anew")
        return None
    return call["reply"]


def step_job(job: SessionJob, request: StepRequest) -> SessionJob:
    """A job that reads tokens, and tells what the model expects next.

    Raises:
        ApiError: it has nothing to read, or what a language model does not read.
    """
    refuse_fields(request, ("frames", "samples"), "the model reads text")
    if request.probabilities:
        refuse_fields(request, ("probabilities",), "top tells those of the next tokens")
    if (request.tokens is None) == (request.text is None):
        raise ApiError(400, "no_input", "give either tokens or text", "tokens")
    job.reads = request.tokens or request.text or ()
    job.top, job.tells_logits = request.top, request.logits
    job.digest = digest_of(request.model_dump(exclude={"position"}))
    return job


def generate_job(job: SessionJob, request: GenerateRequest) -> SessionJob:
    """A job that writes.

    Raises:
        ApiError: a stop string is none.
    """
    job.reads, job.limit, job.streams = request.prompt or (), request.max_tokens, request.stream
    job.stops, job.request = stop_strings(request.stop), request
    job.digest = digest_of(request.model_dump(exclude={"position"}))
    return job


class SessionEvents:
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


def last_reply(news: list[News]) -> bytes:
    """The answer of a call that is told in one piece."""
    return to_json(news[-1].reply)
