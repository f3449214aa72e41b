"""The labels of a clip as coloured bars over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.pictures import require_matplotlib
from throughtime.pictures.writing import write_picture
from throughtime.tasks.tagger.segments import find_segments

# Okabe and Ito's palette, which people with any colour vision can tell apart. Yellow comes late, as it is
# faint on paper; from the ninth label on the colours come again with a pattern.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
PATTERNS = ("", "///", "...", "xxx")

_SUFFIXES = (".png", ".svg", ".pdf")
_WIDTH_INCHES = 10
_LEGEND_COLUMNS = 6


def draw_timeline(
    path: str | Path,
    labels: Sequence[str],
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer] | None = None,
    frame_rate: float | None = None,
    title: str = "",
) -> Path:
    """Draw the predicted labels of a clip, with the true ones above them where they are known.

    Args:
        path: the picture; .png, .svg or .pdf.
        labels: the names.
        predicted: (T,) numbers of labels.
        truth: (T,) numbers of labels, or -1 where there is none, which stays blank.
        frame_rate: frames a second, for an axis in seconds; None counts frames.
        title: stands above.
    Returns:
        The path.
    Raises:
        OptionError: the path ends otherwise.
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    path = picture_path(path)
    rows = [("predicted", predicted)] if truth is None else [("truth", truth), ("predicted", predicted)]
    scale = 1 / frame_rate if frame_rate else 1.0
    used = sorted({int(label) for _, row in rows for label in np.unique(row) if label >= 0})
    legend_rows = math.ceil((len(used) + 1) / _LEGEND_COLUMNS)
    height = 1.1 + 0.55 * len(rows) + 0.3 * legend_rows
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    axes = figure.add_subplot()
    for position, (_, row) in enumerate(rows):
        for segment in find_segments(row):
            axes.barh(
                len(rows) - 1 - position,
                (segment.stop - segment.start) * scale,
                left=segment.start * scale,
                height=0.8,
                **_look(segment.label),
            )
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlim(0, len(predicted) * scale)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlabel("time (seconds)" if frame_rate else "frame")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    if title:
        axes.set_title(title, parse_math=False)
    handles = [Patch(label=labels[label], **_look(label)) for label in used]
    if truth is not None and (truth < 0).any():
        handles.append(Patch(label="no label", facecolor="none", edgecolor="#999999"))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=_LEGEND_COLUMNS,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label is no formula, whatever stands between its dollar signs
    write_picture(path, figure, dpi=150)
    return path


def picture_path(path: str | Path) -> Path:
    """The path of a picture that is to be written.

    Raises:
        OptionError: it does not end as a picture does.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise OptionError(f"{path}: pictures are written as {', '.join(_SUFFIXES)}")
    return path


def _look(label: int) -> dict[str, Any]:
    """Colour and pattern of a label; the same label looks the same in every picture of a run."""
    pattern = PATTERNS[label // len(COLOURS) % len(PATTERNS)]
    return {
        "facecolor": COLOURS[label % len(COLOURS)],
        "edgecolor": "#222222" if pattern else "none",
        "linewidth": 0,
        "hatch": pattern,
    }
