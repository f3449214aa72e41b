"""The pictures of numbers: computed here where that is quick, else read from measured.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from canvas import (
    BLUE,
    GREEN,
    GREY,
    HIDDEN,
    INK,
    INPUT,
    LSTM,
    ORANGE,
    OUTPUT,
    RNN,
    SKY,
    arrow,
    board,
    box,
    figure,
    label,
)  # fmt: skip
from hello import LETTERS, W_hy, softmax, steps
from matplotlib.figure import Figure

from throughtime.tasks.forecaster.picture import Fan, fan_chart
from throughtime.tasks.forecaster.prediction import Forecast
from throughtime.tasks.forecaster.times import Frequency
from throughtime.tasks.forecaster.written_times import read_time

MEASURED = Path(__file__).with_name("measured.json")


@cache
def measured() -> dict[str, Any]:
    """What measure.py wrote."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def hello() -> Figure:
    """The numbers of the hello model at every step."""
    picture, axes = board(8.6, 4.1)
    for text, y in (("input\none-hot", 6), ("hidden\nstate h", 17), ("scores y", 28.5), ("target", 37)):
        label(axes, 6.5, y, text, 9, GREY)
    label(axes, 6.5, 33, "p(target)", 9, GREY)
    for number, (letter, following, h, y, p) in enumerate(steps()):
        x = 20 + number * 18
        one_hot = [int(letter == other) for other in LETTERS]
        box(axes, x, 6, "\n".join(map(str, one_hot)), INPUT, 6, 8)
        label(axes, x + 5.4, 6, f"“{letter}”", 11)
        box(axes, x, 17, "\n".join(f"{v:.2f}" for v in h), HIDDEN, 7.5, 6.4)
        rows = [f"{v:.2f}" for v in y]
        box(axes, x, 28.2, "\n".join(rows), OUTPUT, 7.5, 7)
        label(axes, x + 5.5, 28.2, "\n".join(LETTERS), 10, GREY)
        label(axes, x, 33.2, f"{p[LETTERS.index(following)]:.2f}", 9, BLUE, weight="bold")
        label(axes, x, 37, f"“{following}”", 11)
        arrow(axes, (x, 10), (x, 13.8), GREEN)
        arrow(axes, (x, 20.2), (x, 24.7), ORANGE)
        if number:
            arrow(axes, (x - 14.2, 17), (x - 3.8, 17), BLUE)
    return picture


def sum_of_gradients() -> Figure:
    """dL/dW_hy of the hello model: each step's share, and their sum."""
    shares = []
    for _, following, h, _, p in steps():
        shares.append(np.outer(p - np.eye(4)[LETTERS.index(following)], h))
    panels = [*shares, np.sum(shares, axis=0)]
    picture = figure(8.6, 2.3)
    reach = np.abs(panels[-1]).max()
    for number, (axes, values) in enumerate(zip(picture.subplots(1, 5), panels, strict=True)):
        axes.pcolormesh(values[::-1], cmap="RdBu", vmin=-reach, vmax=reach, edgecolors="white", linewidth=1)
        for row in range(4):
            for column in range(3):
                dark = abs(values[row, column]) > 0.6 * reach
                axes.text(
                    column + 0.5, 3.5 - row, f"{values[row, column]:+.3f}", ha="center", va="center",
                    fontsize=8, color="white" if dark else INK,
                )  # fmt: skip
        axes.set_title(f"step {number + 1}" if number < 4 else "their sum = $dL/dW_{hy}$", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    return picture


def temperature() -> Figure:
    """One set of scores, sampled at four temperatures."""
    scores = steps()[1][2] @ W_hy.T
    picture = figure(8.0, 2.3)
    panels = picture.subplots(1, 4, sharey=True)
    for axes, heat in zip(panels, (0.5, 1.0, 2.0, 8.0), strict=True):
        axes.bar(list(LETTERS), softmax(scores / heat), color=SKY)
        axes.set_title(f"temperature {heat:g}", fontsize=10)
        axes.set_ylim(0, 1.05)
    panels[0].set_ylabel("probability")
    return picture


def powers() -> Figure:
    """The gradient's norm over steps, for three sizes of W_hh."""
    picture = figure(6.4, 3.2)
    axes = picture.subplots()
    steps_back = np.arange(61)
    for scale, colour, name in ((1.25, ORANGE, "explodes"), (1.0, INK, "stays"), (0.8, BLUE, "vanishes")):
        axes.semilogy(steps_back, scale ** steps_back.astype(float), color=colour, linewidth=2)
        axes.annotate(f"{scale:g}: {name}", (60, scale**60.0), (62, scale**60.0), color=colour, va="center",
                      annotation_clip=False)  # fmt: skip
    axes.set_xlim(0, 60)
    axes.set_xlabel("steps back in time")
    axes.set_ylabel("norm of the gradient")
    axes.grid(alpha=0.3)
    return picture


def clipping() -> Figure:
    """Training with and without clipping: the loss, and the gradient's norm before clipping."""
    data = measured()["clipping"]
    picture = figure(8.2, 3.0)
    left, right = picture.subplots(1, 2)
    for key, colour, name in (("free", ORANGE, "not clipped"), ("clipped", BLUE, "clipped to norm 1")):
        left.plot(data[key]["loss"], color=colour, label=name, linewidth=1.4)
        right.semilogy(data[key]["norm"], color=colour, linewidth=1.4)
    right.axhline(1, color=GREY, linestyle="--", linewidth=1)
    left.set_ylabel("loss")
    right.set_ylabel("norm of the gradient")
    left.legend(frameon=False)
    for axes in (left, right):
        axes.set_xlabel("update")
        axes.grid(alpha=0.3)
    return picture


def samples() -> Figure:
    """The loss of a character model, and what it writes on the way."""
    data = measured()["samples"]
    picture = figure(8.6, 4.4)
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.5))
    updates = [row["updates"] for row in data]
    left.semilogx(updates, [row["loss"] for row in data], "o-", color=LSTM)
    left.set_xlabel("updates")
    left.set_ylabel("loss in nats per character")
    left.grid(alpha=0.3)
    right.axis("off")
    right.set_xlim(0, 1)
    right.set_ylim(0, len(data))
    for number, row in enumerate(data):
        top = len(data) - number
        right.text(
            0, top - 0.1, f"after {row['updates']:,} updates", fontsize=8, color=LSTM, va="top", weight="bold"
        )
        right.text(
            0.02,
            top - 0.36,
            row["text"].replace(" ", "\N{NO-BREAK SPACE}"),
            fontsize=7.5,
            family="monospace",
            va="top",
            parse_math=False,
        )
    return picture


def lesson() -> Figure:
    """The error of RNN and LSTM on the adding problem during training, three seeds each."""
    picture = figure(6.4, 3.2)
    axes = picture.subplots()
    for cell, colour in (("rnn", RNN), ("lstm", LSTM)):
        for number, run in enumerate(run for run in measured()["lesson"] if run["cell"] == cell):
            updates, errors = zip(*run["errors"], strict=True)
            name = f"{cell.upper()}, {run['parameters']:,} weights" if number == 0 else None
            axes.semilogy(updates, errors, color=colour, label=name, linewidth=1.6)
    axes.axhline(1 / 6, color=GREY, linestyle="--", linewidth=1)
    axes.text(
        axes.get_xlim()[1], 1 / 6 * 0.88, "always answering 1", fontsize=9, color=GREY, ha="right", va="top"
    )
    axes.set_xlabel("update")
    axes.set_ylabel("mean squared error")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return picture


def gradient_flow() -> Figure:
    """How far back the gradient reaches in the trained RNN and LSTM."""
    picture = figure(6.4, 3.4)
    axes = picture.subplots()
    for cell, colour in (("rnn", RNN), ("lstm", LSTM)):
        for number, run in enumerate(run for run in measured()["lesson"] if run["cell"] == cell):
            curve = np.maximum(run["curve"], 1e-9)
            axes.semilogy(curve, color=colour, linewidth=1.6, label=cell.upper() if number == 0 else None)
    axes.axhline(0.01, color=GREY, linestyle="--", linewidth=1)
    axes.text(99, 0.012, "1 %", fontsize=9, color=GREY, ha="right")
    axes.set_ylim(1e-6, 3)
    axes.set_xlabel("steps back in time")
    axes.set_ylabel("norm of the gradient, lag 0 = 1")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return picture


def neuron() -> Figure:
    """Source text coloured by one hidden unit of the LSTM."""
    data = measured()["neuron"]
    return _coloured_text(data["text"], data["values"], "RdBu")


def gates() -> Figure:
    """Forget gates of some units over a stretch of source text."""
    data = measured()["gates"]
    values, text = np.array(data["values"]), data["text"]
    picture = figure(9.2, 2.6)
    axes = picture.subplots()
    mesh = axes.pcolormesh(values, cmap="viridis", vmin=0, vmax=1)
    axes.set_xticks(
        np.arange(len(text)) + 0.5, ["↵" if c == "\n" else c for c in text], family="monospace", fontsize=7
    )
    for tick in axes.get_xticklabels():
        tick.set_parse_math(False)
    axes.tick_params(length=0)
    axes.set_yticks(np.arange(len(values)) + 0.5, [f"unit {unit}" for unit in data["units"]], fontsize=8)
    axes.set_title("forget gate f", fontsize=10)
    picture.colorbar(mesh, ax=axes, pad=0.01)
    return picture


def attention() -> Figure:
    """A scene, and where the captioner looked for each word: the more orange, the more."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    data = measured()["attention"]
    pixels = np.array(data["pixels"], dtype=np.uint8)
    height, width, _ = pixels.shape
    largest = max(map(np.max, data["weights"]))
    # The opacity is the weight, on one scale for all words.
    colours = ListedColormap([(0.9, 0.45, 0.0, 0.9 * step / 255) for step in range(256)])
    picture = figure(9.4, 3.2)
    panels = picture.subplots(2, -(-(len(data["words"]) + 1) // 2)).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, word, weights in zip(panels, ["", *data["words"]], [None, *data["weights"]], strict=False):
        axes.imshow(pixels)
        axes.set_title(word, fontsize=10)
        if weights is not None:
            axes.imshow(
                weights,
                cmap=colours,
                vmin=0,
                vmax=largest,
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                interpolation="nearest",
            )
    scale = ScalarMappable(cmap=colours)
    scale.set_clim(0, largest)
    picture.colorbar(scale, ax=list(panels), label="attention to a place", shrink=0.8)
    return picture


def _coloured_text(text: str, values: list[float], palette: str) -> Figure:
    import matplotlib
    from matplotlib.patches import Rectangle

    lines, position = [], 0
    for line in text.split("\n"):
        lines.append((line, values[position : position + len(line)]))
        position += len(line) + 1
    columns = max(len(line) for line, _ in lines)
    picture, axes = board(columns * 0.105 + 0.3, len(lines) * 0.19 + 0.3)
    colours = matplotlib.colormaps[palette]
    for row, (line, numbers) in enumerate(lines):
        y = (len(lines) - row) * 1.9 + 0.4
        for column, (character, value) in enumerate(zip(line, numbers, strict=True)):
            x = 1.5 + column * 1.05
            tint = colours(0.5 + 0.42 * value)
            axes.add_patch(Rectangle((x, y - 0.95), 1.05, 1.8, facecolor=tint, linewidth=0))
            if character != " ":
                label(axes, x + 0.52, y, character, 9, family="monospace", parse_math=False)
    return picture


def forecast() -> Figure:
    """A day to come with its intervals, as `throughtime forecast --chart` draws it, beside what came."""
    found = measured()["forecast"]
    first = read_time(found["first"]).value
    hour = Frequency("microseconds", 3.6e9, first, True)
    low, point, high = (np.array(found[name]) for name in ("low_80", "forecast", "high_80"))
    levels = [found["low_95"], low, point, point, point, high, found["high_95"]]
    said = Forecast(point[None], np.stack(levels, -1)[None])
    past = np.array(found["past"])
    return fan_chart([Fan("visitors", -len(past), past, said, np.array(found["truth"]))], hour)


PICTURES: dict[str, Callable[[], Figure]] = {
    function.__name__: function
    for function in (
        hello, sum_of_gradients, temperature, powers, clipping, samples, lesson, gradient_flow, neuron, gates,
        attention, forecast,
    )
}  # fmt: skip
