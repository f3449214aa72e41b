"""What validation examples settle with the best weights: thresholds of labels, margins of numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from throughtime.errors import RunError
from throughtime.facts import read_json
from throughtime.files import write_atomically

CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """What calibration.json holds.

    Args:
        thresholds: of each label, above which it is given.
        margins: of each column of numbers, how far its interval reaches to either side.
    """

    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    margins: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None

    def save(self, folder: Path) -> None:
        """Write calibration.json."""
        write_atomically(folder / CALIBRATION, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, folder: Path, count: int) -> Calibration:
        """Read calibration.json; nothing is settled where it is missing, as before the end of a training.

        Raises:
            RunError: it is damaged, or does not fit `count` labels or columns.
        """
        path = folder / CALIBRATION
        if not path.exists():
            return cls()
        found = read_json(path, Calibration)
        for name, values in asdict(found).items():
            if values is not None and len(values) != count:
                raise RunError(f"{path} is damaged: it has {len(values)} {name}, and the run {count}")
        return found


def best_thresholds(truth: NDArray[np.integer], probabilities: NDArray[np.floating]) -> list[float]:
    """The threshold of each label with the best F1; 0.5 for a label that never occurs.

    Args:
        truth: (N, C) of 0 and 1.
        probabilities: (N, C).
    Source: Lipton, Elkan and Naryanaswamy 2014: F1 is best somewhere between two neighbouring probabilities.
    """
    found = []
    for column in range(truth.shape[1]):
        order = np.argsort(-probabilities[:, column], kind="stable")
        ranked, right = probabilities[order, column].astype(np.float64), np.cumsum(truth[order, column])
        total = int(right[-1])
        if total == 0:
            found.append(0.5)
            continue
        # Equal probabilities are given or not given together.
        last = np.append(ranked[1:] < ranked[:-1], True)
        f1 = np.where(last, 2 * right / (np.arange(1, len(ranked) + 1) + total), -1)
        best = int(f1.argmax())
        below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
        found.append(float((ranked[best] + below) / 2))
    return found


def margins_of(residuals: NDArray[np.floating], level: float) -> list[float]:
    """How far an interval has to reach to either side to hold a share `level` of new values.

    Args:
        residuals: (N, D), truth minus prediction of examples that were not trained on.
    Source: split conformal prediction, Lei et al. 2018, algorithm 2: the ceil((N + 1) level)-th smallest.
    """
    count = len(residuals)
    rank = min(int(np.ceil((count + 1) * level)), count)
    return np.sort(np.abs(residuals), axis=0)[rank - 1].tolist()
