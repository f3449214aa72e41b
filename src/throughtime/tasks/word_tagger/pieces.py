"""Long sentences in pieces, so that none needs more memory than another, and none is cut short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Of a piece: how much of it is read on either side for its context, and tagged by the neighbour.
_CONTEXT = 1 / 8


@dataclass(frozen=True)
class Piece:
    """A part of a sentence.

    Args:
        start, stop: its words are [start, stop).
        kept_start, kept_stop: those whose tags are taken from it.
    """

    start: int
    stop: int
    kept_start: int
    kept_stop: int


def pieces_of(length: int, longest: int, overlap: bool) -> Iterator[Piece]:
    """The pieces of a sentence, in order; the kept parts make up the whole.

    Args:
        length: of the sentence, in words.
        longest: of a piece.
        overlap: read the neighbouring words as well, where there are any.
    """
    context = int(longest * _CONTEXT) if overlap and length > longest else 0
    step = longest - 2 * context
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield Piece(max(start - context, 0), min(stop + context, length), start, stop)
