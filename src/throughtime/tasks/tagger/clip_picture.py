"""What was said of a clip over time, whatever it is: one label, several labels, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.pictures import require_matplotlib
from throughtime.pictures.writing import write_picture
from throughtime.targets.kinds import Numbers, SeveralLabels, Target
from throughtime.tasks.tagger.frame_predictions import Block
from throughtime.tasks.tagger.timeline import draw_timeline, picture_path

# More names than this beside each other, and more columns below each other, could not be read.
_MOST_NAMES, _MOST_DRAWN = 40, 8


def draw_clip(
    path: str | Path, target: Target, blocks: Sequence[Block], truth: NDArray[Any] | None, title: str
) -> Path:
    """Draw what is said of a clip.

    Args:
        path: the picture; .png, .svg or .pdf.
        target: what the outputs mean.
        blocks: of the whole clip.
        truth: of its frames, or None.
        title: stands above.
    Raises:
        OptionError: the path ends otherwise.
        MissingExtraError: matplotlib is not installed.
    """
    decided = target.decide(np.concatenate([outputs for outputs, _ in blocks]))
    seconds = blocks[-1][1]
    last = None if seconds is None else float(seconds[-1])
    rate = (len(decided) - 1) / last if last else None
    if isinstance(target, Numbers):
        return draw_numbers(path, target.names, target.intervals(decided), truth, rate, title)
    draw = draw_flags if isinstance(target, SeveralLabels) else draw_timeline
    return draw(path, target.names, decided, truth, rate, title)


def draw_flags(
    path: str | Path,
    labels: Sequence[str],
    given: NDArray[np.bool_],
    truth: NDArray[np.integer] | None = None,
    frame_rate: float | None = None,
    title: str = "",
) -> Path:
    """Draw which labels each frame got, one row for each label; with the truth, what was missed.

    Args:
        path: the picture; .png, .svg or .pdf.
        labels: C names.
        given: (T, C).
        truth: (T, C) of 0 and 1, or None.
        frame_rate: frames a second, for an axis in seconds; None counts frames.
        title: stands above.
    Raises:
        OptionError: the path ends otherwise.
        MissingExtraError: matplotlib is not installed.
    """
    path, figure, axes = _figure(path, 1, 1.6 + min(0.12 * len(labels), 6.0))
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    # 0 nothing, 1 given (rightly), 2 missed, 3 invented.
    right = given if truth is None else given & (truth > 0)
    shown = (
        right * 1 if truth is None else right * 1 + (~given & (truth > 0)) * 2 + (given & (truth == 0)) * 3
    )
    colours = ["#FFFFFF", "#0072B2", "#E69F00", "#CC79A7"]
    axes[0].imshow(
        shown.T,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=3,
        extent=(0, len(given) / (frame_rate or 1), -0.5, len(labels) - 0.5),
    )
    if len(labels) <= _MOST_NAMES:
        axes[0].set_yticks(range(len(labels)), labels, parse_math=False)
    else:
        axes[0].set_ylabel("label, by its number")
    names = ["given"] if truth is None else ["given rightly", "missed", "given wrongly"]
    handles = [Patch(label=name, facecolor=colour) for name, colour in zip(names, colours[1:], strict=False)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return _finish(path, figure, axes, frame_rate, title)


def draw_numbers(
    path: str | Path,
    columns: Sequence[str],
    intervals: NDArray[np.float64],
    truth: NDArray[Any] | None = None,
    frame_rate: float | None = None,
    title: str = "",
) -> Path:
    """Draw the predicted numbers with their intervals, and the true ones where they are known.

    Args:
        intervals: (T, D, 3): value, low and high; NaN where an interval is not known.
        columns: D names; the first eight are drawn.
        truth: (T, D), or None.
        path, frame_rate, title: as of `draw_flags`.
    Raises:
        OptionError, MissingExtraError: as of `draw_flags`.
    """
    drawn = min(len(columns), _MOST_DRAWN)
    path, figure, axes = _figure(path, drawn, 1.4 + 1.8 * drawn)
    clock = np.arange(len(intervals)) / (frame_rate or 1)
    for place in range(drawn):
        value, low, high = intervals[:, place].T
        axes[place].fill_between(clock, low, high, color="#56B4E9", alpha=0.35, linewidth=0, label="interval")
        if truth is not None:
            axes[place].plot(clock, truth[:, place], color="#222222", linewidth=1, label="truth")
        axes[place].plot(clock, value, color="#0072B2", linewidth=1.2, label="predicted")
        axes[place].set_ylabel(columns[place], parse_math=False)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return _finish(path, figure, axes, frame_rate, title)


def _figure(path: str | Path, rows: int, height: float) -> tuple[Path, Any, Any]:
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height), layout="constrained")
    return picture_path(path), figure, figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]


def _finish(path: Path, figure: Any, axes: Any, frame_rate: float | None, title: str) -> Path:
    axes[-1].set_xlabel("time (seconds)" if frame_rate else "frame")
    axes[0].set_title(title, parse_math=False)
    write_picture(path, figure, dpi=150)
    return path
