"""Long sentences in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from throughtime.tasks.word_tagger.pieces import pieces_of


@given(st.integers(1, 500), st.integers(8, 100), st.booleans())
def test_every_word_is_kept_once_and_no_piece_is_too_long(length: int, longest: int, overlap: bool) -> None:
    pieces = list(pieces_of(length, longest, overlap))
    kept = [place for one in pieces for place in range(one.kept_start, one.kept_stop)]
    assert kept == list(range(length))
    for one in pieces:
        assert 0 <= one.start <= one.kept_start < one.kept_stop <= one.stop <= length
        assert one.stop - one.start <= longest


def test_a_short_sentence_is_one_piece() -> None:
    (piece,) = pieces_of(8, 8, overlap=True)
    assert (piece.start, piece.stop) == (0, 8)


def test_pieces_overlap_where_tags_are_predicted() -> None:
    first, second = list(pieces_of(12, 8, overlap=True))[:2]
    assert (first.stop, second.start) == (7, 5)
    first, second = pieces_of(12, 8, overlap=False)
    assert (first.stop, second.start) == (8, 8)
