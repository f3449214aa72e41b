"""Frame and segment scores, held to numbers worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.tagger.segments import (
    UNLABELLED,
    FrameScores,
    Segment,
    edit_score,
    find_segments,
    match_segments,
)


def labels(text: str) -> np.ndarray:
    """One frame a character: digits are labels, a dot is a frame without one."""
    return np.array([UNLABELLED if character == "." else int(character) for character in text])


def scores(*pairs: tuple[str, str], classes: int = 4) -> dict[str, float]:
    gathered = FrameScores(classes)
    for truth, predicted in pairs:
        gathered.add(labels(truth), labels(predicted))
    return gathered.result()


def test_segments_are_the_longest_runs_of_one_label() -> None:
    assert find_segments(labels("001112")) == [Segment(0, 0, 2), Segment(1, 2, 5), Segment(2, 5, 6)]
    assert find_segments(labels("")) == []
    assert find_segments(labels("...")) == []


def test_an_unlabelled_gap_ends_a_segment() -> None:
    assert find_segments(labels(".00.0.1")) == [Segment(0, 1, 3), Segment(0, 4, 5), Segment(1, 6, 7)]


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        ("001122", "001122", Fraction(1)),
        ("001122", "011112", Fraction(1)),  # the order is right, the lengths are not
        ("0011", "0101", Fraction(1, 2)),  # 0 1 -> 0 1 0 1: two insertions of four
        ("012", "0", Fraction(1, 3)),  # two deletions of three
        ("012", "210", Fraction(1, 3)),  # two substitutions of three
        ("0000", "1111", Fraction(0)),
        ("010101", "101010", Fraction(2, 3)),  # delete the first 0, append a 0: two of six
    ],
)
def test_the_edit_score_compares_the_order_of_the_segments(
    truth: str, predicted: str, expected: Fraction
) -> None:
    found = edit_score(find_segments(labels(truth)), find_segments(labels(predicted)))
    assert found == pytest.approx(float(expected))


def test_a_segment_is_found_from_the_wanted_overlap_on() -> None:
    truth = find_segments(labels("0000011111"))
    # label 0: 2 frames of 5, IoU 2/5; label 1: 5 frames of 8, IoU 5/8
    predicted = find_segments(labels("0011111111"))
    for overlap, found in ((0.10, 2), (0.25, 2), (0.40, 2), (0.41, 1), (0.50, 1), (0.63, 0)):
        hits = match_segments(truth, predicted, overlap)
        assert (hits.found, hits.invented, hits.missed) == (found, 2 - found, 2 - found)
        assert hits.f1 == found / 2


def test_many_short_segments_are_matched_at_once() -> None:
    truth = find_segments(np.arange(20_000) % 2)
    hits = match_segments(truth, find_segments(1 - np.arange(20_000) % 2), 0.5)
    assert (hits.found, hits.invented, hits.missed) == (0, 20_000, 20_000)
    assert edit_score(truth, truth[1:]) == 1 - 1 / 20_000


def test_flickering_finds_a_segment_once_and_invents_the_rest() -> None:
    truth = find_segments(labels("0000000000"))
    predicted = find_segments(labels("0000001000"))
    # 0 (IoU 6/10) finds it; 1 and the second 0 (IoU 3/10) are invented
    hits = match_segments(truth, predicted, 0.25)
    assert (hits.found, hits.invented, hits.missed) == (1, 2, 0)
    assert hits.f1 == pytest.approx(2 / 4)


def test_the_scores_of_one_sequence_by_hand() -> None:
    result = scores(("0000111122", "0001111222"))
    # wrong: frames 3 and 7
    assert result["accuracy"] == pytest.approx(8 / 10)
    # F1 of 0: 2*3/(3+4), of 1: 2*3/(4+4), of 2: 2*2/(3+2)
    assert result["macro_f1"] == pytest.approx((6 / 7 + 6 / 8 + 4 / 5) / 3)
    assert result["edit"] == 1
    # IoU: 3/4, 3/5, 2/3
    assert (result["f1@10"], result["f1@25"], result["f1@50"]) == (1, 1, 1)


def test_segments_are_counted_over_all_sequences_and_edits_are_averaged() -> None:
    result = scores(("0000", "0000"), ("0011", "0101"))
    # 1 found of 1 + 1; then 0 (1/2), 1 (1/3), 0 (0), 1 (1/2) against two: at 50 % two of four
    assert result["f1@50"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 0))
    assert result["edit"] == pytest.approx((1 + 1 / 2) / 2)
    assert result["accuracy"] == pytest.approx((4 + 2) / 8)


def test_unlabelled_frames_count_nowhere() -> None:
    one = scores(("00..11", "003311"))
    assert one == {"accuracy": 1, "macro_f1": 1, "edit": 1, "f1@10": 1, "f1@25": 1, "f1@50": 1}
    # the prediction runs through the gap: cut there, it is two segments, as the truth is
    two = scores(("00..00", "000000"))
    assert two["edit"] == 1 and two["f1@50"] == 1
    nothing = FrameScores(2)
    nothing.add(labels("..."), labels("010"))
    assert nothing.result()["accuracy"] == 0
    nothing.add(labels("01"), labels("01"))
    assert nothing.result()["edit"] == 1


def test_sequences_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        FrameScores(2).add([0, 1, 1], [0, 1])


sequences = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(sequences)
def test_a_perfect_prediction_scores_one_everywhere(truth: list[int]) -> None:
    gathered = FrameScores(4)
    gathered.add(truth, truth)
    assert set(gathered.result().values()) == {1.0}


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=40),
    st.permutations(range(4)),
)
def test_scores_stay_in_range_and_do_not_depend_on_the_names_of_the_labels(
    frames: list[tuple[int, int]], names: list[int]
) -> None:
    truth, predicted = (np.array(column) for column in zip(*frames, strict=True))
    one, two = FrameScores(4), FrameScores(4)
    one.add(truth, predicted)
    renamed = np.array(names)
    two.add(np.where(truth == UNLABELLED, UNLABELLED, renamed[truth]), renamed[predicted])
    assert two.result() == pytest.approx(one.result())
    assert all(0 <= value <= 1 for value in one.result().values())
    assert one.result()["f1@10"] >= one.result()["f1@25"] >= one.result()["f1@50"]
