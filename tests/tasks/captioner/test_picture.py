"""The picture of a caption: what is lit, and what cannot be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.errors import OptionError
from throughtime.tasks.captioner.picture import _enlarge, draw_caption

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def orange() -> object:
    """A plain picture in a colour that nothing else in the figure has."""
    return Image.fromarray(np.full((40, 60, 3), (255, 128, 0), dtype=np.uint8))


def test_a_picture_without_attention_has_one_panel(orange: object, tmp_path: Path) -> None:
    draw_caption(tmp_path / "out.png", orange, "two dogs", ["two", "dogs"])
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("L"))
    assert pixels.min() < 100  # the caption's letters


def test_places_that_were_looked_at_are_coloured_and_the_others_stay_as_bright(tmp_path: Path) -> None:
    """One word, all attention on the lower right of 2 x 2 places of a grey picture."""
    image = Image.fromarray(np.full((40, 60, 3), 128, dtype=np.uint8))
    attention = np.array([[0, 0, 0, 1.0], [0.25] * 4])
    draw_caption(tmp_path / "out.png", image, "dog", ["dog"], attention)
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    panel = pixels[
        :, pixels.shape[1] * 2 // 5 : pixels.shape[1] * 4 // 5
    ]  # the picture left, the scale right
    yellow = np.argwhere((panel[..., 0] > 200) & (panel[..., 2] < 100))
    untouched = np.argwhere((panel == 128).all(-1))
    assert len(yellow) > 500 and len(untouched) > 500
    assert (yellow.mean(0) > untouched.mean(0)).all()


def test_a_bar_shows_the_scale_of_attention(orange: object, tmp_path: Path) -> None:
    draw_caption(tmp_path / "out.svg", orange, "dog", ["dog"], np.array([[0.1, 0.2, 0.3, 0.4], [0.25] * 4]))
    assert "attention to a place" in (tmp_path / "out.svg").read_text()


def test_a_map_grows_to_the_image() -> None:
    grown = _enlarge(np.array([[0.0, 0.5], [0.0, 0.5]]), (60, 40), 0.5)
    assert grown.shape == (40, 60)
    assert grown[:, 0].max() == 0 and grown[:, -1].min() == 0.5


def test_places_that_are_no_square_and_unknown_formats(orange: object, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="3 places, which are not a square"):
        draw_caption(tmp_path / "out.png", orange, "a", ["a"], np.full((2, 3), 1 / 3))
    with pytest.raises(OptionError, match=r"out\.xyz: .*xyz"):
        draw_caption(tmp_path / "out.xyz", orange, "a", ["a"])


def test_a_caption_is_no_formula(orange: object, tmp_path: Path) -> None:
    words = [r"$\x$", "$_$"]
    draw_caption(tmp_path / "a.png", orange, " ".join(words), words)
    draw_caption(tmp_path / "b.png", orange, " ".join(words), words, np.full((3, 4), 0.25))
