"""What every picture shares: colours, an empty figure, boxes, arrows, and an SVG that is always the same."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

# Okabe and Ito 2008: colour-blind readers can tell them apart. The same thing has the same colour everywhere.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, GREY, PALE = "#222222", "#777777", "#e8e8e8"
RNN, LSTM, GRU = ORANGE, BLUE, GREEN
INPUT, HIDDEN, OUTPUT = "#cfe8d8", "#cfe3f3", "#fbe3c0"

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "throughtime",
    "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def settings() -> Any:
    """The context in which every picture is drawn."""
    return matplotlib.rc_context(_SETTINGS)


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def board(width: float, height: float) -> tuple[Figure, Any]:
    """An empty blackboard whose units are tenths of an inch, without axes."""
    picture = Figure(figsize=(width, height))
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width * 10)
    axes.set_ylim(0, height * 10)
    axes.axis("off")
    return picture, axes


def box(
    axes: Any, x: float, y: float, text: str, colour: str = HIDDEN, width: float = 8, height: float = 5
) -> None:
    """A rounded box with its middle at (x, y)."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.8",
            facecolor=colour,
            edgecolor=INK,
            linewidth=1,
        )
    )
    label(axes, x, y, text)


def dot(axes: Any, x: float, y: float, text: str, colour: str = "white", radius: float = 1.6) -> None:
    """A small circle, for an operation."""
    axes.add_patch(Circle((x, y), radius, facecolor=colour, edgecolor=INK, linewidth=1))
    label(axes, x, y, text, size=10)


def label(axes: Any, x: float, y: float, text: str, size: float = 10, colour: str = INK, **more: Any) -> None:
    """Text with its middle at (x, y)."""
    axes.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": size, "color": colour, **more})


def arrow(
    axes: Any,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = INK,
    style: str = "-|>",
    bend: float = 0.0,
    **more: Any,
) -> None:
    """An arrow from one point to another."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            mutation_scale=9,
            shrinkA=0,
            shrinkB=0,
            color=colour,
            connectionstyle=f"arc3,rad={bend}",
            **{"linewidth": 1.2, **more},
        )
    )


def svg(picture: Figure) -> bytes:
    """The picture as SVG, byte for byte the same for the same version of matplotlib."""
    file = io.BytesIO()
    picture.savefig(file, format="svg", facecolor="white", metadata={"Date": None})
    return file.getvalue().replace(b" \n", b"\n")
