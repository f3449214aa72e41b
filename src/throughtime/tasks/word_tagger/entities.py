"""Tags that mark spans of words, such as names: which scheme they follow, the spans, and how many are found.

```
Angela    Merkel    visited  Paris
B-person  I-person  O        B-location      BIO (also IOB2): begin, inside, outside
B-person  E-person  O        S-location      BIOES: also the end, and single words
```
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_SPAN = re.compile(r"[BIESLU]-.+")
OUTSIDE_TAG = "O"
# BILOU's letters for what BIOES calls so.
_SAME = {"L": "E", "U": "S"}


@dataclass(frozen=True)
class Entity:
    """A span of words with a type.

    Args:
        type: such as "person".
        start, end: its words are [start, end).
    """

    type: str
    start: int
    end: int


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether tags mark spans of words: all are O or a letter of BIOES or BILOU, a hyphen and a type."""
    tags = set(tags)
    return OUTSIDE_TAG in tags and len(tags) > 1 and all(map(_SPAN.fullmatch, tags - {OUTSIDE_TAG}))


def find_entities(tags: Sequence[str]) -> list[Entity]:
    """The spans that tags mark, in order.

    Tags that do not fit each other are taken as seqeval's default takes them, which is conlleval's way: an I-
    or E- that does not continue a span of its type begins one.

    Args:
        tags: of one sentence.
    """
    found: list[Entity] = []
    begun: int | None = None
    last, last_type = OUTSIDE_TAG, ""
    for place, tag in enumerate([*tags, OUTSIDE_TAG]):
        letter, _, kind = tag.partition("-")
        letter = _SAME.get(letter, letter)
        if letter == OUTSIDE_TAG:
            kind = ""
        goes_on = letter in ("I", "E") and last in ("B", "I") and kind == last_type
        if begun is not None and not goes_on:
            found.append(Entity(last_type, begun, place))
            begun = None
        if letter != OUTSIDE_TAG and begun is None:
            begun = place
        last, last_type = letter, kind
    return found


def describe_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """What tags that mark spans use, and what in them does not fit, in part of a line."""
    letters: Counter[str] = Counter()
    unbegun = unended = adjacent = 0
    for tags in sentences:
        last, last_type = OUTSIDE_TAG, ""
        for tag in tags:
            letter, _, kind = tag.partition("-")
            letters[letter] += 1
            continues = last in ("B", "I") and kind == last_type
            unbegun += letter in ("I", "E", "L") and not continues
            # In IOB1, B- only parts two spans of one type that stand beside each other.
            adjacent += letter == "B" and last in ("B", "I") and kind == last_type
            unended += last in ("B", "I") and not (letter in ("I", "E", "L") and kind == last_type)
            last, last_type = letter, kind
        unended += last in ("B", "I")
    if letters["L"] or letters["U"]:
        scheme = "BILOU"
    elif letters["E"] or letters["S"]:
        scheme = "BIOES"
    elif not letters["B"]:
        return "IO tags (spans of one type that stand beside each other count as one)"
    elif letters["B"] == adjacent:
        return "IOB1 tags (B- only between spans of one type)"
    else:
        scheme = "BIO"
    faults = []
    if unbegun:
        faults.append(f"{unbegun:,} I- without a B- before")
    if unended and scheme != "BIO":
        faults.append(f"{unended:,} spans without an end")
    counted = f" ({' and '.join(faults)}: counted as seqeval does)" if faults else ""
    return f"{scheme} tags{counted}"


class EntityScores:
    """Counts spans that are found, true, and both.

    A span is right where type, first and last word are right. The totals are over all spans ("micro").
    """

    def __init__(self) -> None:
        self._right: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._true: Counter[str] = Counter()

    def add(self, truth: Sequence[str], predicted: Sequence[str]) -> None:
        """Take in the tags of a sentence."""
        true, found = set(find_entities(truth)), set(find_entities(predicted))
        self._true.update(one.type for one in true)
        self._found.update(one.type for one in found)
        self._right.update(one.type for one in true & found)

    @property
    def totals(self) -> dict[str, float]:
        """precision, recall and f1 of all spans; 0 where a denominator is 0."""
        return _scores(self._right.total(), self._found.total(), self._true.total())

    def by_type(self) -> list[dict[str, Any]]:
        """The same for each type, with how many true spans it has."""
        types = sorted(self._true.keys() | self._found.keys())
        return [
            {
                "type": kind,
                **_scores(self._right[kind], self._found[kind], self._true[kind]),
                "entities": self._true[kind],
            }
            for kind in types
        ]


def _scores(right: int, found: int, true: int) -> dict[str, float]:
    return {
        "precision": right / found if found else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / (found + true) if found + true else 0.0,
    }
