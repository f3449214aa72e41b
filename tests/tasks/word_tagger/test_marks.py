"""Marks in a text become tags of its words, however a tool exports them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.word_tagger.marks import Mark, marked_words, marks_of
from throughtime.tasks.word_tagger.sentences import SentenceReader

TEXT = "Ann Lee lives in New York-Queens."
PERSON, PLACE = Mark(0, 7, "person"), Mark(17, 25, "place")


@pytest.mark.parametrize(
    "value",
    [
        [[17, 25, "place"], [0, 7, "person"]],
        [{"start": 17, "end": 25, "label": "place", "id": 1}, {"start": 0, "end": 7, "label": "person"}],
        [{"start": 0, "end": 7, "labels": ["person"]}, {"start": 17, "end": 25, "labels": ["place"]}],
    ],
)
def test_the_forms_of_several_tools_are_the_same_marks(value: Any) -> None:
    assert marks_of(value) == [PERSON, PLACE]


@pytest.mark.parametrize("value", ["a", [1, 2], [[0, 4]], [[0, "4", "x"]], [{"start": 0}], [["a", "b", "c"]]])
def test_other_lists_are_no_marks(value: Any) -> None:
    assert marks_of(value) is None


def test_a_word_ends_where_a_mark_does() -> None:
    words, tags = marked_words(TEXT, [PERSON, PLACE])
    assert words == ["Ann", "Lee", "lives", "in", "New", "York", "-", "Queens", "."]
    assert tags == ["B-person", "I-person", "O", "O", "B-place", "I-place", "O", "O", "O"]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ([PERSON, Mark(4, 9, "x")], r"\[4, 9, 'x'\] overlaps"),
        ([Mark(30, 99, "x")], r"outside the text.*33 char"),
    ],
)
def test_marks_that_fit_no_text_are_named(marks: list[Mark], message: str) -> None:
    with pytest.raises(DataError, match=message):
        marked_words(TEXT, marks)


def test_rows_with_marks_are_sentences(tmp_path: Path) -> None:
    rows = [{"text": TEXT, "label": [list(PLACE)]}, {"text": "So it is.", "label": []}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = SentenceReader("text", "label")
    first, second = reader.read(tmp_path / "a.jsonl", BadRows())
    assert (first.tags or ())[4:6] == ("B-place", "I-place")
    assert second.tags == ("O",) * 4
