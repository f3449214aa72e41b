"""Accuracy, F1 and the confusion matrix of predicted labels, and its picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.files import write_atomically

# Of more classes than this nearly all cells are 0, and the table of them is megabytes of these.
_CLASSES_IN_FULL = 500


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


def add_confusion(confusion: NDArray[np.int64], truth: ArrayLike, predicted: ArrayLike) -> None:
    """Count more predictions in a `confusion_matrix`, in time that does not depend on the classes."""
    np.add.at(confusion, (np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)


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


def write_confusion(picture: Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> Path:
    """The picture, and the same numbers with the scores of each class in a .json beside it.

    Of many classes the .json has `confused`: true class, predicted one and count, where that is above 0.

    Returns:
        The picture; the .json where matplotlib is not installed, without which the numbers remain.
    """
    table = picture.with_suffix(".json")
    described = {"labels": list(labels), **_counts(confusion), "scores": score_table(confusion, labels)}
    content = json.dumps(described, ensure_ascii=False, indent=1).encode()
    write_atomically(table, content)
    if find_spec("matplotlib") is None:
        return table
    from throughtime.metrics.confusion_picture import draw_confusion

    return draw_confusion(picture, confusion, labels)


def _counts(confusion: NDArray[np.int64]) -> dict[str, Any]:
    if len(confusion) <= _CLASSES_IN_FULL:
        return {"confusion": confusion.tolist()}
    places = np.argwhere(confusion)
    return {"confused": np.column_stack([places, confusion[tuple(places.T)]]).tolist()}


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
