"""The streams that a model moves on, what a tick brought for each, and the sessions that some of them are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime.runtime.sampling import SamplingOptions
from throughtime.server.errors import ApiError
from throughtime.server.outlet import Outlet
from throughtime.server.store import Append, Change, Entry, Remember
from throughtime.server.text_output import TextOutput

NO_TOKENS: NDArray[np.int64] = np.zeros(0, np.int64)


class Job(Protocol):
    """A request that makes streams write."""

    outlet: Outlet
    rows_wanted: int
    deadline: float

    def begin(self, model: Any, sessions: Any) -> list[Row] | News:
        """The streams to move on, or the answer where there is one already; runs in the model's thread.

        Raises:
            ThroughtimeError: it cannot be done.
        """
        ...

    def reply(self, row: Row) -> dict[str, Any] | None:
        """What a session's call is answered, once its row has come to its end."""
        ...


@dataclass
class News:
    """What a tick brought for one stream of a request.

    Args:
        index: of the stream in its request.
        text: escaped for JSON.
        tokens: that were drawn.
        logprobs: for each of these, and for those of the prompt where they are echoed: the logarithm of its
            probability, and the most probable ones; None where nobody asks.
        reason: why it ended: "stop", "length", "read", or "" while it goes on.
        position: of the session.
        logits: (V,) where a step asks for them.
        error: what ended it instead.
        reply: what a session's call is answered.
        state: where it stands, for a client that keeps that.
    """

    index: int
    text: bytes
    tokens: list[int]
    logprobs: list[tuple[int, float | None, list[tuple[int, float]]]] | None = None
    reason: str = ""
    position: int = 0
    logits: NDArray[np.float32] | None = None
    error: ApiError | None = None
    reply: dict[str, Any] | None = None
    state: bytes | None = None


@dataclass(slots=True)
class Live:
    """A session whose state is in memory.

    Args:
        id: its name.
        slot: where its state is.
        facts: what else the store keeps: time to live, metadata...
        position: tokens or frames read so far.
        saved_position: of its snapshot in the store.
        keep_from: what the journal keeps for a call that is not answered yet; -1 is nothing.
        may_have_open_call: a call with a key may have been broken off, and could be taken up.
        busy: a call moves it on.
        expires: when its time is over, in seconds since 1970.
        is_touched: the store has another time for that.
    """

    id: str
    slot: int
    facts: dict[str, Any]
    position: int = 0
    saved_position: int = 0
    keep_from: int = -1
    may_have_open_call: bool = False
    busy: bool = False
    expires: float = 0.0
    is_touched: bool = False

    def touched(self) -> float:
        """When its time is over, where the store does not know that yet; else 0."""
        touched, self.is_touched = self.is_touched, False
        return self.expires if touched else 0.0


@dataclass(slots=True)
class TextLive(Live):
    """One of a language model.

    Args:
        decoder: where its text stands.
        options: of its draws.
        backup: a slot for the state at a tick's beginning, where stop strings need one; -1 is none.
        complete: lines: the next thing begins a line.
        first_state: what each of its lines begins with; None is the model's own.
    """

    decoder: Any = None
    options: SamplingOptions = field(default_factory=SamplingOptions)
    backup: int = -1
    complete: bool = True
    first_state: NDArray[np.float32] | None = None


@dataclass
class Row:
    """One stream that a request moves on: tokens to read, then tokens to draw.

    Args:
        job: whose it is.
        index: its number there.
        slot: of the engine.
        reads: tokens that are still to be read.
        limit: tokens that may still be drawn.
        output: what makes text of them.
        live: the session that it is, if any.
        streams: its reader gets every piece at once.
        atomic: the session stays as it was until the end.
        is_draft: the session came with this call, and goes with it where it is broken off.
        keeps_draft: it stays when the call has come to its end.
        top: how many of the most probable tokens are told with each; None is no log-probability at all.
        echoes: log-probabilities of the prompt's tokens, too.
        wants_logits: those after the last token, at the end.
        stops: tokens that end it; they are no text.
        own_options: sampling options of this call alone.
        first_state: what it began with, where it is no session and lines need that.
        wants_state: its state is told at its end.
    """

    job: Job
    index: int
    slot: int
    reads: NDArray[np.int64]
    limit: int
    output: TextOutput
    live: TextLive | None = None
    streams: bool = True
    atomic: bool = False
    is_draft: bool = False
    keeps_draft: bool = True
    top: int | None = None
    echoes: bool = False
    wants_logits: bool = False
    has_stop_strings: bool = False
    own_options: SamplingOptions | None = None
    resets: bool = False
    key: str = ""
    call: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    error: ApiError | None = None
    text: list[bytes] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    all_text: list[bytes] = field(default_factory=list)
    drawn: int = 0
    last_logits: NDArray[np.float32] | None = None
    first_state: NDArray[np.float32] | None = None
    wants_state: bool = False
    ended_line: bool = False
    state: bytes | None = None
    answer: dict[str, Any] | None = None

    @property
    def watched(self) -> bool:
        return self.top is not None

    @property
    def one_by_one(self) -> bool:
        """Each token is looked at before the next one is drawn: a state cannot take tokens back."""
        return self.watched or (self.wants_state and self.has_stop_strings)

    @property
    def wants_draw(self) -> bool:
        return self.limit > 0 and not self.reason and not len(self.reads) and not self.job.outlet.full

    @property
    def wants_move(self) -> bool:
        return bool(len(self.reads)) or bool(self.reason) or self.wants_draw

    @property
    def has_news(self) -> bool:
        return bool(self.text or self.tokens or self.logprobs or self.entries)

    def took(self, tokens: NDArray[np.int64] | Sequence[int], drawn: int) -> None:
        """Note what the session has read."""
        if self.live is None or not len(tokens):
            return
        content = np.asarray(tokens, "<i4").tobytes()
        self.entries.append(Entry(self.live.position, drawn, content, self.resets))
        self.resets = False
        self.live.position += len(tokens)

    def collect(self, changes: list[Change]) -> None:
        """What the store is to keep of this tick."""
        live = self.live
        if live is None or (self.atomic and not self.reason) or self.error:
            return
        for entry in self.entries:
            changes.append(Append(live.id, entry, live.touched()))
        self.entries = []
        if not self.reason:
            return
        self.answer = self.job.reply(self)
        if self.key:
            call = {"digest": self.call["digest"], "reply": self.answer}
            changes.append(Remember(live.id, self.key, json.dumps(call), done=True))
            live.keep_from, live.may_have_open_call = -1, False

    def write(self, text: bytes) -> None:
        """Have its reader told of a piece of text."""
        if not text:
            return
        self.text.append(text)
        if self.live is not None and (self.key or self.atomic):
            self.all_text.append(text)

    def news(self) -> tuple[News, int]:
        """What its reader is told of this tick, and about how many bytes that is."""
        text = b"".join(self.text)
        news = News(
            self.index,
            text,
            self.tokens,
            self.logprobs if self.watched else None,
            self.reason,
            0 if self.live is None else self.live.position,
            self.last_logits,
            self.error,
            self.answer,
            self.state,
        )
        self.text, self.tokens, self.logprobs = [], [], []
        return news, len(text) + 64
