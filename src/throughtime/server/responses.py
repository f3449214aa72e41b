"""`/v1/responses`: a conversation in which every answer is a state that never changes.

An answer's id names the state behind it. A call that gives it as `previous_response_id` begins there: a turn
costs what it reads and writes, however long the conversation is, and two calls may begin at the same answer.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from throughtime.generation.text import random_seed
from throughtime.server.completions import joined, stop_strings
from throughtime.server.errors import ApiError
from throughtime.server.outlet import Outlet
from throughtime.server.replies import EventReply, JsonReply, to_json
from throughtime.server.rows import News, Row
from throughtime.server.serving import Serving, serving
from throughtime.server.session_requests import Sampling
from throughtime.server.text_model import TextModel
from throughtime.server.text_output import TextOutput
from throughtime.server.text_sessions import TextSessions

_KEY = "response"
_KIND = "resp"
_MOST_TOKENS = 1_000_000

router = APIRouter(tags=["responses"])
ServingHere = Annotated[Serving, Depends(serving)]


class InputText(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["input_text", "output_text", "text"] = "input_text"
    text: str


class InputMessage(BaseModel):
    """A message. The model knows no roles: its texts are read one after the other."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"] = "user"
    content: str | list[InputText]

    def text(self) -> str:
        """What it says."""
        return self.content if isinstance(self.content, str) else "".join(one.text for one in self.content)


class ResponseRequest(Sampling):
    """A turn."""

    model: str
    input: str | list[InputMessage] = ""
    previous_response_id: str | None = Field(None, description="The answer after which this turn comes.")
    max_output_tokens: int = Field(200, ge=1, le=_MOST_TOKENS)
    stop: str | list[str] | None = Field(None, description="The answer ends before the first of these.")
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: bool | None = False
    store: bool | None = Field(True, description="Keep the state, so that a turn may come after it.")
    metadata: dict[str, str] | None = None
    user: str | None = Field(None, description="Goes into the log.")

    def text(self) -> str:
        """What the turn says."""
        if isinstance(self.input, str):
            return self.input
        return "".join(one.text() for one in self.input)


class ResponseJob:
    """A turn: a copy of the state before it, which reads the input and writes the answer."""

    rows_wanted = 1

    def __init__(self, request: ResponseRequest, model: TextModel, seconds: float) -> None:
        self.request = request
        self.outlet = Outlet()
        self.deadline = time.monotonic() + seconds
        self.id = f"{_KIND}-{model.fingerprint[:8]}-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.seed = random_seed() if request.seed is None else request.seed
        self.options = request.sampling()
        self.stops = stop_strings(request.stop)
        self.name = model.name
        self.read = 0
        self.text: Any = request.text()

    def begin(self, model: TextModel, sessions: TextSessions) -> list[Row]:
        previous = self.request.previous_response_id
        text = self.text
        if previous is None:
            live = sessions.create(self.id, self.options, self.seed)
        else:
            before = sessions.get(previous)
            if sessions.store.recall(previous, _KEY) is None:
                raise ApiError(
                    409, "not_completed", f"the response {previous!r:.100} did not come to its end"
                )
            live = sessions.fork(before, self.id, self.seed)
        try:
            begins = sessions.begin_line(live) or (model.writes_lines and live.position == 0)
            if len(text) or begins:
                reads = model.session_tokens(text, begins)
            else:
                reads = model.prompt_tokens("") if live.position == 0 else model.checked([])
        except Exception:
            sessions.end(live, "its call failed")
            raise
        live.busy = True
        self.read = len(reads)
        output = TextOutput(model.vocabulary, self.stops, live.decoder)
        row = Row(self, 0, live.slot, reads, self.request.max_output_tokens, output, live)
        row.streams, row.atomic = bool(self.request.stream), True
        row.is_draft, row.keeps_draft = True, self.request.store is not False
        row.resets = begins and live.position > 0
        row.has_stop_strings = bool(self.stops)
        row.key, row.call = _KEY, {"digest": ""}
        if self.options != live.options:
            row.own_options = self.options
            sessions.set_options(live, self.options)
        return [row]

    def reply(self, row: Row) -> dict[str, Any]:
        text = json.loads(b'"' + b"".join(row.all_text) + b'"')
        return self.described(row.reason, text, row.drawn)

    def described(self, reason: str, text: str = "", drawn: int = 0) -> dict[str, Any]:
        """The response as OpenAI's clients read it."""
        request = self.request
        status = {"": "in_progress", "stop": "completed"}.get(reason, "incomplete")
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": request.max_output_tokens,
            "model": self.name,
            "output": [self.message(status, text)] if reason else [],
            "parallel_tool_calls": False,
            "previous_response_id": request.previous_response_id,
            "store": request.store is not False,
            "temperature": self.options.temperature,
            "top_p": self.options.top_p,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "metadata": request.metadata or {},
            "usage": {
                "input_tokens": self.read,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": drawn,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.read + drawn,
            }
            if reason
            else None,
        }

    def message(self, status: str, text: str | None = None) -> dict[str, Any]:
        """The answer's only part."""
        content = [] if text is None else [{"type": "output_text", "text": text, "annotations": []}]
        return {
            "id": f"msg-{self.id}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }


class _Events:
    """The answer as OpenAI's stream of typed events."""

    def __init__(self, job: ResponseJob) -> None:
        self._job = job
        self._number = 0
        self._where = {"item_id": f"msg-{job.id}", "output_index": 0, "content_index": 0}

    def events(self, news: list[News]) -> bytes:
        out = [] if self._number else self._begin()
        (piece,) = joined(news)
        if piece.text:
            delta = json.loads(b'"' + piece.text + b'"')
            out.append(self._event("response.output_text.delta", **self._where, delta=delta, logprobs=[]))
        if piece.reason and piece.reply is not None:
            (message,) = piece.reply["output"]
            (part,) = message["content"]
            out += [
                self._event("response.output_text.done", **self._where, text=part["text"], logprobs=[]),
                self._event("response.content_part.done", **self._where, part=part),
                self._event("response.output_item.done", output_index=0, item=message),
                self._event(f"response.{piece.reply['status']}", response=piece.reply),
            ]
        return b"".join(out)

    def _begin(self) -> list[bytes]:
        job = self._job
        part = {"type": "output_text", "text": "", "annotations": []}
        return [
            self._event("response.created", response=job.described("")),
            self._event("response.in_progress", response=job.described("")),
            self._event("response.output_item.added", output_index=0, item=job.message("in_progress")),
            self._event("response.content_part.added", **self._where, part=part),
        ]

    def _event(self, kind: str, **values: Any) -> bytes:
        body = to_json({"type": kind, "sequence_number": self._number, **values})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


@router.post("/v1/responses")
async def respond(request: ResponseRequest, here: ServingHere, call: Request) -> Response:
    """Answer a turn. The id of the answer is where a next turn may begin, as often as one likes."""
    call.state.user = request.user
    scheduler = here.text(request.model)
    job = ResponseJob(request, scheduler.model, here.limits.deadline)
    job.text = await scheduler.model.encoded(job.text)
    scheduler.submit(job)
    if request.stream:
        return EventReply(job.outlet, scheduler.wake, _Events(job).events, lambda: b"", 1)
    return JsonReply(job.outlet, scheduler.wake, lambda news: to_json(news[-1].reply), 1)


@router.get("/v1/responses/{id}")
async def show(id: str, here: ServingHere) -> dict[str, Any]:
    """An answer that was given."""
    scheduler = here.of_text_session(id, _KIND)
    sessions = scheduler.sessions

    def work() -> dict[str, Any]:
        sessions.get(id)
        found = sessions.store.recall(id, _KEY)
        if found is None:
            raise ApiError(404, "response_not_found", f"there is no response {id!r:.100}")
        return json.loads(found.call)["reply"]

    return await scheduler.call(work)


@router.delete("/v1/responses/{id}")
async def delete(id: str, here: ServingHere) -> dict[str, Any]:
    """Forget an answer and its state; those that came after it stay."""
    scheduler = here.of_text_session(id, _KIND)
    sessions = scheduler.sessions

    def work() -> dict[str, Any]:
        sessions.end(sessions.free(sessions.get(id)), "it was deleted")
        return {"id": id, "object": "response", "deleted": True}

    return await scheduler.call(work)
