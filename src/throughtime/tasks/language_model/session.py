"""A text that a model goes on with: read, write, stop, and go on later exactly there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from throughtime.data import Tokenizer
from throughtime.data.tokenizer import StreamDecoder
from throughtime.errors import CheckpointError
from throughtime.generation.text import line_end
from throughtime.runtime.engine import Engine
from throughtime.runtime.sampling import SamplingOptions
from throughtime.runtime.stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Self


class Session:
    """One text in the making: a `throughtime.runtime.Stream` that speaks in characters.

    Example:
        session = run.session(seed=1, temperature=0.8)
        session.read("ROMEO:")
        print(session.write(200))
        saved = session.snapshot()                      # bytes: write them anywhere
        session = run.restore_session(saved)            # here, or in another process
        print(session.write(200))                       # what it would have written next

    Args:
        engine: the model.
        tokenizer: its vocabulary.
        options: how tokens are drawn.
        seed: of the draws.
    """

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, options: SamplingOptions | None = None, seed: int = 0
    ) -> None:
        self._start(tokenizer, Stream(engine, options, seed))

    def _start(self, tokenizer: Tokenizer, stream: Stream) -> None:
        self._tokenizer, self._stream = tokenizer, stream
        self._decoder = tokenizer.stream_decoder()

    @classmethod
    def around(cls, tokenizer: Tokenizer, stream: Stream, decoder: StreamDecoder) -> Self:
        """A session of which the parts are there: a stream, and where its text stands."""
        session = cls.__new__(cls)
        session._start(tokenizer, stream)
        session._decoder = decoder
        return session

    @property
    def parts(self) -> tuple[Stream, StreamDecoder]:
        """Its stream, and where its text stands."""
        return self._stream, self._decoder

    @property
    def position(self) -> int:
        """Tokens read so far, those that were written included."""
        return self._stream.position

    def read(self, text: str) -> None:
        """Go on as if the model had written this; "" changes nothing.

        Raises:
            UnknownTokenError: a character is not in the model's vocabulary.
        """
        tokens = self._tokenizer.encode(text)
        if len(tokens):
            self._stream.read(tokens)
            for token in tokens:
                self._decoder.push(int(token))

    def write(self, tokens: int) -> str:
        """Draw so many tokens; the text that they complete.

        Bytes of a character whose rest has not been drawn wait for the next call. A session that has read
        nothing begins as after a line's end.
        """
        self._begin()
        return "".join(self._decoder.push(int(token)) for token in self._stream.generate(tokens))

    def stream(self, tokens: int) -> Iterator[str]:
        """As `write`, each piece as soon as it is known; left early, the session stands where it was left."""
        self._begin()
        for _ in range(tokens):
            if text := self._decoder.push(int(self._stream.generate(1)[0])):
                yield text

    def _begin(self) -> None:
        if self._stream.position == 0:
            self._stream.read([line_end(self._tokenizer)])

    def snapshot(self) -> bytes:
        """All that going on exactly here needs; see `throughtime.runtime.Stream.snapshot`."""
        self._stream.pending = self._pending()
        return self._stream.snapshot()

    def _pending(self) -> dict[str, Any]:
        """What the stream keeps for this session."""
        return self._decoder.state()

    def _resume(self) -> None:
        """Go on from what `_pending` gave."""
        self._decoder.restore(self._stream.pending)

    @classmethod
    def restore(cls, engine: Engine, tokenizer: Tokenizer, snapshot: bytes) -> Self:
        """A session that goes on where a snapshot was taken.

        Raises:
            CheckpointError: the snapshot is damaged, or of another model, precision or version.
        """
        return cls._of(tokenizer, Stream.restore(engine, snapshot))

    @classmethod
    def _of(cls, tokenizer: Tokenizer, stream: Stream) -> Self:
        session = cls.__new__(cls)
        session._start(tokenizer, stream)
        try:
            session._resume()
        except CheckpointError:
            session.close()
            raise
        return session

    def fork(self) -> Self:
        """A copy that goes its own way from here."""
        self._stream.pending = self._pending()
        return self._of(self._tokenizer, self._stream.fork())

    def close(self) -> None:
        """Give the engine's slot back; closing twice is fine."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
