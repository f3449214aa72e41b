"""The table of predictions: figures first, the text last, at any width, each row at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from throughtime.cli.rows import as_rows

LONG = "a film that goes on and on until nobody remembers how it began"
FOUND = [
    {"input": LONG, "label": "negative", "probability": 0.91234},
    {"input": "so so", "label": "positive", "probability": 0.6},
]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_text_is_cut_and_nothing_else(width: int) -> None:
    lines = list(as_rows(FOUND, width, 100))
    assert lines[0].split() == ["label", "probability", "input"]
    assert lines[1].startswith("negative  0.912")
    assert ("…" in lines[1]) == (width < 90)
    assert all(cell_len(line) <= max(width, 23 + 12) for line in lines)
    assert [line.index("0.") for line in lines[1:]] == [10, 10]


def test_a_pipe_gets_whole_texts() -> None:
    assert LONG in list(as_rows(FOUND, None, 1))[1]


def test_a_stream_is_answered_row_by_row() -> None:
    asked = 0

    def predictions() -> Iterator[dict[str, Any]]:
        nonlocal asked
        for found in FOUND:
            asked += 1
            yield found

    lines = as_rows(predictions(), None, 1)
    assert next(lines).startswith("label")
    assert next(lines).startswith("negative") and asked == 1


def test_line_breaks_and_what_is_not_known_keep_to_their_row() -> None:
    found = {"input": "a\nb", "label": None, "probability": None, "probabilities": {"x": 0.25, "y": 0.75}}
    assert list(as_rows([found], None))[1].split() == ["y", "0.750", "x", "0.250", "a", "b"]
