"""Text to token numbers and back: characters, bytes, byte pairs or words, saved as tokenizer.json."""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.arrays import whole_numbers
from throughtime.data.lines import check_text
from throughtime.data.pieces import pieces, whole_pieces
from throughtime.data.text import DecodingErrors, Progress, read_blocks, read_byte_blocks
from throughtime.data.vocabularies import (
    DEFAULT_BPE_VOCABULARY,
    END_OF_LINE,
    UNKNOWN_WORD,
    TokenizerKind,
    byte_of_letter,
    byte_tokenizer,
    character_tokenizer,
    check_kind,
    count_words,
    train_bpe,
    word_tokenizer,
)
from throughtime.encodings import UTF8
from throughtime.errors import DataError, RunError, UnknownTokenError
from throughtime.facts import read_json, shown
from throughtime.files import write_atomically
from throughtime.saved import Saved


class Tokenizer:
    """Maps text to token numbers and back. Make one with `train` or `load`.

    Kinds:
        character: one token a Unicode code point, in code point order. Nothing is unknown silently.
        byte: one token a byte of the UTF-8 text; token numbers are byte values.
        bpe: byte-level byte pair encoding (Sennrich et al. 2016; bytes: Radford et al. 2019). Lossless.
        word: whitespace-separated words, most frequent first; a line's end is `<eos>`, a rare word `<unk>`.
    """

    def __init__(self, library: Any, kind: TokenizerKind, texts: list[str] | None = None) -> None:
        # `load` gives the texts of kinds that need no library to encode, and a function that makes it.
        self._given_library = library
        self.kind: TokenizerKind = kind
        if texts is None:
            texts = [library.id_to_token(token) for token in range(library.get_vocab_size())]
        self._texts = texts
        self.vocabulary_size = len(texts)
        if kind == "character":
            code_points = [ord(text) for text in texts]
            # The last place stands for all code points behind the largest known one.
            self._lookup = np.full(max(code_points) + 2, -1, dtype=np.int32)
            self._lookup[code_points] = np.arange(self.vocabulary_size)
        elif kind in ("byte", "bpe"):
            alphabet = byte_of_letter()
            self._bytes = [bytes(alphabet[letter] for letter in text) for text in self._texts]
        else:
            self._unknown = texts.index(UNKNOWN_WORD)
            self._end_of_line = texts.index(END_OF_LINE)

    @cached_property
    def _library(self) -> Any:
        return self._given_library() if callable(self._given_library) else self._given_library

    @classmethod
    def train(
        cls,
        kind: TokenizerKind,
        path: str | Path,
        vocabulary_size: int | None = None,
        errors: DecodingErrors = "strict",
        progress: Progress | None = None,
        encoding: str = UTF8,
    ) -> Tokenizer:
        """Build the vocabulary from a file.

        Args:
            kind: see the class.
            path: a text file; any file for "byte".
            vocabulary_size: upper limit, for "bpe" (None: 4096) and "word" (None: every word).
            errors: what to do with bytes that are not UTF-8.
            progress: called with the number of bytes read so far.
            encoding: of the text.
        Raises:
            DataError: the file cannot be read as text.
            OptionError: the kind is unknown, or vocabulary_size does not fit it.
        """
        check_kind(kind, vocabulary_size)
        if kind == "byte":
            for _ in read_byte_blocks(path, progress=progress):
                break  # a missing or empty file is the user's mistake here as well
            return cls(byte_tokenizer(), kind)
        blocks = read_blocks(path, errors, progress=progress, encoding=encoding)
        return cls.train_on_texts(
            kind, blocks if kind == "character" else whole_pieces(blocks), vocabulary_size
        )

    @classmethod
    def train_on_texts(
        cls, kind: TokenizerKind, texts: Iterable[str], vocabulary_size: int | None = None
    ) -> Tokenizer:
        """Build the vocabulary from texts, each read once; no token spans two of them.

        Args:
            kind, vocabulary_size: as for `train`.
            texts: sentences, captions, reviews...
        Raises:
            DataError: there is no text, or one that is no Unicode.
            OptionError: as for `train`.
        """
        check_kind(kind, vocabulary_size)
        if kind == "byte":
            return cls(byte_tokenizer(), kind)
        texts = map(check_text, texts)
        if kind == "character":
            characters = set(itertools.chain.from_iterable(texts))
            if not characters:
                raise DataError("there is no text to build a vocabulary from")
            return cls(character_tokenizer(sorted(characters)), kind)
        if kind == "bpe":
            return cls(train_bpe(texts, vocabulary_size or DEFAULT_BPE_VOCABULARY), kind)
        return cls(word_tokenizer(count_words(texts), vocabulary_size), kind)

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json that `save` wrote.

        Raises:
            RunError: the file is missing, damaged or of a kind that Throughtime does not write.
        """
        path = Path(path)

        def library() -> Any:
            from tokenizers import Tokenizer as LibraryTokenizer

            try:
                return LibraryTokenizer.from_str(text)
            # The library raises plain Exception for what it cannot read.
            except Exception as error:
                raise RunError(f"{path} is damaged or not a tokenizer of Throughtime: {error}") from None

        try:
            description = read_json(path, _Description)
            text = path.read_text(encoding="utf-8")
            kind = _kind_of(description)
            texts = _tokens_in_order(description.model.vocab)
            if kind in ("character", "byte"):
                if description.model.merges or any(len(text) != 1 for text in texts):
                    raise ValueError("its tokens are no single characters")
                return cls(library, kind, texts)
            return cls(library(), kind)
        except (OSError, ValueError) as error:
            raise RunError(f"{path} is damaged or not a tokenizer of Throughtime: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json, in the format of the Hugging Face tokenizers library."""
        write_atomically(path, self._library.to_str(pretty=True).encode("utf-8"))

    def encode(self, text: str, name: str = "the text", line: int = 1, column: int = 1) -> NDArray[np.int64]:
        """Turn text into token numbers.

        Args:
            text: any text.
            name, line, column: what and where the text is, for errors.
        Returns:
            (T,) int64; empty for empty text.
        Raises:
            UnknownTokenError: a character is not in the vocabulary ("character" only).
            DataError: the text holds half of a surrogate pair, which is no character.
        """
        if self.kind == "byte":
            try:
                # Bytes of a command line that are not UTF-8 come as such halves, and are still bytes.
                content = text.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                raise _no_text(text, name, line) from None
            return np.frombuffer(content, dtype=np.uint8).astype(np.int64)
        if self.kind == "character":
            code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            tokens = self._lookup[np.minimum(code_points, len(self._lookup) - 1)]
            unknown = np.flatnonzero(tokens < 0)
            if unknown.size:
                raise _unknown_character(text, int(unknown[0]), name, line, column)
            return tokens.astype(np.int64)
        try:
            encodings = self._library.encode_batch(list(pieces(text)), add_special_tokens=False)
        # The library cannot be given such a text at all; what it raises depends on its version.
        except (UnicodeEncodeError, TypeError):
            raise _no_text(text, name, line) from None
        except Exception as error:  # of a damaged vocabulary, as one that lacks its own token for the unknown
            reason = (str(error).splitlines() or [""])[0]
            raise DataError(f"the vocabulary cannot encode {name or 'the text'}: {reason}") from None
        return np.array([token for encoding in encodings for token in encoding.ids], dtype=np.int64)

    def encode_file(
        self,
        path: str | Path,
        errors: DecodingErrors = "strict",
        progress: Progress | None = None,
        encoding: str = UTF8,
    ) -> Iterator[NDArray[np.int64]]:
        """Turn a file into token numbers, block by block; together they are those of the whole text.

        Raises:
            DataError: the file cannot be read as text.
            UnknownTokenError: as in `encode`, with line and column.
        """
        if self.kind == "byte":
            for block in read_byte_blocks(path, progress=progress):
                yield np.frombuffer(block, dtype=np.uint8).astype(np.int64)
            return
        yield from self.encode_blocks(
            read_blocks(path, errors, progress=progress, encoding=encoding), str(path)
        )

    def encode_blocks(self, blocks: Iterator[str], name: str) -> Iterator[NDArray[np.int64]]:
        """Turn a text in blocks into token numbers, which do not depend on where the blocks end.

        Args:
            blocks: one after the other.
            name: what they are from, for errors.
        Raises:
            UnknownTokenError, DataError: as in `encode`, with line and column.
        """
        line, column = 1, 1
        for text in blocks if self.kind == "character" else whole_pieces(blocks):
            yield self.encode(text, name, line, column)
            if newlines := text.count("\n"):
                line, column = line + newlines, len(text) - text.rfind("\n")
            else:
                column += len(text)

    def decode(self, tokens: Any) -> str:
        """Turn token numbers into text; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ValueError: a token is outside the vocabulary, or no whole number.
        """
        decoder = self.stream_decoder()
        pieces = [decoder.push(token) for token in whole_numbers(tokens, "tokens").ravel().tolist()]
        return "".join(pieces) + decoder.flush()

    def stream_decoder(self) -> StreamDecoder:
        """Decode tokens one at a time; never emits half a character."""
        return StreamDecoder(self)

    def token_texts(self) -> list[str]:
        """Every token as text, by its number."""
        return list(self._texts)

    def token_text(self, token: int) -> str:
        """One token as text on its own, for tables and pictures.

        Raises:
            ValueError: the token is outside the vocabulary.
        """
        self._check(token)
        if self.kind in ("byte", "bpe"):
            return self._bytes[token].decode("utf-8", "replace")
        return self._texts[token]

    @property
    def unknown_token(self) -> int | None:
        """The token that stands for every unknown word; None where nothing is unknown."""
        return self._unknown if self.kind == "word" else None

    def _check(self, token: int) -> None:
        if not 0 <= token < self.vocabulary_size:
            raise ValueError(f"token {token} is outside the vocabulary of {self.vocabulary_size} tokens")


# Up to three bytes of a character, of four at most.
_BEGUN = re.compile("([0-9a-f]{2}){0,3}")


class StreamDecoder:
    """Text from tokens that come one at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_line_start = True

    def push(self, token: int) -> str:
        """Return the text that the token completes; "" while a character's bytes are still missing."""
        tokenizer = self._tokenizer
        tokenizer._check(token)
        if tokenizer.kind == "character":
            return tokenizer._texts[token]
        if tokenizer.kind in ("byte", "bpe"):
            return self._bytes.decode(tokenizer._bytes[token])
        if token == tokenizer._end_of_line:
            self._at_line_start = True
            return "\n"
        text = tokenizer._texts[token] if self._at_line_start else " " + tokenizer._texts[token]
        self._at_line_start = False
        return text

    @property
    def is_waiting(self) -> bool:
        """Whether the bytes of a character have begun and not ended."""
        return bool(self._bytes.getstate()[0])

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on exactly here; JSON can hold it."""
        pending, _ = self._bytes.getstate()
        return {"bytes": pending.hex(), "at_line_start": self._at_line_start}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken.

        Raises:
            CheckpointError: it is no such state.
        """
        with Saved(state, "the decoder's state") as saved:
            begun, at_line_start = saved.text("bytes"), saved.flag("at_line_start")
        fresh = codecs.getincrementaldecoder("utf-8")("replace")
        # Reading them leaves them where they are, if they are what a character can begin with.
        if not _BEGUN.fullmatch(begun) or fresh.decode(bytes.fromhex(begun)):
            saved.refuse("bytes", begun, "the beginning of a character, in hexadecimal digits")
        self._bytes, self._at_line_start = fresh, at_line_start

    def flush(self) -> str:
        """Return what an unfinished character decodes to (U+FFFD), at the end of the tokens."""
        return self._bytes.decode(b"", final=True)


@dataclass(frozen=True)
class _Model:
    """The part of tokenizer.json that says what the tokens are."""

    type: Literal["BPE", "WordLevel"]
    vocab: dict[str, int]
    merges: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class _PreTokenizer:
    type: str
    use_regex: bool = False


@dataclass(frozen=True)
class _Description:
    """What is read of tokenizer.json here; the rest is the library's."""

    model: _Model
    pre_tokenizer: _PreTokenizer | None


def _kind_of(description: _Description) -> TokenizerKind:
    model, before = description.model, description.pre_tokenizer
    if model.type == "WordLevel":
        if UNKNOWN_WORD not in model.vocab or END_OF_LINE not in model.vocab:
            raise ValueError(f"a word vocabulary needs {UNKNOWN_WORD} and {END_OF_LINE}")
        return "word"
    if before is None:
        return "character"
    if before.type != "ByteLevel":
        raise ValueError(f"pre-tokenizer {shown(before.type)}")
    return "bpe" if before.use_regex else "byte"


def _tokens_in_order(vocabulary: dict[str, int]) -> list[str]:
    texts = sorted(vocabulary, key=lambda text: vocabulary[text])
    if not texts or [vocabulary[text] for text in texts] != list(range(len(texts))):
        raise ValueError("its tokens are not numbered from 0")
    return texts


def _no_text(text: str, name: str, line: int) -> DataError:
    try:
        check_text(text)
    except DataError as error:
        return DataError(f"{name}, line {line}, {error}")
    raise AssertionError("only called for what cannot be encoded")


def _unknown_character(text: str, index: int, name: str, line: int, column: int) -> UnknownTokenError:
    import unicodedata

    character = text[index]
    before = text[:index]
    if newlines := before.count("\n"):
        line, column = line + newlines, index - before.rfind("\n")
    else:
        column += index
    called = unicodedata.name(character, "unnamed")
    return UnknownTokenError(
        f"{name}, line {line}, column {column}: character {character!r} (U+{ord(character):04X}, {called}) "
        f"is not in the model's vocabulary, as it did not occur in the training text; leave it out, or train "
        f"with --tokenizer byte or bpe, which know every character"
    )
