"""The picture of a confusion matrix. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.metrics.classification import accuracy, macro_f1
from throughtime.pictures.writing import write_picture

# Above this many classes numbers in the cells, and above the next names on the axes, could not be read.
_CLASSES_WITH_NUMBERS = 25
_CLASSES_WITH_NAMES = 60
_SIDE_INCHES = (4.0, 14.0)
_NAME_LENGTH = 18
# Of many classes, the pairs that are confused most often are named beside the matrix.
_NAMED_PAIRS = 25


def draw_confusion(path: str | Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> Path:
    """Draw a confusion matrix: colour is the share of the true class, the number how many.

    Where there are too many classes for numbers, the most frequent confusions are listed beside it.

    Args:
        path: the picture, .png.
        confusion: (C, C).
        labels: C names.
    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    path = Path(path)
    classes = len(labels)
    names = [label if len(label) <= _NAME_LENGTH else f"{label[: _NAME_LENGTH - 1]}…" for label in labels]
    has_numbers = classes <= _CLASSES_WITH_NUMBERS
    inches = 0.55 if has_numbers else 0.21
    side = min(max(_SIDE_INCHES[0], 1.6 + inches * classes), _SIDE_INCHES[1] if has_numbers else 11.0)
    pairs = [] if has_numbers else most_confused(confusion, _NAMED_PAIRS)
    beside = 5.0 if pairs else 0.0
    figure = Figure(figsize=(side + 1.0 + beside, side), layout="constrained")
    if pairs:
        axes, list_axes = figure.subplots(1, 2, width_ratios=(side + 1.0, beside))
        _draw_pairs(list_axes, pairs, names)
    else:
        axes = figure.add_subplot()
    _draw_matrix(figure, axes, confusion, names, has_numbers)
    total = int(confusion.sum())
    axes.set_title(f"{accuracy(confusion):.1%} of {total:,} right, macro F1 {macro_f1(confusion):.3f}")
    write_picture(path, figure, dpi=120)
    return path


def most_confused(confusion: NDArray[np.int64], pairs: int) -> list[tuple[int, int, int, float]]:
    """What is most often taken for what.

    Args:
        confusion: (C, C).
        pairs: how many at most.
    Returns:
        The true class, the predicted one, how often, and the share of the true class, from the most frequent.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    true, predicted = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:pairs], wrong.shape)
    of_class = confusion.sum(1)
    return [
        (int(row), int(column), int(wrong[row, column]), float(wrong[row, column] / of_class[row]))
        for row, column in zip(true, predicted, strict=True)
        if wrong[row, column]
    ]


def _draw_matrix(
    figure: Any, axes: Any, confusion: NDArray[np.int64], names: Sequence[str], has_numbers: bool
) -> None:
    classes = len(names)
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    # Cividis is built to look the same to people with and without a colour vision deficiency.
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    if classes <= _CLASSES_WITH_NAMES:
        # A label is no formula, whatever stands between its dollar signs.
        turned = 90 if not has_numbers else 45 if max(map(len, names)) > 3 else 0
        size = 10 if has_numbers else 8
        axes.set_xticks(range(classes), names, rotation=turned, parse_math=False, fontsize=size)
        axes.set_yticks(range(classes), names, parse_math=False, fontsize=size)
    if has_numbers:
        for row, column in np.ndindex(classes, classes):
            axes.text(
                column,
                row,
                f"{confusion[row, column]:,}",
                ha="center",
                va="center",
                fontsize=11 if classes <= 12 else 7,
                color="black" if share[row, column] > 0.5 else "white",
            )
    axes.set_xlabel("predicted" if classes <= _CLASSES_WITH_NAMES else "predicted, number of the class")
    axes.set_ylabel("true" if classes <= _CLASSES_WITH_NAMES else "true, number of the class")


def _draw_pairs(axes: Any, pairs: Sequence[tuple[int, int, int, float]], names: Sequence[str]) -> None:
    """A bar for each pair, the most frequent at the top."""
    places = range(len(pairs))
    axes.barh(places, [count for _, _, count, _ in pairs], color="#0072B2", height=0.7)
    texts = [f"{names[true]} as {names[predicted]}" for true, predicted, _, _ in pairs]
    axes.set_yticks(places, texts, parse_math=False, fontsize=8)
    for place, (_, _, count, share) in enumerate(pairs):
        axes.annotate(
            f"{count:,} ({share:.0%})",
            (count, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_ylim(_NAMED_PAIRS - 0.4, -0.6)
    axes.set_xmargin(0.25)
    axes.set_xlabel("how often (share of the true class)")
    axes.set_title("The most frequent confusions", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
