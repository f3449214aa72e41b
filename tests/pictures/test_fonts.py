"""Texts of pictures in any script: drawn with a font that has them, or as numbers, never as empty boxes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from throughtime.pictures import fonts
from throughtime.pictures.fonts import clusters, fit_cell, is_wide, visible
from throughtime.pictures.writing import drawn

pytest.importorskip("matplotlib")
# Letters of a script that no one has a font for: private use, so a font of the test alone has them.
HAS, LACKS = "\U0010e123", "\uf4ff"
FAMILY = "Throughtime Test"


@pytest.fixture
def a_font(tmp_path: Path) -> Iterator[None]:
    """A font on this machine that has one character."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000)
    pen = pytest.importorskip("fontTools.pens.ttGlyphPen").TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (500, 700), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({ord(HAS): "one"})
    builder.setupGlyf({".notdef": square, "one": square})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "one": (600, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "test.ttf")
    from matplotlib import font_manager

    font_manager.fontManager.addfont(str(tmp_path / "test.ttf"))
    _forget()
    yield
    font_manager.fontManager.ttflist[:] = [
        entry for entry in font_manager.fontManager.ttflist if entry.name != FAMILY
    ]
    _forget()


@pytest.fixture(autouse=True)
def a_new_process() -> None:
    """Notes are said again, and a glyph that a font lacks is an error."""
    _forget()


def _forget() -> None:
    fonts._noted.clear()
    for cached in (fonts._family_with, fonts._has, fonts._draws):
        cached.cache_clear()


def figure_with(content: str) -> tuple[object, object, object]:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    text = axes.set_title(content, parse_math=False)
    axes.set_xticks([0, 1], [content, "plain"])
    return figure, axes, text


def test_a_text_gets_a_font_that_has_its_characters(a_font: None, capsys: pytest.CaptureFixture[str]) -> None:
    figure, axes, text = figure_with(f"a {HAS}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(figure, "png").startswith(b"\x89PNG")
    assert FAMILY in text.get_fontfamily() and text.get_text() == f"a {HAS}"
    assert FAMILY in axes.get_xticklabels()[0].get_fontfamily()
    assert capsys.readouterr().err == ""


def test_without_a_font_numbers_are_drawn_and_a_note_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        figure, axes, text = figure_with(f"a {LACKS}{LACKS} b")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn(figure, "png")
        assert text.get_text() == "a <F4FF F4FF> b"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a <F4FF F4FF> b", "plain"]
    said = capsys.readouterr().err
    assert said.count("no font on this machine") == 1 and "Install a font" in said
    assert len(said.splitlines()) == 1


def test_one_character_without_a_font_is_a_block_of_digits() -> None:
    _, _, text = figure_with(LACKS)
    fit_cell(text)
    assert text.get_text() == "F4\nFF"


def test_hangul_in_parts_is_joined_and_marks_stay_with_their_letters() -> None:
    assert list(clusters("e\u0301a👩\u200d👧🇰🇷")) == ["e\u0301", "a", "👩\u200d👧", "🇰🇷"]
    assert [is_wide(one) for one in ("한", "漢", "a", "😀", "🇰🇷", "❤\ufe0f")] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]
    _, _, text = figure_with("\u1112\u1161\u11ab")
    assert fonts._fit(text, "\u1112\u1161\u11ab") in ("한", "<D55C>")


def test_what_has_no_shape_of_its_own_gets_one() -> None:
    assert [visible(one) for one in "\n\t\x07\u0301a"] == ["↵", "⇥", "\u2407", "\u25cc\u0301", "a"]
