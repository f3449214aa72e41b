"""Texts as a classifier reads them: unknown things are one more token, punctuation is no part of a word."""

from __future__ import annotations

import pytest

from throughtime.data.text_encoder import TextEncoder, normalise, train_text_tokenizer, unknown_share
from throughtime.errors import DataError, UnknownTokenError

TEXTS = ["Good, good film!", "a dull film", "정말 재미있는 영화"]


def encoder(kind: str, **options: object) -> TextEncoder:
    return TextEncoder(train_text_tokenizer(kind, TEXTS, None, lowercase=False), **options)  # type: ignore[arg-type]


def test_words_lose_their_punctuation_and_keep_their_apostrophes() -> None:
    assert normalise(" Good, isn't it?! ", "word", lowercase=True) == "good , isn't it ? !"
    assert normalise("정말…재미있다", "word", lowercase=False) == "정말 … 재미있다"
    assert normalise(" Good, ", "character", lowercase=False) == "Good,"


def test_the_first_word_has_the_byte_pairs_that_it_has_elsewhere() -> None:
    tokenizer = train_text_tokenizer("bpe", ["good film", "a good film"] * 9, 300, lowercase=False)
    encode = TextEncoder(tokenizer).encode
    assert encode("good film").tolist() == encode("a good film").tolist()[-len(encode("good film")) :]


def test_unknown_words_are_the_token_after_the_vocabulary() -> None:
    words = encoder("word")
    tokens = words.encode("a clumsy film")
    assert words.unknown == words.tokenizer.vocabulary_size
    assert [token == words.unknown for token in tokens] == [False, True, False]
    assert [words.tokenizer.token_text(int(token)) for token in tokens[[0, 2]]] == ["a", "film"]


def test_unknown_characters_are_read_as_unknown_or_named() -> None:
    tokens = encoder("character").encode("a çilm")
    assert [token == encoder("character").unknown for token in tokens] == [False, False, True] + [False] * 3
    with pytest.raises(UnknownTokenError, match=r"'ç' \(U\+00E7\) at position 3 .*--errors replace"):
        encoder("character", errors="strict").encode("a çilm")


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_bytes_and_byte_pairs_know_everything(kind: str) -> None:
    one = encoder(kind)
    assert (one.encode("🎬 çılgın 좋다") < one.unknown).all()


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "word"])
def test_korean_has_tokens_and_nothing_has_none(kind: str) -> None:
    assert len(encoder(kind).encode("재미있는 영화")) >= 2
    with pytest.raises(DataError, match="empty"):
        encoder(kind).encode(" \n")


def test_long_texts_are_cut() -> None:
    assert len(encoder("word", longest=2).encode("a good good film")) == 2


def test_words_that_occur_once_say_how_many_new_texts_will_have() -> None:
    assert unknown_share(["a b a b"], lowercase=True) == 0
    assert unknown_share(["a b", "a c d"], lowercase=True) == pytest.approx(3 / 5)
    assert unknown_share(["A", "a"], lowercase=True) == 0 < unknown_share(["A", "a"], lowercase=False)
