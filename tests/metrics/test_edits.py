"""Character and word error rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.metrics.edits import EditScores, edit_distance


def plainly(one: str, two: str) -> int:
    """The distance by its definition."""
    if not one or not two:
        return len(one) + len(two)
    return min(
        plainly(one[1:], two[1:]) + (one[0] != two[0]), plainly(one[1:], two) + 1, plainly(one, two[1:]) + 1
    )


@given(st.text("ab", max_size=5), st.text("ab", max_size=5))
def test_the_distance_is_the_fewest_edits(one: str, two: str) -> None:
    numbers = (np.array([ord(character) for character in text], np.int64) for text in (one, two))
    assert edit_distance(*numbers) == plainly(one, two)


def test_rates_are_edits_for_each_true_character_and_word() -> None:
    scores = EditScores()
    scores.add("kitten sat", "sitting sat")
    scores.add("yes", "yes")
    found = scores.figures()
    assert found["cer"] == pytest.approx(3 / 13)
    assert found["wer"] == pytest.approx(1 / 3)
    assert found["right"] == pytest.approx(1 / 2)
