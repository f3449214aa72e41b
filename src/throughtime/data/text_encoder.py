"""Single texts to token numbers, as a classifier reads them: what the vocabulary lacks is one more token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.data.tokenizer import Tokenizer
from throughtime.data.vocabularies import UNKNOWN_WORD
from throughtime.errors import DataError, UnknownTokenError

# A word with the apostrophes inside it ("don't"), or one mark.
_WORD_OR_MARK = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class TextEncoder:
    """Turns texts into token numbers below V, and V for what is unknown.

    Args:
        tokenizer: V tokens.
        lowercase: see `normalise`.
        errors: what to do with characters that the vocabulary lacks: "replace" reads them as V, "strict"
            stops. Unknown words are V always.
        longest: tokens after so many are left out; 0 for none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        lowercase: bool = False,
        errors: Literal["strict", "replace"] = "replace",
        longest: int = 0,
    ) -> None:
        self.tokenizer = tokenizer
        self.unknown = tokenizer.vocabulary_size
        self._lowercase = lowercase
        self._errors = errors
        self._longest = longest or None
        texts = [tokenizer.token_text(token) for token in range(tokenizer.vocabulary_size)]
        self._characters = frozenset(texts) if tokenizer.kind == "character" else None
        self._unknown_word = texts.index(UNKNOWN_WORD) if tokenizer.kind == "word" else None

    def encode(self, text: str) -> NDArray[np.int64]:
        """Token numbers (T,), T >= 1.

        Raises:
            DataError: the text has no token, or ("strict") an unknown character.
        """
        text = normalise(text, self.tokenizer.kind, self._lowercase)
        tokens = self._characters_of(text) if self._characters is not None else self.tokenizer.encode(text)
        if self._unknown_word is not None:
            tokens = np.where(tokens == self._unknown_word, self.unknown, tokens)
        if not len(tokens):
            raise DataError("the text is empty")
        return tokens[: self._longest]

    def _characters_of(self, text: str) -> NDArray[np.int64]:
        assert self._characters is not None
        known = np.array([character in self._characters for character in text], dtype=bool)
        if not known.all() and self._errors == "strict":
            position = int(np.flatnonzero(~known)[0])
            raise UnknownTokenError(
                f"character {text[position]!r} (U+{ord(text[position]):04X}) at position {position + 1} did "
                f"not occur in the training texts; use --errors replace to read such ones as unknown"
            )
        tokens = np.full(len(text), self.unknown, dtype=np.int64)
        tokens[known] = self.tokenizer.encode("".join(np.array(list(text), dtype=object)[known]))
        return tokens


def train_text_tokenizer(
    kind: Literal["character", "byte", "bpe", "word"],
    texts: Iterable[str],
    vocabulary_size: int | None,
    lowercase: bool,
) -> Tokenizer:
    """Build the vocabulary from texts as the encoder will see them."""
    return Tokenizer.train_on_texts(kind, _normalised(texts, kind, lowercase), vocabulary_size)


def unknown_share(texts: Iterable[str], lowercase: bool) -> float:
    """The share of a new text's words that these texts would not know.

    Words that occur once, over all words: so often the next word is a new one.

    Args:
        texts: at least one.
        lowercase: as texts are read.
    Source: Good 1953, equation 9 (Turing's estimate).
    """
    counts = Counter(word for text in _normalised(texts, "word", lowercase) for word in text.split(" "))
    return sum(count == 1 for count in counts.values()) / max(sum(counts.values()), 1)


def normalise(text: str, kind: str, lowercase: bool) -> str:
    """One text as the tokenizer gets it.

    Words: punctuation marks become words of their own, so that "good!" is the word "good". Byte pairs: a
    space goes before the text, so that its first word has the tokens that it has elsewhere.
    """
    text = text.strip()
    if lowercase:
        text = text.lower()
    if kind == "word":
        return " ".join(_WORD_OR_MARK.findall(text))
    return f" {text}" if kind == "bpe" and text else text


def _normalised(texts: Iterable[str], kind: str, lowercase: bool) -> Iterator[str]:
    for text in texts:
        yield normalise(text, kind, lowercase)
