"""Text from tokens, ready to stand in JSON: what goes out for every token has to cost next to nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from throughtime.data import Tokenizer
from throughtime.generation.stop import StopStrings


def escaped(text: str) -> bytes:
    """Text as it stands between the quotation marks of JSON."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")[1:-1]


class Vocabulary:
    """The tokens of a model, each escaped once.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._escaped: list[bytes | None] = []
        for token, text in enumerate(tokenizer.token_texts()):
            alone: str | None = text
            if tokenizer.kind in ("byte", "bpe"):
                decoder = tokenizer.stream_decoder()
                alone = decoder.push(token)
                if decoder.is_waiting or "\ufffd" in alone:
                    alone = None  # a part of a character, which its neighbours complete
            elif tokenizer.kind != "character":
                alone = None  # a space in front or none, by what stands before it
            self._escaped.append(None if alone is None else escaped(alone))

    def joined(self, tokens: Sequence[int]) -> bytes | None:
        """The text of tokens, escaped; None where it depends on what stands before them."""
        table = self._escaped
        pieces = [table[token] for token in tokens]
        return None if None in pieces else b"".join(pieces)  # type: ignore[arg-type]


class TextOutput:
    """One text that a model writes: its decoder, and the strings that it ends before.

    Args:
        vocabulary: of the model.
        stops: the text ends before the first of these.
        decoder: where the text stands before the first token; None is at its beginning.
    """

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str] = (), decoder: Any = None) -> None:
        self._vocabulary = vocabulary
        self.decoder = decoder or vocabulary.tokenizer.stream_decoder()
        self._stops = StopStrings(stops) if stops else None

    def skip(self, tokens: Sequence[int]) -> None:
        """Take in tokens that are no output: the prompt's."""
        for token in tokens:
            self.decoder.push(token)

    def push(self, tokens: Sequence[int]) -> tuple[bytes, int | None]:
        """Take in tokens that were drawn.

        Returns:
            The text that is sure now, escaped; and the number of tokens up to where a stop string was
            complete, or None.
        """
        if self._stops is None:
            if not self.decoder.is_waiting:
                joined = self._vocabulary.joined(tokens)
                if joined is not None:
                    return joined, None
            return escaped("".join([self.decoder.push(token) for token in tokens])), None
        parts = []
        for place, token in enumerate(tokens):
            text, stopped = self._stops.push(self.decoder.push(token))
            parts.append(text)
            if stopped:
                return escaped("".join(parts)), place + 1
        return escaped("".join(parts)), None

    def end(self, whole: bool) -> bytes:
        """What was held back, at the end of the text.

        Args:
            whole: no token comes any more, so that a character that was begun is shown as U+FFFD.
        """
        text = self.decoder.flush() if whole else ""
        if self._stops is not None:
            if self._stops.stopped:
                return b""
            text = self._stops.push(text)[0] + self._stops.flush()
        return escaped(text)
