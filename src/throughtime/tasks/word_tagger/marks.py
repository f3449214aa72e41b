"""Marks in a text, as annotation tools export them, as words with tags.

```
Peter lives in Berlin     [[0, 5, "person"], [15, 21, "place"]]     doccano
                          [{"start": 0, "end": 5, "label": "person"}]   Prodigy; Label Studio has `labels`
Peter     lives  in  Berlin
B-person  O      O   B-place
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from throughtime.errors import DataError
from throughtime.tasks.word_tagger.entities import OUTSIDE_TAG
from throughtime.tasks.word_tagger.plain_text import words_of

# What people call the column, best first.
MARK_COLUMNS = ("label", "labels", "entities", "spans")


class Mark(NamedTuple):
    """The characters [start, end) of a text, and what they are."""

    start: int
    end: int
    type: str


def marks_of(value: Any) -> list[Mark] | None:
    """The marks that a value holds, in order; None where it holds something else."""
    if not isinstance(value, (list, tuple)):
        return None
    found = [_mark(one) for one in value]
    marks = [mark for mark in found if mark is not None]
    return sorted(marks) if len(marks) == len(found) else None


def marked_words(text: str, marks: Sequence[Mark]) -> tuple[list[str], list[str]]:
    """The words of a text, which end where a mark does, and the tag of each.

    Args:
        text: it may have any length.
        marks: in order.
    Raises:
        DataError: two marks overlap, or one is outside the text.
    """
    words, tags = list[str](), list[str]()

    def add(start: int, end: int, kind: str) -> None:
        found = words_of(text[start:end])
        words.extend(found)
        tags.extend(f"{'I' if place else 'B'}-{kind}" if kind else OUTSIDE_TAG for place in range(len(found)))

    last = 0
    for mark in marks:
        if not last <= mark.start < mark.end <= len(text):
            what = "overlaps the one before it" if mark.start < last else "is outside the text"
            raise DataError(f"the mark {list(mark)} {what}, which has {len(text):,} characters")
        add(last, mark.start, "")
        add(mark.start, mark.end, mark.type)
        last = mark.end
    add(last, len(text), "")
    return words, tags


def _mark(value: Any) -> Mark | None:
    if isinstance(value, dict):
        kind = value.get("label") or value.get("labels") or value.get("type")
        start, end = value.get("start"), value.get("end")
        kind = kind[0] if isinstance(kind, list) and kind else kind
    elif isinstance(value, (list, tuple)) and len(value) == 3:
        start, end, kind = value
    else:
        return None
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(kind, str)):
        return None
    return Mark(start, end, kind.strip()) if kind.strip() else None
