"""Plain text to words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.word_tagger.plain_text import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Angela visited Paris.", "Angela visited Paris ."),
        ("I can't, we don’t; it's O'Brien's", "I ca n't , we do n’t ; it 's O ' Brien 's"),
        ("3.14 1,000.50 50% 10:30 24/7 5pm", "3.14 1,000.50 50% 10:30 24/7 5pm"),
        ("the U.S. and e.g. this", "the U.S. and e.g. this"),
        ("state-of-the-art -- really...", "state-of-the-art -- really ..."),
        ("see https://a.b/c?d=1, @me #tag!!", "see https://a.b/c?d=1, @me #tag !!"),
        ('"(yes)"', '" ( yes ) "'),
        ("안녕하세요, 세계", "안녕하세요 , 세계"),
        ("", ""),
        (" \t ", ""),
    ],
)
def test_words_are_as_a_person_would_part_them(text: str, words: str) -> None:
    assert words_of(text) == words.split()


@given(st.text())
def test_no_character_but_white_space_is_lost(text: str) -> None:
    assert "".join(words_of(text)) == "".join(text.split())
