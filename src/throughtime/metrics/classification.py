"""Accuracy, F1 and the confusion matrix of predicted labels, and its picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.files import write_atomically, write_picture

# Above this many classes numbers in the cells, and above the next names on the axes, could not be read.
_CLASSES_WITH_NUMBERS = 25
_CLASSES_WITH_NAMES = 60


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """How often each class was taken for each.

    Args:
        truth: (N,) class numbers below `classes`.
        predicted: (N,) likewise.
    Returns:
        (C, C): row the true class, column the predicted one.
    """
    pairs = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """The share of predictions that are right."""
    return float(np.trace(confusion) / confusion.sum())


def majority(confusion: NDArray[np.int64]) -> float:
    """The accuracy of always naming the most frequent true class: what any model has to beat."""
    return float(confusion.sum(1).max() / confusion.sum())


def class_scores(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Precision, recall and F1 of each class: (C, 3); 0 where a denominator is 0.

    F1 is the harmonic mean of the two: 2 TP / (2 TP + FP + FN).
    """
    right = np.diagonal(confusion).astype(np.float64)
    predicted, true = confusion.sum(0), confusion.sum(1)
    denominators = np.stack([predicted, true, (predicted + true) / 2], 1)
    return np.divide(right[:, None], denominators, out=np.zeros_like(denominators), where=denominators > 0)


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """The mean of the classes' F1, each counting alike however rare it is.

    A class that neither occurs nor is predicted does not count.
    """
    present = (confusion.sum(0) + confusion.sum(1)) > 0
    return float(class_scores(confusion)[present, 2].mean())


def draw_confusion(path: str | Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> Path:
    """Draw a confusion matrix: colour is the share of the true class, the number how many.

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
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = min(max(4.0, 1.6 + 0.55 * classes), 14.0)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.add_subplot()
    # Cividis is built to look the same to people with and without a colour vision deficiency.
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    if classes <= _CLASSES_WITH_NAMES:
        names = [label if len(label) <= 18 else f"{label[:17]}…" for label in labels]
        # A label is no formula, whatever stands between its dollar signs.
        turned = 45 if max(map(len, names)) > 3 else 0
        axes.set_xticks(range(classes), names, rotation=turned, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    if classes <= _CLASSES_WITH_NUMBERS:
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
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    total = int(confusion.sum())
    axes.set_title(f"{accuracy(confusion):.1%} of {total:,} right, macro F1 {macro_f1(confusion):.3f}")
    write_picture(path, figure, dpi=120)
    return path


def write_confusion(picture: Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> Path:
    """The picture, and the same numbers with the scores of each class in a .json beside it.

    Returns:
        The picture; the .json where matplotlib is not installed, without which the numbers remain.
    """
    table = picture.with_suffix(".json")
    described = {
        "labels": list(labels),
        "confusion": confusion.tolist(),
        "scores": score_table(confusion, labels),
    }
    content = json.dumps(described, ensure_ascii=False, indent=1).encode()
    write_atomically(table, content)
    if find_spec("matplotlib") is None:
        return table
    return draw_confusion(picture, confusion, labels)


def score_table(confusion: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class: label, precision, recall, f1, and how many there are of it."""
    return [
        {
            "label": label,
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "examples": int(count),
        }
        for label, (precision, recall, f1), count in zip(
            labels, class_scores(confusion), confusion.sum(1), strict=True
        )
    ]
