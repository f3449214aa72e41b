"""Spans as seqeval's default counts them, and what is said of the tags of a file."""

from __future__ import annotations

import random

import pytest

from throughtime.tasks.word_tagger.entities import (
    Entity,
    EntityScores,
    describe_scheme,
    find_entities,
    marks_spans,
)

# The right column is what seqeval 1.2.2's `get_entities` gives, with its last word made an end.
CASES = [
    ("O O", []),
    ("B-a I-a O B-b", [("a", 0, 2), ("b", 3, 4)]),
    ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)]),
    ("I-a I-a O", [("a", 0, 2)]),
    ("O I-a I-b", [("a", 1, 2), ("b", 2, 3)]),
    ("B-a I-b I-b", [("a", 0, 1), ("b", 1, 3)]),
    ("S-a S-a", [("a", 0, 1), ("a", 1, 2)]),
    ("B-a I-a E-a I-a", [("a", 0, 3), ("a", 3, 4)]),
    ("E-a E-a", [("a", 0, 1), ("a", 1, 2)]),
    ("B-a E-b", [("a", 0, 1), ("b", 1, 2)]),
    ("S-a I-a E-a", [("a", 0, 1), ("a", 1, 3)]),
    ("B-a", [("a", 0, 1)]),
    ("B-a-b I-a-b", [("a-b", 0, 2)]),
]


@pytest.mark.parametrize(("tags", "expected"), CASES)
def test_spans_are_those_of_seqeval(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert find_entities(tags.split()) == [Entity(*one) for one in expected]


def test_the_letters_of_bilou_are_those_of_bioes() -> None:
    drawn = random.Random(0)
    for _ in range(200):
        tags = [
            drawn.choice(["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in "ab")]) for _ in range(8)
        ]
        renamed = [tag.replace("E-", "L-").replace("S-", "U-") for tag in tags]
        assert find_entities(tags) == find_entities(renamed)


def test_agrees_with_seqeval_where_it_is_installed() -> None:
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    drawn = random.Random(1)
    for _ in range(5_000):
        tags = [
            drawn.choice(["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in "ab")]) for _ in range(9)
        ]
        expected = [(kind, first, last + 1) for kind, first, last in labeling.get_entities(tags)]
        assert [(one.type, one.start, one.end) for one in find_entities(tags)] == expected


def test_precision_recall_and_f1_are_over_all_spans() -> None:
    scores = EntityScores()
    scores.add(["B-a", "I-a", "O", "B-b"], ["B-a", "I-a", "O", "O"])
    scores.add(["O", "B-a"], ["B-b", "B-b"])
    assert scores.totals == {"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3}
    assert scores.by_type() == [
        {"type": "a", "precision": 1.0, "recall": 0.5, "f1": 2 / 3, "entities": 2},
        {"type": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "entities": 1},
    ]


def test_nothing_found_of_nothing_is_zero_and_no_error() -> None:
    scores = EntityScores()
    scores.add(["O"], ["O"])
    assert scores.totals == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "B-a"], True),
        (["O", "I-a", "E-a"], True),
        (["NOUN", "VERB", "O"], False),
        (["B-a", "I-a"], False),
        (["O"], False),
    ],
)
def test_which_tags_mark_spans(tags: list[str], expected: bool) -> None:
    assert marks_spans(tags) is expected


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (["B-a I-a O", "B-a"], "BIO tags"),
        (["B-a I-a O", "I-a B-b"], "BIO tags (1 I- without a B- before: counted as seqeval does)"),
        (["B-a E-a S-b O"], "BIOES tags"),
        (["B-a I-a", "S-b"], "BIOES tags (1 spans without an end: counted as seqeval does)"),
        (["B-a L-a U-b O"], "BILOU tags"),
        (["I-a I-a O I-b"], "IO tags (spans of one type that stand beside each other count as one)"),
        (["I-a B-a O"], "IOB1 tags (B- only between spans of one type)"),
    ],
)
def test_a_scheme_is_named_with_its_faults(sentences: list[str], expected: str) -> None:
    assert describe_scheme(one.split() for one in sentences) == expected
