"""A picture with its caption, and with attention where the model looked for each word, in colour."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.pictures import require_matplotlib
from throughtime.pictures.writing import write_picture

if TYPE_CHECKING:
    from PIL import Image

_COLUMNS = 5
_LINE = 60
_BAR_INCHES = 1.1
# Of the colour over the place that is looked at most: what is there still shows.
_OPACITY = 0.8


def draw_caption(
    path: str | Path,
    image: Image.Image,
    text: str,
    words: list[str],
    attention: NDArray[np.floating[Any]] | None = None,
) -> None:
    """Draw the image with its caption; with attention also once a word, coloured where the model looked.

    All words share one scale, which a bar beside them shows: from 0, where the picture is as it was, to the
    largest weight. The picture is half grey beneath, so that its own colours are not taken for attention.

    Args:
        path: the picture to write; its suffix says the format.
        image: in RGB.
        text: the caption.
        words: its tokens as text.
        attention: (T, P), for the words and END; P places, the rows of a square grid.
    Raises:
        OptionError: the places are no square grid, or the format is unknown.
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    picture = np.asarray(image)
    aspect = image.height / image.width
    if attention is None:
        figure = Figure(figsize=(5, 5 * aspect + 0.8), dpi=120, layout="constrained")
        _show(figure.subplots(), picture, textwrap.fill(text, _LINE), 11)
        _save(figure, path)
        return
    side = math.isqrt(attention.shape[1])
    if side**2 != attention.shape[1]:
        raise OptionError(f"the feature grid has {attention.shape[1]} places, which are not a square to draw")
    panels = len(words) + 1
    columns = min(_COLUMNS, panels)
    rows = -(-panels // columns)
    figure = Figure(
        figsize=(2.2 * columns + _BAR_INCHES, 2.2 * aspect * rows + 0.35 * rows + 0.5),
        dpi=120,
        layout="constrained",
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.suptitle(textwrap.fill(text, _LINE), fontsize=12, parse_math=False)
    _show(axes[0], picture, "", 10)
    largest = max(float(attention.max()), 1e-12)
    colours, grey = _colours(), _half_grey(picture)
    for panel, word, weights in zip(axes[1:], words, attention, strict=False):
        _show(panel, grey, word, 11)
        looked = _enlarge(weights.reshape(side, side), image.size, largest)
        overlay = panel.imshow(looked, cmap=colours, vmin=0, vmax=largest)
        if panel is axes[1]:
            bar = figure.colorbar(overlay, ax=list(axes), shrink=0.8, aspect=25)
            bar.set_label("attention to a place")
    for panel in axes[panels:]:
        panel.set_axis_off()
    _save(figure, path)


def _show(axes: Any, picture: NDArray[np.uint8], title: str, size: int) -> None:
    axes.imshow(picture)
    axes.set_title(title, fontsize=size, parse_math=False)
    axes.set_axis_off()


def _colours() -> Any:
    """From nothing at 0 over purple and red to yellow: told apart by colour-blind readers, too."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colours = colormaps["plasma"](np.linspace(0.1, 1, 256))
    # Attention that is the same everywhere hardly colours the picture.
    colours[:, 3] = np.linspace(0, 1, 256) ** 1.5 * _OPACITY
    return ListedColormap(colours)


def _half_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = picture @ np.array([0.299, 0.587, 0.114])
    return (0.5 * picture + 0.5 * grey[..., None]).round().astype(np.uint8)


def _enlarge(grid: NDArray[np.floating[Any]], size: tuple[int, int], largest: float) -> NDArray[np.float32]:
    """Smoothly to (height, width) of `size` (width, height), within [0, largest]."""
    from PIL import Image

    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC)).clip(0, largest)


def _save(figure: Any, path: str | Path) -> None:
    try:
        write_picture(path, figure)
    except ValueError as error:
        raise OptionError(f"{path}: {error}") from None
