"""A line in the making: read, write, stop, and go on later exactly there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data import Tokenizer
from throughtime.errors import CheckpointError
from throughtime.runtime.engine import Engine
from throughtime.runtime.sampling import SamplingOptions
from throughtime.runtime.stream import Stream
from throughtime.saved import Saved
from throughtime.tasks.language_model.line_writing import encode_beginning, end_token
from throughtime.tasks.language_model.session import Session


class LineSession(Session):
    """One line after the other, each with a state of its own.

    Example:
        session = run.session(seed=1, conditions={"country": "Korean"})
        session.read("Ki")
        print(session.write(20))            # the rest of the line, 20 tokens of it at most
        if session.complete:
            print(session.write(20))        # the next line

    Args:
        engine, tokenizer, options, seed: as for `Session`.
        first_state: (S,), what each line begins with; None is the network's own.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        options: SamplingOptions | None = None,
        seed: int = 0,
        first_state: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(engine, tokenizer, options, seed)
        self._first = self._own_first_state(engine) if first_state is None else first_state
        self._at_beginning, self.complete = True, False

    def stand(self, first_state: NDArray[np.float32], begins_line: bool) -> None:
        """Say what each line begins with, and whether the next token begins one."""
        self._first = first_state
        self._at_beginning, self.complete = False, begins_line

    @property
    def begins_line(self) -> bool:
        """Whether the next token begins a line."""
        return self._at_beginning or self.complete

    @property
    def first_state(self) -> NDArray[np.float32]:
        """What each line begins with, (S,)."""
        return self._first

    @staticmethod
    def _own_first_state(engine: Engine) -> NDArray[np.float32]:
        slots = engine.open(1)
        try:
            return engine.states(slots)[0].copy()
        finally:
            engine.close(slots)

    def read(self, text: str) -> None:
        """Go on as if the model had written this; after a line that is complete, it begins the next.

        Raises:
            OptionError: the text holds a line's end.
            UnknownTokenError: a character is not in the model's vocabulary.
        """
        tokens = encode_beginning(self._tokenizer, text)[1:]
        if len(tokens):
            self._begin()
            self._take(tokens)

    def write(self, tokens: int) -> str:
        """Draw up to so many tokens, and stop at the line's end; the text that they complete.

        After a line that is complete, it writes the next.
        """
        self._begin()
        return self._text_of(self._stream.generate(tokens))

    def stream(self, tokens: int) -> Iterator[str]:
        """As `write`, each piece as soon as it is known; left early, the session stands where it was left."""
        self._begin()
        for _ in range(tokens):
            if text := self._text_of(self._stream.generate(1)):
                yield text
            if self.complete:
                return

    def _start(self, tokenizer: Tokenizer, stream: Stream) -> None:
        super()._start(tokenizer, stream)
        stream.stop_at([end_token(tokenizer)])

    def _text_of(self, tokens: NDArray[np.int64]) -> str:
        """The text that drawn tokens complete."""
        if len(tokens) and tokens[-1] == end_token(self._tokenizer):
            self.complete = True
            tokens = tokens[:-1]
        text = "".join(self._decoder.push(int(token)) for token in tokens)
        if self.complete:
            self._decoder = self._tokenizer.stream_decoder()
        return text

    def _take(self, tokens: NDArray[np.int64]) -> None:
        self._stream.read(tokens)
        for token in tokens:
            self._decoder.push(int(token))

    def _begin(self) -> None:
        """Put the first state in place where a line begins, and read what stands before its first token."""
        if not self._at_beginning and not self.complete:
            return
        stream = self._stream
        stream.engine.set_states(stream.slot, self._first[None])
        stream.read([end_token(self._tokenizer)])
        self._at_beginning = self.complete = False

    def _pending(self) -> dict[str, Any]:
        return {
            "decoder": self._decoder.state(),
            "first_state": self._first.tolist(),
            "at_beginning": self._at_beginning,
            "complete": self.complete,
        }

    def _resume(self) -> None:
        with Saved(self._stream.pending, "the snapshot") as saved:
            self._decoder.restore(saved.mapping("decoder"))
            first = saved.numbers("first_state")
            self._at_beginning = saved.flag("at_beginning")
            self.complete = saved.flag("complete")
        if len(first) != self._stream.engine.state_size:
            raise CheckpointError("the snapshot is damaged: its first state is of another size")
        self._first = np.array(first, np.float32)
