"""The kinds of targets, from their names, their files, or the truth of training examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.labels import Labels
from throughtime.errors import DataError, OptionError
from throughtime.targets.numbers import Numbers
from throughtime.targets.one_label import UNLABELLED, OneLabel
from throughtime.targets.options import TargetTraining, read_quantiles
from throughtime.targets.several_labels import SeveralLabels
from throughtime.targets.target import TARGET_KINDS, Scores, Target

__all__ = [
    "TARGET_KINDS",
    "UNLABELLED",
    "Numbers",
    "OneLabel",
    "Scores",
    "SeveralLabels",
    "Target",
    "labels_of",
    "load_target",
    "numbers_of",
    "threshold_all",
]

_KINDS: dict[str, Any] = {"label": OneLabel, "labels": SeveralLabels, "number": Numbers}


def load_target(kind: str, folder: Path) -> Target:
    """The target that a run folder's labels.json, or target.json and calibration.json, describe.

    Raises:
        RunError: a file is missing or damaged, or of another kind.
    """
    return _KINDS[kind].load(folder)


def labels_of(kind: str, cells: Sequence[Any], source: str | Path) -> OneLabel | SeveralLabels:
    """The target with the labels that training examples have.

    Args:
        kind: "label" or "labels".
        cells: of each example its label, or its labels.
        source: where they are from, for errors.
    Raises:
        DataError: there is nothing to tell apart.
    """
    if kind == "label":
        labels = Labels.of(cells, source)
        if not labels.names:
            raise DataError(f"{source}: not a single example is left to learn from")
        if len(labels) < 2:
            raise DataError(
                f"{source}: every example has the label {labels.names[0]!r}; "
                f"there have to be two labels or more to tell apart"
            )
        return OneLabel(labels)
    found = SeveralLabels.of(cells, source)
    if not found.names:
        raise DataError(f"{source}: not a single example has a label")
    return found


def numbers_of(
    columns: Sequence[str], truth: NDArray[np.floating], training: TargetTraining, source: str | Path
) -> Numbers:
    """The target with the means and deviations of the training's numbers.

    Args:
        columns: D names.
        truth: (N, D), of the examples to train on.
        training: which loss, quantiles and interval.
        source: where they are from, for errors.
    Raises:
        DataError: a column never changes.
    """
    if not len(truth):
        raise DataError(f"{source}: not a single example is left to learn from")
    for name, column in zip(columns, np.asarray(truth).T, strict=True):
        if (column == column[0]).all():
            raise DataError(
                f"{source}: {name} is {column[0]:g} in every training example: there is nothing to learn"
            )
    quantiles = read_quantiles(training.quantiles)
    return Numbers.of(columns, truth, training.loss, quantiles, training.interval)


def threshold_all(target: Target, threshold: float | None) -> None:
    """Give every label from this probability on; None leaves the thresholds as they are.

    Raises:
        OptionError: the target has no thresholds, or this is no probability.
    """
    if threshold is None:
        return
    if not isinstance(target, SeveralLabels):
        raise OptionError(
            f"--threshold is for several labels, and this run was trained with --target {target.kind}"
        )
    target.with_threshold(threshold)
