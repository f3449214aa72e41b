"""How well a label for every frame fits: frame accuracy, macro F1, edit score, segmental F1. NumPy only.

Frame accuracy does not see over-segmentation: a prediction that flickers within an action loses few frames.
The segmental scores do, because there each flicker is a segment of its own.

Source: Lea, Flynn, Vidal, Reiter and Hager 2017 ("Temporal Convolutional Networks for Action Segmentation
and Detection"), section 4.1, after Lea, Reiter, Vidal and Hager 2016 (edit score).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.metrics.classification import accuracy, add_confusion, macro_f1
from throughtime.metrics.edits import edit_distance
from throughtime.targets.one_label import UNLABELLED

OVERLAPS = (0.10, 0.25, 0.50)


@dataclass(frozen=True)
class Segment:
    """Neighbouring frames with one label, as long as can be: [start, stop)."""

    label: int
    start: int
    stop: int


def find_segments(labels: NDArray[np.integer]) -> list[Segment]:
    """The segments of a sequence of labels, in order; unlabelled frames belong to none and end one.

    Args:
        labels: (T,) whole numbers; `UNLABELLED` marks frames without a label.
    """
    if len(labels) == 0:
        return []
    starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
    stops = np.concatenate([starts[1:], [len(labels)]])
    return [
        Segment(int(labels[start]), int(start), int(stop))
        for start, stop in zip(starts, stops, strict=True)
        if labels[start] != UNLABELLED
    ]


def edit_score(truth: list[Segment], predicted: list[Segment]) -> float:
    """Whether the order of the actions is right, whatever their lengths: 0 to 1, higher is better.

    1 - d / max(M, N), where d is the Levenshtein distance of the two lists of segment labels.
    """
    longest = max(len(truth), len(predicted))
    if longest == 0:
        return 1.0
    labels = (np.array([segment.label for segment in part], np.int64) for part in (truth, predicted))
    return 1 - edit_distance(*labels) / longest


@dataclass
class Hits:
    """Counts of segments that were found, invented and missed."""

    found: int = 0
    invented: int = 0
    missed: int = 0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where there was nothing to find and nothing was said."""
        total = 2 * self.found + self.invented + self.missed
        return 2 * self.found / total if total else 1.0

    def __iadd__(self, other: Hits) -> Hits:
        self.found += other.found
        self.invented += other.invented
        self.missed += other.missed
        return self


def match_segments(truth: list[Segment], predicted: list[Segment], overlap: float) -> Hits:
    """Count which true segments a prediction found.

    A predicted segment is judged by the true segment of its label that it overlaps most, by intersection
    over union. It has found it if that is `overlap` or more and no earlier segment has: flickering within an
    action finds it once and invents the rest.
    """
    hits = Hits()
    taken: set[int] = set()
    first = 0
    for segment in predicted:
        best, which = 0.0, -1
        # Both are in order: what ends before this one begins is of no use to those behind it either.
        while first < len(truth) and truth[first].stop <= segment.start:
            first += 1
        for index in range(first, len(truth)):
            candidate = truth[index]
            if candidate.start >= segment.stop:
                break
            if candidate.label != segment.label:
                continue
            intersection = min(segment.stop, candidate.stop) - max(segment.start, candidate.start)
            union = max(segment.stop, candidate.stop) - min(segment.start, candidate.start)
            if intersection / union > best:
                best, which = intersection / union, index
        if which >= 0 and best >= overlap and which not in taken:
            taken.add(which)
            hits.found += 1
        else:
            hits.invented += 1
    hits.missed = len(truth) - len(taken)
    return hits


class FrameScores:
    """Gathers the scores of several sequences.

    Frames without a true label count nowhere: what was predicted there is left out, and ends a predicted
    segment as it ends a true one.

    Example:
        scores = FrameScores(classes=3)
        scores.add(truth=[0, 0, 1, 1], predicted=[0, 0, 0, 1])
        scores.result()["accuracy"]                                   # 0.75

    Args:
        classes: C, the number of labels.
    """

    def __init__(self, classes: int) -> None:
        self.confusion = np.zeros((classes, classes), dtype=np.int64)
        self._edits: list[float] = []
        self._hits = {overlap: Hits() for overlap in OVERLAPS}

    def add(self, truth: Any, predicted: Any) -> None:
        """Take in one sequence.

        Args:
            truth: (T,) whole numbers in [0, C), or `UNLABELLED`.
            predicted: (T,) whole numbers in [0, C).
        Raises:
            ValueError: the lengths differ.
        """
        truth, predicted = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
        if truth.shape != predicted.shape or truth.ndim != 1:
            raise ValueError(f"truth has shape {truth.shape} and the prediction {predicted.shape}")
        labelled = truth != UNLABELLED
        if not labelled.any():
            return
        add_confusion(self.confusion, truth[labelled], predicted[labelled])
        true_segments = find_segments(truth)
        predicted_segments = find_segments(np.where(labelled, predicted, UNLABELLED))
        self._edits.append(edit_score(true_segments, predicted_segments))
        for overlap, hits in self._hits.items():
            hits += match_segments(true_segments, predicted_segments, overlap)

    def result(self) -> dict[str, float]:
        """All scores, each from 0 to 1.

        Frames and segments are counted over all sequences together, and the edit score is the mean over
        sequences, as in the publications. Macro F1 is the mean over the classes that occur in the truth or
        in the prediction.
        """
        total = int(self.confusion.sum())
        return {
            "accuracy": accuracy(self.confusion) if total else 0.0,
            "macro_f1": macro_f1(self.confusion) if total else 0.0,
            "edit": float(np.mean(self._edits)) if self._edits else 0.0,
            **{
                f"f1@{round(100 * overlap)}": hits.f1 if total else 0.0
                for overlap, hits in self._hits.items()
            },
        }
