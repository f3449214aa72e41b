"""The pictures that one would draw on a blackboard."""

from __future__ import annotations

from canvas import (
    BLUE,
    GREEN,
    GREY,
    HIDDEN,
    INPUT,
    ORANGE,
    OUTPUT,
    PALE,
    PINK,
    YELLOW,
    arrow,
    board,
    box,
    dot,
    label,
)  # fmt: skip
from matplotlib.figure import Figure


def five_shapes() -> Figure:
    """One to one, one to many, many to one, many to many, many to many step by step."""
    picture, axes = board(9.4, 3.0)
    shapes = [
        ("one to one", "label of a vector", [0], [0], [0]),
        ("one to many", "caption of an image", [0], [0, 1, 2], [0, 1, 2]),
        ("many to one", "label of a text", [0, 1, 2], [0, 1, 2], [2]),
        ("many to many", "translation", [0, 1, 2], [0, 1, 2, 3, 4], [2, 3, 4]),
        ("many to many, aligned", "label of every frame", [0, 1, 2], [0, 1, 2], [0, 1, 2]),
    ]
    left = 2.5
    for title, example, inputs, steps, outputs in shapes:
        step = 4.2
        width = max(len(steps) * step, 9)
        start = left + (width - (len(steps) - 1) * step) / 2
        for number in steps:
            x = start + number * step
            box(axes, x, 14, "", HIDDEN, 2.8, 4)
            if number:
                arrow(axes, (x - step + 1.4, 14), (x - 1.4, 14))
            if number in inputs:
                box(axes, x, 7, "", INPUT, 2.8, 4)
                arrow(axes, (x, 9), (x, 12))
            if number in outputs:
                box(axes, x, 21, "", OUTPUT, 2.8, 4)
                arrow(axes, (x, 16), (x, 19))
        middle = left + width / 2
        label(axes, middle, 26.5, title, 9, weight="bold")
        label(axes, middle, 2.5, example, 8.5, GREY)
        left += width + 4.6
    return picture


def rnn_cell() -> Figure:
    """One step: two products, a sum, tanh; and the answer read off the state."""
    picture, axes = board(6.6, 2.8)
    axes.add_patch(_region(14, 3, 34, 16))
    label(axes, 6, 13.8, "$h_{t-1}$", 11)
    arrow(axes, (3, 11), (17, 11), BLUE)
    box(axes, 21, 11, "$W_{hh}$", "white", 8, 4.4)
    arrow(axes, (25, 11), (29.4, 11), BLUE)
    dot(axes, 31, 11, "+")
    box(axes, 31, 5.6, "$W_{xh}$", "white", 8, 3.6)
    arrow(axes, (31, 0.6), (31, 3.8), GREEN)
    label(axes, 33.6, 1.5, "$x_t$", 11)
    arrow(axes, (31, 7.4), (31, 9.4), GREEN)
    arrow(axes, (32.6, 11), (37, 11))
    box(axes, 41, 11, "tanh", "white", 8, 4.4)
    arrow(axes, (45, 11), (63, 11), BLUE)
    label(axes, 60, 13.4, "$h_t$", 11)
    arrow(axes, (53, 11), (53, 16), ORANGE)
    box(axes, 53, 18.2, "$W_{hy}$", "white", 8, 4.4)
    arrow(axes, (53, 20.4), (53, 25), ORANGE)
    label(axes, 56, 24.4, "$y_t$", 11)
    return picture


def unrolled() -> Figure:
    """The loop, and the same loop unrolled over four steps with the same three matrices."""
    picture, axes = board(8.6, 3.1)
    box(axes, 8, 15.5, "$h$", HIDDEN, 6, 5)
    box(axes, 8, 5, "$x$", INPUT, 6, 4)
    box(axes, 8, 26, "$y$", OUTPUT, 6, 4)
    arrow(axes, (8, 7), (8, 13), GREEN)
    arrow(axes, (8, 18), (8, 24), ORANGE)
    arrow(axes, (11, 16.5), (11, 14.5), BLUE, bend=-2.2)
    label(axes, 5.2, 10, "$W_{xh}$", 9, GREEN)
    label(axes, 5.2, 21, "$W_{hy}$", 9, ORANGE)
    label(axes, 17.2, 15.5, "$W_{hh}$", 9, BLUE)
    label(axes, 23.5, 15.5, "=", 18)
    for number in range(5):
        x = 31 + number * 12.5
        box(axes, x, 15.5, f"$h_{number}$", HIDDEN if number else PALE, 6, 5)
        if number:
            box(axes, x, 5, f"$x_{number}$", INPUT, 6, 4)
            box(axes, x, 26, f"$y_{number}$", OUTPUT, 6, 4)
            arrow(axes, (x, 7), (x, 13), GREEN)
            arrow(axes, (x, 18), (x, 24), ORANGE)
            arrow(axes, (x - 9.5, 15.5), (x - 3, 15.5), BLUE)
            label(axes, x - 6.2, 17.2, "$W_{hh}$", 8.5, BLUE)
            label(axes, x + 3, 10, "$W_{xh}$", 8.5, GREEN)
            label(axes, x + 3, 21, "$W_{hy}$", 8.5, ORANGE)
    return picture


def truncated() -> Figure:
    """Three chunks: the state goes on over the cut, the gradient stops at it."""
    picture, axes = board(8.6, 2.6)
    for chunk in range(3):
        left = 3 + chunk * 28
        axes.add_patch(_region(left - 1, 3, 26, 20))
        label(axes, left + 12, 21, f"chunk {chunk + 1}", 9, GREY)
        for step in range(4):
            x = left + 3 + step * 6
            box(axes, x, 12, "", HIDDEN, 3.6, 3.6)
            if chunk or step:
                gap = 6 if step else 10
                arrow(axes, (x - gap + 1.8, 12.7), (x - 1.8, 12.7), BLUE)
            if step:
                arrow(axes, (x - 1.8, 11.2), (x - 4.2, 11.2), ORANGE)
            arrow(axes, (x, 13.8), (x, 17))
        if chunk:
            label(axes, left - 2, 8.6, "✂", 13, ORANGE)
    label(axes, 24, 1.2, "→ the state is carried on", 9.5, BLUE)
    label(axes, 60, 1.2, "← the gradient stops at the cut", 9.5, ORANGE)
    return picture


def _region(x: float, y: float, width: float, height: float) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor="none", edgecolor=GREY, linestyle="--", linewidth=1)


def captioning() -> Figure:
    """A CNN's features enter the recurrence; each word is fed back until END."""
    picture, axes = board(8.6, 3.1)
    axes.add_patch(_region(2, 10.5, 9, 9))
    label(axes, 6.5, 15, "image", 9, GREY)
    for number, height in enumerate((13, 10, 7)):
        box(axes, 16 + number * 5, 15, "", YELLOW, 3.2, height)
    label(axes, 21, 24, "CNN without its last\nlayer and softmax", 8.5, GREY)
    box(axes, 33, 15, "$v$", INPUT, 4, 6)
    arrow(axes, (11, 15), (14.4, 15))
    arrow(axes, (27.6, 15), (31, 15))
    words = ["START", "red", "circle", "above", "…"]
    written = ["red", "circle", "above", "…", "END"]
    for number, (read, word) in enumerate(zip(words, written, strict=True)):
        x = 45 + number * 9
        box(axes, x, 15, f"$h_{number + 1}$", HIDDEN, 5, 4.5)
        box(axes, x, 6, read, INPUT, 7.4, 3.6)
        box(axes, x, 24, word, OUTPUT, 7.4, 3.6)
        arrow(axes, (x, 7.8), (x, 12.75))
        arrow(axes, (x, 17.25), (x, 22.2))
        arrow(axes, (x - (10 if number == 0 else 6.5), 15), (x - 2.5, 15))
        if number < 4:
            arrow(axes, (x + 3.7, 24), (x + 6.2, 7.8), PINK, bend=0.12, linestyle=(0, (3, 2)))
    label(axes, 39, 17.4, "$W_{ih}$", 9, BLUE)
    label(axes, 63, 1.6, "each word that was written is read next", 9, PINK)
    return picture


def lstm_cell() -> Figure:
    """The cell state's path from left to right: one product, one sum."""
    picture, axes = board(7.6, 4.0)
    axes.add_patch(_region(11, 5, 54, 31))
    arrow(axes, (3, 31), (22.4, 31), BLUE, linewidth=3)
    arrow(axes, (25.6, 31), (40.4, 31), BLUE, linewidth=3)
    arrow(axes, (43.6, 31), (73, 31), BLUE, linewidth=3)
    label(axes, 5, 33.6, "$c_{t-1}$", 11)
    label(axes, 70, 33.6, "$c_t$", 11)
    dot(axes, 24, 31, "×")
    dot(axes, 42, 31, "+")
    dot(axes, 42, 23, "×")
    for x, text, colour in (
        (24, "$f$   σ", PINK),
        (34, "$i$   σ", GREEN),
        (44, "$g$  tanh", YELLOW),
        (55, "$o$   σ", ORANGE),
    ):
        box(axes, x, 14, text, "white", 8, 4)
        axes.plot([x - 4, x + 4], [12, 12], color=colour, linewidth=3, solid_capstyle="butt")
        arrow(axes, (x, 8.5), (x, 12))
    axes.plot([3, 55], [8.5, 8.5], color="#222222", linewidth=1.2)
    label(axes, 5, 10.3, "$h_{t-1}$", 11)
    arrow(axes, (14, 1), (14, 8.5))
    label(axes, 16, 2, "$x_t$", 11)
    arrow(axes, (24, 16), (24, 29.4))
    arrow(axes, (34, 16), (40.8, 21.9))
    arrow(axes, (44, 16), (42.6, 21.4))
    arrow(axes, (42, 24.6), (42, 29.4))
    arrow(axes, (60, 31), (60, 27.5))
    box(axes, 60, 25.8, "tanh", "white", 6, 3.2)
    arrow(axes, (60, 24.2), (60, 21.6))
    dot(axes, 60, 20, "×")
    axes.plot([55, 55], [16, 20], color="#222222", linewidth=1.2)
    arrow(axes, (55, 20), (58.4, 20))
    axes.plot([60, 60], [18.4, 8.5], color="#222222", linewidth=1.2)
    arrow(axes, (60, 8.5), (73, 8.5))
    label(axes, 70, 10.3, "$h_t$", 11)
    label(axes, 33, 37.8, "the cell state's path: $c_t = f ⊙ c_{t-1} + i ⊙ g$", 10, BLUE)
    return picture


def gru_cell() -> Figure:
    """One state, an update gate that mixes old and new."""
    picture, axes = board(7.6, 3.2)
    axes.add_patch(_region(11, 3.5, 54, 24))
    arrow(axes, (3, 24), (50.4, 24), BLUE, linewidth=3)
    arrow(axes, (53.6, 24), (73, 24), BLUE, linewidth=3)
    label(axes, 5, 26.6, "$h_{t-1}$", 11)
    label(axes, 70, 26.6, "$h_t$", 11)
    dot(axes, 52, 24, "mix", radius=2.2)
    box(axes, 22, 12, "$r$   σ", "white", 8, 4)
    box(axes, 36, 12, "$n$  tanh", "white", 8, 4)
    box(axes, 52, 12, "$z$   σ", "white", 8, 4)
    arrow(axes, (26, 12), (32, 12), GREEN)
    label(axes, 29, 14, "reset", 8, GREEN)
    arrow(axes, (52, 14), (52, 21.8), PINK)
    label(axes, 56.5, 18, "update", 8, PINK)
    arrow(axes, (36, 14), (50.2, 22.8))
    axes.plot([14, 52], [6.5, 6.5], color="#222222", linewidth=1.2)
    for x in (22, 36, 52):
        arrow(axes, (x, 6.5), (x, 10))
    axes.plot([14, 14], [24, 6.5], color="#222222", linewidth=1.2)
    arrow(axes, (14, 1), (14, 6.5))
    label(axes, 16.2, 1.8, "$x_t$", 11)
    label(axes, 30, 30, "$h_t = z ⊙ h_{t-1} + (1 - z) ⊙ n$", 10, BLUE)
    return picture
