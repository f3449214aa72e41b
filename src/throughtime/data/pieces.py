"""Text in pieces, cut only where no token of any tokeniser spans the cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Pieces this long keep both cores busy in the tokenizers library, whose parallelism is over pieces.
_PIECE_CHARACTERS = 1 << 16
# No tokeniser here lets a token span this place, whatever follows: only whitespace looks ahead.
_SAFE_CUT = re.compile(r"(?<=\S)(?=\s)")


def whole_pieces(blocks: Iterator[str]) -> Iterator[str]:
    """The same text, cut only where no token can span the cut."""
    pending: list[str] = []
    for block in blocks:
        pending.append(block)
        cut = _last_safe_cut(block)
        if cut is not None:
            yield "".join(pending)[: cut - len(block)]
            pending = [block[cut:]]
    if rest := "".join(pending):
        yield rest


def _last_safe_cut(text: str) -> int | None:
    """The last index inside the text with whitespace behind it and something else before it."""
    end = len(text)
    while end > 1:
        start = max(0, end - 4096)
        cuts = [match.start() for match in _SAFE_CUT.finditer(text, start, end)]
        if cuts:
            return cuts[-1]
        if start == 0:
            return None
        end = start + 1  # the window's edge itself is a place to cut
    return None


def pieces(text: str) -> Iterator[str]:
    """A text in pieces of some 65,000 characters."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        match = _SAFE_CUT.search(text, start + _PIECE_CHARACTERS)
        if match is None:
            break
        yield text[start : match.start()]
        start = match.start()
    yield text[start:]
