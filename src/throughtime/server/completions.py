"""`/v1/completions` as OpenAI's clients know it, and the calls that tools ask about the vocabulary."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from throughtime.arrays import log_softmax
from throughtime.data import Tokenizer
from throughtime.generation.text import random_seed
from throughtime.runtime import generators
from throughtime.server.errors import ApiError
from throughtime.server.outlet import Outlet
from throughtime.server.replies import EventReply, JsonReply, to_json
from throughtime.server.rows import NO_TOKENS, News, Row
from throughtime.server.serving import Serving, serving
from throughtime.server.session_requests import Sampling
from throughtime.server.state_tokens import StateTokens
from throughtime.server.text_model import TextModel
from throughtime.server.text_output import TextOutput, escaped
from throughtime.server.text_sessions import TextSessions
from throughtime.tasks.language_model.line_session import LineSession

_MOST_TEXTS = 128
_MOST_STOPS = 16
_MOST_LOGPROBS = 20
_NOT_HERE = ("best_of", "suffix", "logit_bias", "presence_penalty", "frequency_penalty")

Prompt = str | list[int | None] | list[str] | list[list[int | None]]


class StreamOptions(BaseModel):
    """What a stream of events tells besides the text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: Literal[False] = Field(False, description="Nothing is added to events here.")


class CompletionRequest(Sampling):
    """Texts to go on with."""

    model: str = Field(description="One of /v1/models.")
    prompt: Prompt = Field(
        "",
        description="A text, several, or their tokens; null as the first token is what a text begins after.",
    )
    max_tokens: int | None = Field(16, ge=0, le=1_000_000)
    n: int | None = Field(1, ge=1, le=_MOST_TEXTS, description="Texts for each prompt.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(None, ge=0, le=_MOST_LOGPROBS)
    echo: bool | None = False
    stop: str | list[str] | None = Field(None, description="A text ends before the first of these.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    user: str | None = Field(None, description="Goes into the log.")
    conditions: dict[str, Any] | None = Field(None, description="Lines: what steers them.")
    state: str | None = Field(None, description="Go on where the answer stood that gave this.")
    return_state: bool = Field(False, description="Tell the state, to go on from there: n must be 1.")
    best_of: int | None = Field(None, description="Refused: n draws texts of equal standing.")
    suffix: str | None = Field(None, description="Refused.")
    logit_bias: dict[str, float] | None = Field(None, description="Refused.")
    presence_penalty: float | None = Field(None, description="Refused but for 0: see repetition_penalty.")
    frequency_penalty: float | None = Field(None, description="Refused but for 0: see repetition_penalty.")

    def refuse_what_is_not_here(self) -> None:
        """An option without effect would be a lie."""
        for name in _NOT_HERE:
            value = getattr(self, name)
            if value and not (name == "best_of" and value == (self.n or 1) == 1):
                raise ApiError(400, "unsupported", f"{name} is not supported: leave it out", name)

    def refuse_several_with_a_state(self) -> None:
        """A state is that of one text."""
        if (self.state is not None or self.return_state) and ((self.n or 1) > 1 or len(self.prompts()) > 1):
            raise ApiError(400, "one_text", "a state goes with one prompt and n = 1", "n")
        if self.state is not None and (self.conditions or (self.echo and self.logprobs is not None)):
            raise ApiError(400, "one_text", "conditions and echo belong to a text's beginning", "state")

    def stops(self) -> list[str]:
        """The stop strings."""
        return stop_strings(self.stop)

    def prompts(self) -> list[str | list[int | None]]:
        """Each prompt."""
        prompt: Any = self.prompt
        if isinstance(prompt, str) or (prompt and not isinstance(prompt[0], (str, list))):
            return [prompt]
        if not prompt:
            raise ApiError(400, "no_prompt", "the list of prompts is empty", "prompt")
        if len(prompt) * (self.n or 1) > _MOST_TEXTS:
            raise ApiError(400, "too_many", f"a request may ask for {_MOST_TEXTS} texts at most", "prompt")
        return list(prompt)


def stop_strings(stop: str | list[str] | None) -> list[str]:
    """A list of them, checked."""
    stops = [stop] if isinstance(stop, str) else list(stop or [])
    if any(not one for one in stops):
        raise ApiError(400, "empty_stop", "a stop string must not be empty", "stop")
    if len(stops) > _MOST_STOPS:
        raise ApiError(400, "too_many_stops", f"a request may have {_MOST_STOPS} stop strings", "stop")
    return stops


class CompletionJob:
    """The streams of a completion, n for each prompt."""

    def __init__(self, request: CompletionRequest, seconds: float) -> None:
        self.request = request
        self.outlet = Outlet()
        self.deadline = time.monotonic() + seconds
        self.n = request.n or 1
        self.prompts: list[Any] = []
        self.read: list[Any] = []
        self.rows_wanted = len(request.prompts()) * self.n
        self.stops = request.stops()
        self.options = request.sampling()
        self.seed = random_seed() if request.seed is None else request.seed % 2**63
        self.limit = 16 if request.max_tokens is None else request.max_tokens
        self.prompt_tokens: list[list[int]] = []
        self.state: bytes | None = None

    async def encode(self, model: TextModel) -> None:
        """Read the prompts, before the job is begun."""
        self.prompts = [model.with_beginning(prompt) for prompt in self.request.prompts()]
        self.read = [await model.encoded(prompt) for prompt in self.prompts]

    def begin(self, model: TextModel, sessions: TextSessions) -> list[Row]:
        """One row for each text; those of one prompt read it side by side."""
        request = self.request
        if self.state is not None:
            return [self._row_of_state(model, self.state)]
        tokens = [model.prompt_tokens(prompt) for prompt in self.read]
        state = model.first_state(request.conditions)
        echoes = bool(request.echo) and request.logprobs is not None
        # As `throughtime sample --samples`: text k of a prompt has the k-th generator of the seed.
        draws = [model.draws(self.options, self.seed, copy) for _ in self.prompts for copy in range(self.n)]
        slots = model.open(draws, state).tolist()
        rows = []
        for place, slot in enumerate(slots):
            own = tokens[place // self.n]
            row = Row(self, place, slot, own, self.limit, TextOutput(model.vocabulary, self.stops))
            row.streams = bool(request.stream)
            row.top, row.echoes = request.logprobs, echoes
            row.has_stop_strings = bool(self.stops)
            row.first_state, row.wants_state = state, request.return_state
            rows.append(row)
        self.prompt_tokens = [
            self._shown(model, prompt, own) for prompt, own in zip(self.prompts, tokens, strict=True)
        ]
        return rows

    def _row_of_state(self, model: TextModel, content: bytes) -> Row:
        """The row of a text that a client has kept the state of."""
        request = self.request
        with model.run.restore_session(content) as session:
            stream, decoder = session.parts
            begins = isinstance(session, LineSession) and session.begins_line
            first = session.first_state.copy() if isinstance(session, LineSession) else None
            if begins:
                model.engine.set_states(stream.slot, first[None])  # type: ignore[index]
            (prompt,) = self.read
            tokens = model.session_tokens(prompt, begins) if len(prompt) or begins else NO_TOKENS
            (draws,) = model.engine.draws(stream.slot)
            options = request.sampling(draws.options)
            (slot,) = model.engine.fork(stream.slot).tolist()
        if options != draws.options:
            model.engine.set_draws([slot], [replace(draws, options=options)])
        if request.seed is not None:
            model.engine.set_generators([slot], generators.seeded(self.seed, [0]))
        row = Row(self, 0, slot, tokens, self.limit, TextOutput(model.vocabulary, self.stops, decoder))
        row.streams, row.top = bool(request.stream), request.logprobs
        row.has_stop_strings = bool(self.stops)
        row.first_state, row.wants_state = first, request.return_state
        self.prompt_tokens = [tokens[1:].tolist() if begins else tokens.tolist()]
        if not len(tokens) and not self.limit:
            model.end(row, "length")
        return row

    def reply(self, row: Row) -> None:
        return None

    @staticmethod
    def _shown(model: TextModel, prompt: Any, tokens: Any) -> list[int]:
        """The tokens that count as the prompt's: without what stands before a text's first one."""
        if isinstance(prompt, str):
            return tokens[1:].tolist() if model.writes_lines else (tokens.tolist() if prompt else [])
        return tokens.tolist() if len(prompt) else []


class CompletionAnswer:
    """The bytes of a completion's answer."""

    def __init__(self, job: CompletionJob, model: TextModel, states: StateTokens | None) -> None:
        self._job, self._model, self._states = job, model, states
        request = job.request
        self.id = f"cmpl-{secrets.token_hex(12)}"
        head = {"id": self.id, "object": "text_completion", "created": int(time.time()), "model": model.name}
        head["seed"] = job.seed
        self._head = to_json(head)[:-1]
        self._with_usage = bool(request.stream_options and request.stream_options.include_usage)
        self._drawn = 0
        self._told: set[int] = set()
        self._offsets: dict[int, int] = {}
        between = b',"choices":[{"index":%d,"text":"'
        self._starts = [b"data: " + self._head + between % index for index in range(job.rows_wanted)]
        usage = b',"usage":null' if self._with_usage else b""
        self._end_of_piece = b'","logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"

    def events(self, news: list[News]) -> bytes:
        """Server-sent events. Pieces of one text that wait together go out as one."""
        out: list[bytes] = []
        echo = self._job.request.echo
        for piece in joined(news):
            self._drawn += len(piece.tokens)
            text = piece.text
            if echo and piece.index not in self._told:
                text = escaped(self._prompt_text(piece.index)) + text
            self._told.add(piece.index)
            if piece.logprobs is None and not piece.reason:
                if text:
                    out += (self._starts[piece.index], text, self._end_of_piece)
                continue
            out += (self._starts[piece.index], text, b'","logprobs":', self._logprobs(piece))
            out += (b',"finish_reason":', to_json(piece.reason or None), self._state(piece), b"}]")
            out.append(b',"usage":null}\n\n' if self._with_usage else b"}\n\n")
        return b"".join(out)

    def last(self) -> bytes:
        """What follows the last text."""
        usage = b""
        if self._with_usage:
            usage = b"data: " + self._head + b',"choices":[],"usage":' + to_json(self.usage()) + b"}\n\n"
        return usage + b"data: [DONE]\n\n"

    def body(self, news: list[News]) -> bytes:
        """All texts in one answer."""
        choices = []
        merged: dict[int, list[News]] = {}
        for piece in news:
            merged.setdefault(piece.index, []).append(piece)
        for index in sorted(merged):
            (piece,) = joined(merged[index])
            self._drawn += len(piece.tokens)
            prompt = escaped(self._prompt_text(index)) if self._job.request.echo else b""
            choices.append(
                b'{"index":%d,"text":"%s","logprobs":%s,"finish_reason":"%s"%s}'
                % (
                    index,
                    prompt + piece.text,
                    self._logprobs(piece),
                    piece.reason.encode(),
                    self._state(piece),
                )
            )
        parts = (self._head, b',"choices":[', b",".join(choices), b'],"usage":', to_json(self.usage()), b"}")
        return b"".join(parts)

    def _state(self, piece: News) -> bytes:
        if piece.state is None or self._states is None:
            return b""
        return b',"state":"%s"' % self._states.seal(piece.state, self._model.identity).encode()

    def usage(self) -> dict[str, int]:
        """Tokens read and drawn."""
        read = sum(len(tokens) for tokens in self._job.prompt_tokens)
        return {"prompt_tokens": read, "completion_tokens": self._drawn, "total_tokens": read + self._drawn}

    def _prompt_text(self, index: int) -> str:
        prompt = self._job.prompts[index // self._job.n]
        return prompt if isinstance(prompt, str) else self._model.tokenizer.decode(prompt)

    def _logprobs(self, piece: News) -> bytes:
        """In the old shape of completions: tokens, their logarithms, the best at each place, offsets."""
        if piece.logprobs is None:
            return b"null"
        tokenizer = self._model.tokenizer
        shown = piece.logprobs
        if self._job.request.echo and piece.index not in self._offsets:
            # What is read before a text's first character is not the text's.
            skipped = (
                len(shown) - len(self._job.prompt_tokens[piece.index // self._job.n]) - len(piece.tokens)
            )
            shown = shown[max(skipped, 0) :]
        offset = self._offsets.get(piece.index, 0)
        tokens, logs, best, offsets = [], [], [], []
        for token, log, top in shown:
            text = tokenizer.token_text(token)
            tokens.append(text)
            logs.append(log)
            best.append(None if log is None else {tokenizer.token_text(one): value for one, value in top})
            offsets.append(offset)
            offset += len(text)
        self._offsets[piece.index] = offset
        values = {"tokens": tokens, "token_logprobs": logs, "top_logprobs": best, "text_offset": offsets}
        return to_json(_finite(values))


def _finite(value: Any) -> Any:
    """JSON has no infinity: a token of probability 0 has the lowest number instead."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return -1e30 if isinstance(value, float) and math.isinf(value) else value


def joined(news: list[News]) -> list[News]:
    """One piece for each text that something came for."""
    if len(news) == 1:
        return news
    by_index: dict[int, News] = {}
    for piece in news:
        one = by_index.get(piece.index)
        if one is None:
            by_index[piece.index] = piece
            continue
        logprobs = None if piece.logprobs is None else (one.logprobs or []) + piece.logprobs
        by_index[piece.index] = replace(
            piece, text=one.text + piece.text, tokens=one.tokens + piece.tokens, logprobs=logprobs
        )
    return list(by_index.values())


router = APIRouter()
ServingHere = Annotated[Serving, Depends(serving)]


@router.post("/v1/completions", tags=["completions"])
async def completions(request: CompletionRequest, here: ServingHere, call: Request) -> Response:
    """Go on with texts. Stateless: the same seed gives the same text, whoever shares the server."""
    call.state.user = request.user
    request.refuse_what_is_not_here()
    scheduler = here.text(request.model)
    job = CompletionJob(request, here.limits.deadline)
    if job.rows_wanted > here.limits.streams:
        raise ApiError(400, "too_many", f"this server writes {here.limits.streams} texts at once", "n")
    if request.state is not None or request.return_state:
        request.refuse_several_with_a_state()
        if here.states is None:
            raise ApiError(400, "no_state_key", "this server seals no states: see --state-key", "state")
    if request.state is not None and here.states is not None:
        job.state = here.states.open(request.state, scheduler.model.identity)
    await job.encode(scheduler.model)
    scheduler.submit(job)
    answer = CompletionAnswer(job, scheduler.model, here.states)
    if request.stream:
        return EventReply(job.outlet, scheduler.wake, answer.events, answer.last, job.rows_wanted)
    return JsonReply(job.outlet, scheduler.wake, answer.body, job.rows_wanted)


class TokenizeRequest(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    model: str | None = None
    add_special_tokens: bool = Field(False, description="There are none here.")


class DetokenizeRequest(BaseModel):
    """Tokens."""

    model_config = ConfigDict(extra="forbid")

    tokens: list[int]
    model: str | None = None


@router.get("/tokenizer_info", tags=["tokenizer"])
async def tokenizer_info(here: ServingHere, model: str | None = None) -> dict[str, Any]:
    """What a client has to know of the vocabulary."""
    scheduler = here.text(model)
    tokenizer = scheduler.model.tokenizer
    end = scheduler.model.end_token
    return {
        "model": scheduler.model.name,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocabulary_size,
        "eos_token": None if end is None else tokenizer.token_text(end),
        # What a text begins after: tools that measure a text's first token as well put it in front.
        "bos_token": tokenizer.token_text(scheduler.model.beginning),
        "pad_token": None,
        "chat_template": None,
    }


@router.post("/tokenize", tags=["tokenizer"], response_model=dict[str, Any])
def tokenize(request: TokenizeRequest, here: ServingHere) -> Response:  # no coroutine: beside the event loop
    """The tokens of a text."""
    tokens = here.text(request.model).model.tokenizer.encode(request.prompt).tolist()
    return Response(to_json({"tokens": tokens, "count": len(tokens)}), media_type="application/json")


@router.post("/detokenize", tags=["tokenizer"])
def detokenize(request: DetokenizeRequest, here: ServingHere) -> dict[str, Any]:  # the same
    """The text of tokens."""
    model = here.text(request.model).model
    if request.tokens:
        model.checked(request.tokens)
    return {"prompt": model.tokenizer.decode(request.tokens)}


def best_tokens(tokenizer: Tokenizer, logits: np.ndarray[Any, Any], count: int) -> Sequence[dict[str, Any]]:
    """The most probable next tokens."""
    logs = log_softmax(logits.astype(np.float64))
    best = np.argsort(-logs, kind="stable")[:count]
    return [
        {"token": int(one), "text": tokenizer.token_text(int(one)), "logprob": float(logs[one])}
        for one in best
    ]
