"""Text with a colour behind each piece, as a picture and as HTML. The picture needs matplotlib."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from throughtime.pictures.fonts import clusters, fit_cell, is_wide, visible
from throughtime.pictures.writing import write_picture

COLUMNS = 96
# Of DejaVu Sans Mono, in parts of its size: a column is as wide as a letter, as in any text.
_ADVANCE = 0.602
_POINTS = 9
_LINE_INCHES = 0.2
_MARGIN_INCHES = 0.15
_TITLE_INCHES = 0.35

# A character with the columns that it takes and its value;
_Cell = tuple[str, int, float]


def draw_text(
    pieces: Sequence[str],
    values: NDArray[np.floating],
    path: Path,
    title: str,
    diverging: bool = False,
    starts: Sequence[int] = (),
) -> Path:
    """Text with a colour behind each piece, in the spacing of a typewriter.

    Args:
        pieces: of text.
        values: one a piece; [0, largest], or with `diverging` [-1, 1].
        path: the picture.
        title: above it.
        starts: the pieces that do not go on from the one before: a line apart.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows = _rows(pieces, values, set(starts))
    width, height = COLUMNS * _POINTS * _ADVANCE / 72, len(rows) * _LINE_INCHES
    size = (width + 2 * _MARGIN_INCHES, height + _TITLE_INCHES + _MARGIN_INCHES)
    figure = Figure(figsize=size, dpi=150)
    axes = figure.add_axes(
        (_MARGIN_INCHES / size[0], _MARGIN_INCHES / size[1], width / size[0], height / size[1])
    )
    for y, row in enumerate(rows):
        if row is None:
            axes.plot((0, COLUMNS), (y + 0.5, y + 0.5), color="#999999", linewidth=0.8, linestyle="--")
            continue
        x = 0
        for character, columns, value in row:
            axes.add_patch(Rectangle((x, y), columns, 0.94, color=colour(value, diverging), linewidth=0))
            letter = axes.text(
                x + columns / 2,
                y + 0.7,
                character,
                ha="center",
                va="baseline",
                fontsize=_POINTS,
                family="monospace",
                parse_math=False,
            )
            fit_cell(letter)
            x += columns
    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(len(rows), 0)
    axes.axis("off")
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    write_picture(path, figure)
    return path


def _rows(pieces: Sequence[str], values: NDArray[np.floating], starts: set[int]) -> list[list[_Cell] | None]:
    """Lines of at most COLUMNS; None between stretches that are apart in the text."""
    rows: list[list[_Cell] | None] = []
    row: list[_Cell] = []
    for number, (piece, value) in enumerate(zip(pieces, values, strict=True)):
        if number in starts and (rows or row):
            rows += [row, None] if row else [None]
            row = []
        for cluster in clusters(piece or "?"):
            columns = 2 if is_wide(cluster) else 1
            if sum(taken for _, taken, _ in row) + columns > COLUMNS:
                rows.append(row)
                row = []
            row.append((visible(cluster), columns, float(value)))
            if cluster == "\n":
                rows.append(row)
                row = []
    return [*rows, row] if row else rows


def html_text(
    pieces: Sequence[str], values: NDArray[np.floating], diverging: bool = False, starts: Sequence[int] = ()
) -> str:
    """The same as HTML, one element for each stretch; hovering shows the value."""
    return "".join(
        f'<pre class="text">{"".join(spans)}</pre>' for spans in _spans(pieces, values, diverging, starts)
    )


def _spans(
    pieces: Sequence[str], values: NDArray[np.floating], diverging: bool, starts: Sequence[int]
) -> Iterator[list[str]]:
    for first, stop in stretches(len(pieces), starts):
        yield [
            f'<span title="{value:.3f}" style="background:{colour(float(value), diverging)}">'
            + html.escape(piece).replace("\n", "↵\n")
            + "</span>"
            for piece, value in zip(pieces[first:stop], values[first:stop], strict=True)
        ]


def stretches(pieces: int, starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first piece of each stretch, and the one behind its last."""
    edges = sorted({0, *starts, pieces})
    return zip(edges, edges[1:], strict=False)


def colour(value: float, diverging: bool) -> str:
    """The colour behind a piece of text, #rrggbb: white at 0, orange above, blue below.

    Args:
        value: [-1, 1]; beyond is as at the edge.
        diverging: whether values below 0 are blue; else they are as orange as those above.
    """
    strength = min(abs(value), 1.0)
    target = (0xE6, 0x9F, 0x00) if value >= 0 or not diverging else (0x56, 0xB4, 0xE9)
    return "#" + "".join(f"{round(255 + (part - 255) * strength):02x}" for part in target)
