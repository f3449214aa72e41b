"""How well several labels at once fit: precision, recall and F1 of each and of all, and their picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.files import write_atomically
from throughtime.pictures.writing import write_picture

# More bars than this cannot be read in one picture; the .json beside it has all of them.
_MOST_BARS = 60


class SeveralScores:
    """Counts what was given rightly, wrongly, and missed, label by label.

    Args:
        labels: C.
    """

    def __init__(self, labels: int) -> None:
        self._right = np.zeros(labels, dtype=np.int64)
        self._given = np.zeros(labels, dtype=np.int64)
        self._true = np.zeros(labels, dtype=np.int64)
        self._rows = self._exact = 0

    def add(self, truth: NDArray[Any], decided: NDArray[Any]) -> None:
        """Take in rows: (N, C) of 0 and 1, both."""
        true, given = truth.astype(bool), decided.astype(bool)
        self._right += (true & given).sum(0)
        self._given += given.sum(0)
        self._true += true.sum(0)
        self._exact += int((true == given).all(-1).sum())
        self._rows += len(true)

    def result(self) -> dict[str, Any]:
        """micro_f1, macro_f1, subset_accuracy.

        Micro F1 counts all labels together; macro F1 is the mean over the labels that occur in the truth or
        were given; subset accuracy is the share of rows with every label right.
        """
        present = (self._true + self._given) > 0
        f1 = self.by_label()[present, 2]
        total = int(self._true.sum() + self._given.sum())
        return {
            "micro_f1": float(2 * self._right.sum() / total) if total else 1.0,
            "macro_f1": float(f1.mean()) if len(f1) else 1.0,
            "subset_accuracy": self._exact / max(self._rows, 1),
        }

    def by_label(self) -> NDArray[np.float64]:
        """Precision, recall and F1 of each label, (C, 3); 0 where a denominator is 0."""
        denominators = np.stack([self._given, self._true, (self._given + self._true) / 2], 1)
        return np.divide(
            self._right[:, None], denominators, out=np.zeros_like(denominators), where=denominators > 0
        )

    def table(self, labels: Sequence[str]) -> list[dict[str, Any]]:
        """One row a label: label, precision, recall, f1, and how many rows have it."""
        return [
            {"label": label, "precision": row[0], "recall": row[1], "f1": row[2], "examples": count}
            for label, row, count in zip(labels, self.by_label().tolist(), self._true.tolist(), strict=True)
        ]


def write_label_scores(picture: Path, scores: SeveralScores, labels: Sequence[str]) -> Path:
    """The picture of each label's scores, and all numbers in a .json beside it.

    Returns:
        The picture; the .json where matplotlib is not installed, without which the numbers remain.
    """
    table = picture.with_suffix(".json")
    described = {"labels": scores.table(labels), **scores.result()}
    write_atomically(table, json.dumps(described, ensure_ascii=False, indent=1).encode())
    if find_spec("matplotlib") is None:
        return table
    from matplotlib.figure import Figure

    rows = sorted(scores.table(labels), key=lambda row: -row["examples"])[:_MOST_BARS]
    figure = Figure(figsize=(7.0, 1.6 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    axes.barh(places, [row["f1"] for row in rows], color="#0072B2", label="F1", height=0.6)
    axes.plot(
        [row["precision"] for row in rows], places, "|", color="#D55E00", label="precision", mew=2, ms=9
    )
    axes.plot([row["recall"] for row in rows], places, "o", color="#009E73", label="recall", ms=4)
    names = [f"{row['label'][:24]} ({row['examples']:,})" for row in rows]
    axes.set_yticks(places, names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.03)  # so that a mark at 1 is whole
    axes.set_xlabel("precision, recall and F1 (1 is best)")
    figures = scores.result()
    more = f", the {len(rows)} most frequent of {len(labels)}" if len(labels) > len(rows) else ""
    axes.set_title(f"micro F1 {figures['micro_f1']:.3f}, macro F1 {figures['macro_f1']:.3f}{more}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    write_picture(picture, figure, dpi=120)
    return picture
