"""The picture of an attention matrix."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.errors import OptionError
from throughtime.pictures.alignment import draw_alignment

pytest.importorskip("matplotlib")


def test_a_picture_grows_with_the_sentence(tmp_path):
    image = pytest.importorskip("PIL.Image")
    sizes = []
    for length in (3, 12):
        path = tmp_path / f"{length}.png"
        draw_alignment(
            np.eye(length), ["word"] * length, [" wörd", "$x_1$", "水"][:2] + ["b"] * (length - 2), path
        )
        sizes.append(image.open(path).size)
    assert sizes[0][0] < sizes[1][0] and sizes[0][1] < sizes[1][1]


def test_the_weight_of_a_cell_is_its_brightness(tmp_path):
    image = pytest.importorskip("PIL.Image")
    draw_alignment([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], ["c", "d"], tmp_path / "a.png")
    pixels = np.asarray(image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    # The two ends of viridis, each on half of the matrix.
    bright = (np.abs(pixels - [253, 231, 37]).max(1) < 3).sum()
    dark = (np.abs(pixels - [68, 1, 84]).max(1) < 3).sum()
    assert min(bright, dark) > 0.8 * max(bright, dark) > 1000


def test_a_picture_of_an_unknown_format_is_an_option_error(tmp_path):
    with pytest.raises(OptionError, match=r"a\.unknown cannot be written"):
        draw_alignment([[1.0]], ["a"], ["b"], tmp_path / "a.unknown")


def test_a_picture_makes_its_folder_and_names_what_is_in_the_way(tmp_path):
    draw_alignment([[1.0]], ["a"], ["b"], tmp_path / "missing" / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file'$"):
        draw_alignment([[1.0]], ["a"], ["b"], tmp_path / "file" / "a.png")


def test_tokens_that_do_not_fit_the_matrix_are_a_fault(tmp_path):
    with pytest.raises(ValueError, match=r"\(1, 2\), expected \(1, 1\)"):
        draw_alignment([[0.5, 0.5]], ["a"], ["b"], tmp_path / "a.png")
