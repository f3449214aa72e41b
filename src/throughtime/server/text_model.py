"""A language model that many streams share. All of it runs in the thread of the model, see scheduler.py."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import log_softmax
from throughtime.data.tokenizer import StreamDecoder
from throughtime.errors import OptionError
from throughtime.generation.text import line_end
from throughtime.runtime import generators
from throughtime.runtime.draws import Draws, Ended
from throughtime.runtime.sampling import SamplingOptions
from throughtime.runtime.stream import Stream
from throughtime.server.errors import ApiError
from throughtime.server.rows import Row, TextLive
from throughtime.server.text_output import Vocabulary
from throughtime.tasks.language_model.line_run import LineModelRun
from throughtime.tasks.language_model.line_session import LineSession
from throughtime.tasks.language_model.line_writing import encode_beginning, end_token
from throughtime.tasks.language_model.run import LanguageModelRun
from throughtime.tasks.language_model.session import Session

# Characters of a text that are encoded in the model's thread, which the streams wait for meanwhile.
_MOST_CHARACTERS = 4096
# Steps of a prompt whose log-probabilities are asked for: each takes V numbers.
_ECHOED_AT_ONCE = 128


Prompt = str | Sequence[int] | NDArray[np.int64]
"""A text, its tokens, or those of `TextModel.encoded`."""


class TextModel:
    """A language model and its vocabulary.

    Args:
        name: what requests call it.
        run: the run, on the native backend.
    """

    def __init__(self, name: str, run: LanguageModelRun) -> None:
        self.name = name
        self.run = run
        self.engine = run.engine
        self.tokenizer = run.tokenizer
        self.vocabulary = Vocabulary(run.tokenizer)
        self.fingerprint = self.engine.fingerprint
        self.writes_lines = isinstance(run, LineModelRun)
        self.end_token = end_token(run.tokenizer) if self.writes_lines else None

    @property
    def identity(self) -> str:
        """What a state belongs to: the weights, and how they are kept."""
        return f"{self.fingerprint}/{self.engine.precision}"

    # ---- prompts

    async def encoded(self, prompt: Prompt, what: str = "the prompt") -> Prompt:
        """A long text as tokens, made in a thread of its own: the streams and the event loop go on.

        Raises:
            UnknownTokenError: it holds a character that the model does not know.
        """
        if not isinstance(prompt, str) or len(prompt) <= _MOST_CHARACTERS or self.writes_lines:
            return prompt
        return await asyncio.to_thread(self.tokenizer.encode, prompt, what)

    def prompt_tokens(self, prompt: Prompt, what: str = "the prompt") -> NDArray[np.int64]:
        """The tokens that a text begins with, those before its first character included."""
        if isinstance(prompt, str):
            if self.writes_lines:
                return encode_beginning(self.tokenizer, prompt)
            tokens = self.tokenizer.encode(prompt, what)
        else:
            tokens = self.checked(prompt)
        return tokens if len(tokens) else np.array([self.beginning], np.int64)

    @property
    def beginning(self) -> int:
        """The token after which a text begins."""
        return line_end(self.tokenizer) if self.end_token is None else self.end_token

    def with_beginning(self, prompt: str | Sequence[int | None]) -> str | list[int]:
        """A prompt whose first token may be None, which is the one that a text begins after.

        lm_eval sends it for a model without an end token, and for one whose end token is number 0.

        Raises:
            ApiError: another token is None.
        """
        if isinstance(prompt, str):
            return prompt
        tokens = [
            self.beginning if token is None and not place else token for place, token in enumerate(prompt)
        ]
        whole = [token for token in tokens if token is not None]
        if len(whole) < len(tokens):
            raise ApiError(400, "unknown_token", "only the first token of a prompt may be null", "prompt")
        return whole

    def checked(self, tokens: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens as an array.

        Raises:
            ApiError: one lies outside the vocabulary.
        """
        if isinstance(tokens, np.ndarray):
            return tokens
        V = self.engine.vocabulary_size
        if len(tokens) and not 0 <= min(tokens) <= max(tokens) < V:
            # Before it is an array, as it may be larger than an array's numbers.
            outside = next(token for token in tokens if not 0 <= token < V)
            raise ApiError(
                400,
                "unknown_token",
                f"token {str(outside):.40} lies outside the vocabulary of {V} tokens",
                "prompt",
            )
        return np.array(tokens, np.int64)

    def session_tokens(self, prompt: Prompt, begins_line: bool) -> NDArray[np.int64]:
        """The tokens that a session reads for a text, with what stands before a line where it begins one."""
        if isinstance(prompt, str):
            if self.writes_lines:
                return encode_beginning(self.tokenizer, prompt)[0 if begins_line else 1 :]
            return self.tokenizer.encode(prompt, "the prompt")
        tokens = self.checked(prompt)
        if begins_line and self.end_token is not None:
            return np.append(self.end_token, tokens).astype(np.int64)
        return tokens

    def first_state(self, conditions: Mapping[str, Any] | None) -> NDArray[np.float32] | None:
        """What a text begins with; None is the model's own."""
        if isinstance(self.run, LineModelRun):
            found = self.run.first_states([self.run.encode_conditions(conditions)])
            return None if found is None else found.states[0]
        if conditions:
            raise OptionError(f"{self.name} was not trained with conditions: leave them out")
        return None

    @cached_property
    def own_first_state(self) -> NDArray[np.float32]:
        """The state (S,) of nothing read."""
        slots = self.engine.open(1)
        try:
            return self.engine.states(slots)[0].copy()
        finally:
            self.engine.close(slots)

    def new_decoder(self) -> StreamDecoder:
        """What makes text of tokens, at its beginning."""
        return self.tokenizer.stream_decoder()

    def snapshot(
        self,
        slot: int,
        options: SamplingOptions,
        decoder: StreamDecoder,
        first_state: NDArray[np.float32],
        begins_line: bool,
    ) -> bytes:
        """What `run.restore_session` goes on from.

        Args:
            slot: of the stream.
            options: of its draws.
            decoder: where its text stands.
            first_state: lines: what each begins with.
            begins_line: lines: the next token begins one.
        """
        stream = Stream.copy_of(self.engine, slot, options)
        kind = LineSession if self.writes_lines else Session
        with kind.around(self.tokenizer, stream, decoder) as session:
            if isinstance(session, LineSession):
                session.stand(first_state, begins_line)
            return session.snapshot()

    # ---- rows

    def open(self, draws: Sequence[Draws], state: NDArray[np.float32] | None = None) -> NDArray[np.int64]:
        """Slots for streams."""
        slots = self.engine.open(len(draws))
        self.engine.set_draws(slots, draws)
        if state is not None:
            self.engine.set_states(slots, np.repeat(state[None], len(draws), axis=0))
        return slots

    def draws(self, options: SamplingOptions, seed: int, row: int = 0) -> Draws:
        """How a stream draws: as row `row` of `throughtime sample --seed`."""
        stops = () if self.end_token is None else (self.end_token,)
        return Draws(options, tuple(generators.seeded(seed, [row])[0].tolist()), stops)

    def read(self, rows: Sequence[Row], lengths: Sequence[int]) -> None:
        """The next `lengths` tokens of what each row has to read."""
        plain = [(row, length) for row, length in zip(rows, lengths, strict=True) if not row.echoes]
        if plain:
            self.engine.read_ragged(
                np.array([row.slot for row, _ in plain], np.int64),
                np.concatenate([row.reads[:length] for row, length in plain]),
                np.array([length for _, length in plain], np.int64),
                logits=False,
            )
        for row, length in zip(rows, lengths, strict=True):
            piece = row.reads[:length]
            if row.echoes:
                self._read_echoed(row, piece)
            row.output.skip(piece.tolist())
            row.took(piece, 0)
            row.reads = row.reads[length:]
            if not len(row.reads) and not row.limit:
                self.end(row, "length" if row.live is None else "read")

    def _read_echoed(self, row: Row, piece: NDArray[np.int64]) -> None:
        """Read a prompt whose log-probabilities are asked for, too."""
        slot = np.array([row.slot], np.int64)
        for first in range(0, len(piece), _ECHOED_AT_ONCE):
            part = piece[first : first + _ECHOED_AT_ONCE]
            before = self.engine.logits(slot)
            after = self.engine.read(slot, part[None], all_logits=True)[0]
            every = np.concatenate([before, after[:-1]])
            for logits, token in zip(every, part.tolist(), strict=True):
                begins = not row.logprobs and not row.call.get("echoed")
                row.call["echoed"] = True
                row.logprobs.append((token, None, []) if begins else self._watch(row, logits, token))

    def _watch(self, row: Row, logits: NDArray[np.float32], token: int) -> tuple[int, float, list[Any]]:
        logs = log_softmax(logits.astype(np.float64))
        top = row.top or 0
        best = np.argpartition(-logs, min(top, len(logs) - 1))[:top] if top else np.zeros(0, np.int64)
        best = best[np.argsort(-logs[best], kind="stable")]
        return token, float(logs[token]), [(int(one), float(logs[one])) for one in best]

    def draw(self, rows: Sequence[Row], limits: NDArray[np.int64]) -> int:
        """Draw up to `limits` tokens for each row; the number of all."""
        engine = self.engine
        slots = np.array([row.slot for row in rows], np.int64)
        watched = [place for place, row in enumerate(rows) if row.watched]
        before = dict(zip(watched, engine.logits(slots[watched]), strict=True)) if watched else {}
        rewound = [
            (row, limit)
            for row, limit in zip(rows, limits.tolist(), strict=True)
            if row.has_stop_strings and row.live is not None and limit > 1
        ]
        if rewound:
            engine.copy([row.slot for row, _ in rewound], [self._backup(row.live) for row, _ in rewound])
        drawn, counts, reasons = engine.advance(slots, limits)
        lists, counts, reasons = drawn.tolist(), counts.tolist(), reasons.tolist()
        for place, row in enumerate(rows):
            tokens = lists[place][: counts[place]]
            if reasons[place] == Ended.FAILED:
                self._fail(row)
                continue
            if place in before:
                row.logprobs += [self._watch(row, before[place], token) for token in tokens]
            self._take(row, tokens, stopped=reasons[place] == Ended.STOP)
        return sum(counts)

    def _take(self, row: Row, tokens: list[int], stopped: bool) -> None:
        text, used = row.output.push(tokens[:-1] if stopped else tokens)
        if used is not None and used < len(tokens):
            stopped = False
            if row.live is not None:
                # A recurrent state cannot take tokens back: from the tick's beginning, the same ones again.
                self.engine.copy([row.live.backup], [row.slot])
                self.engine.advance([row.slot], [used])
            tokens = tokens[:used]
        row.took(tokens, len(tokens))
        row.drawn += len(tokens)
        row.limit -= len(tokens)
        row.write(text)
        row.tokens += tokens
        if used is not None or stopped:
            if stopped:
                row.ended_line = True
                row.output.decoder = self.new_decoder()
                if row.live is not None:
                    row.live.complete, row.live.decoder = True, row.output.decoder
            self.end(row, "stop")
        elif not row.limit:
            self.end(row, "length")

    def end(self, row: Row, reason: str) -> None:
        """A row has come to its end."""
        row.reason = reason
        if row.wants_state:
            options = self.engine.draws([row.slot])[0].options
            first = self.own_first_state if row.first_state is None else row.first_state
            row.state = self.snapshot(row.slot, options, row.output.decoder, first, row.ended_line)
        if row.drawn:
            row.write(row.output.end(whole=row.live is None))
        if row.wants_logits:
            row.last_logits = self.engine.logits([row.slot])[0]

    def _fail(self, row: Row) -> None:
        row.reason = "error"
        row.error = ApiError(500, "not_a_number", "the model's output is NaN for the text so far")

    def _backup(self, live: TextLive | None) -> int:
        assert live is not None
        if live.backup < 0:
            live.backup = int(self.engine.open(1)[0])
        return live.backup
