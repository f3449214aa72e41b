"""Text with colours: letters as close as in any text, and windows of a text apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.inspection.coloured_text import COLUMNS, _rows, draw_text, html_text, stretches


def test_stretches_that_do_not_go_on_are_a_line_apart() -> None:
    rows = _rows(["a", "b", "c", "d"], np.zeros(4), {0, 2})
    assert [row and "".join(text for text, _, _ in row) for row in rows] == ["ab", None, "cd"]
    assert list(stretches(5, (0, 2))) == [(0, 2), (2, 5)]
    page = html_text(["a", "b", "c"], np.zeros(3), starts=(0, 2))
    assert page.count('<pre class="text">') == 2


def test_lines_end_where_the_text_does_and_at_the_width_of_the_page() -> None:
    rows = _rows(["ab\n", "x" * (COLUMNS + 1)], np.array([0.5, 1.0]), set())
    assert [len(row or ()) for row in rows] == [3, COLUMNS, 1]
    # A wide character takes two columns.
    assert [len(row or ()) for row in _rows(["한" * COLUMNS], np.zeros(1), set())] == [COLUMNS // 2] * 2


def test_letters_have_the_spacing_of_their_font(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    path = draw_text(["I" * COLUMNS], np.zeros(1), tmp_path / "text.png", "")
    pixels = np.asarray(image.open(path).convert("L"))
    dark = np.flatnonzero((pixels < 128).any(0))
    starts = dark[np.flatnonzero(np.diff(dark, prepend=-9) > 1)]
    # DejaVu Sans Mono at 9 points and 150 dots an inch: 11.3 pixels a letter.
    assert np.diff(starts).mean() == pytest.approx(9 * 0.602 * 150 / 72, rel=0.02)
