"""Vocabularies of characters, bytes, byte pairs and words, made for the tokenizers library."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from throughtime.errors import DataError, OptionError

TokenizerKind = Literal["character", "byte", "bpe", "word"]

UNKNOWN_WORD = "<unk>"
END_OF_LINE = "<eos>"
DEFAULT_BPE_VOCABULARY = 4096

# Every merge looks through all of each word that has its pair: a word of 150,000 letters takes ten seconds.
_LONGEST_WORD = 1000
_LONG_WORD = re.compile(rf"(?<!\S)\S{{{_LONGEST_WORD},}}|(?<!\s)\s{{{_LONGEST_WORD},}}")


def check_kind(kind: str, vocabulary_size: int | None) -> None:
    """Refuse what is no kind of tokenizer, or a size that does not apply to it.

    Raises:
        OptionError: the message says what to use.
    """
    if kind not in get_args(TokenizerKind):
        raise OptionError(f"tokenizer {kind!r} is unknown: use {', '.join(get_args(TokenizerKind))}")
    if vocabulary_size is not None and kind in ("character", "byte"):
        raise OptionError(f"vocabulary_size does not apply to the {kind} tokenizer: leave it out")


def character_tokenizer(characters: list[str]) -> Any:
    """A tokenizer of these characters, numbered in their order."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders, models

    # BPE without merges is a tokeniser of single characters.
    library = LibraryTokenizer(models.BPE({text: token for token, text in enumerate(characters)}, []))
    library.decoder = decoders.Fuse()
    return library


def byte_tokenizer() -> Any:
    """A tokenizer of single bytes of UTF-8, numbered as they are."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models

    return _with_bytes(LibraryTokenizer(models.BPE(byte_of_letter(), [])), use_regex=False)


def train_bpe(texts: Iterator[str], vocabulary_size: int) -> Any:
    """Byte pairs of texts (Sennrich et al. 2016), of bytes (Radford et al. 2019).

    Raises:
        OptionError: the vocabulary would not hold the bytes.
    """
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models, pre_tokenizers, trainers

    if vocabulary_size < 256:
        raise OptionError(f"vocabulary_size must be 256 (the bytes) or above for bpe, not {vocabulary_size}")
    library = _with_bytes(LibraryTokenizer(models.BPE()), use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(itertools.chain.from_iterable(map(_cut_long_words, texts)), trainer)
    return library


def _cut_long_words(text: str) -> Iterator[str]:
    """The text in pieces that hold no very long word, or run of spaces, whole."""
    begin = 0
    for word in _LONG_WORD.finditer(text):
        for end in range(word.start() + _LONGEST_WORD, word.end() + 1, _LONGEST_WORD):
            yield text[begin:end]
            begin = end
    yield text[begin:]


def _with_bytes(library: Any, use_regex: bool) -> Any:
    from tokenizers import decoders, pre_tokenizers

    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    library.decoder = decoders.ByteLevel()
    return library


def word_tokenizer(counts: Counter[str], vocabulary_size: int | None) -> Any:
    """A tokenizer of words, the most frequent first; a line's end and what is unknown are among them.

    Raises:
        OptionError: the vocabulary would hold no word.
    """
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models, normalizers, pre_tokenizers

    if vocabulary_size is not None and vocabulary_size < 3:
        raise OptionError(f"vocabulary_size must be 3 or above for words, not {vocabulary_size}")
    words = sorted(counts, key=lambda word: (-counts[word], word))
    if vocabulary_size is not None:
        kept = [word for word in words if word not in (UNKNOWN_WORD, END_OF_LINE)][: vocabulary_size - 2]
        words = [word for word in words if word in {UNKNOWN_WORD, END_OF_LINE, *kept}]
    vocabulary = {word: token for token, word in enumerate(words)}
    for needed in (UNKNOWN_WORD, END_OF_LINE):
        vocabulary.setdefault(needed, len(vocabulary))
    library = LibraryTokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN_WORD))
    library.normalizer = normalizers.Replace("\n", f" {END_OF_LINE} ")
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return library


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word comes, and END_OF_LINE for each line's end.

    Raises:
        DataError: there is no word.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split())
        counts[END_OF_LINE] += text.count("\n")
    if not counts[END_OF_LINE]:
        del counts[END_OF_LINE]
    if not counts:
        raise DataError("the text holds no words, only whitespace")
    return counts


def byte_of_letter() -> dict[str, int]:
    """The printable letter that byte-level tokenisers write for each byte, reversed (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    letters.update({chr(0x100 + index): byte for index, byte in enumerate(others)})
    return letters
