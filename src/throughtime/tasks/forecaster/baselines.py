"""What every forecast has to beat: the season before, the last value, and a linear map of the window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from throughtime.tasks.forecaster.windows import Batch, Windows

# Ridge penalties that are tried, as shares of the mean diagonal; the best on the validation windows stays.
PENALTIES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Windows that are added up together, and the most of them that are looked at: more change nothing.
_BLOCK, _MOST = 2048, 200_000


@dataclass(frozen=True)
class Linear:
    """Each step to come as a linear map of the window, relative to its last value, for all series alike.

    Args:
        weights: (L + 1, H); the last row is the constant.
    """

    weights: NDArray[np.float32]

    def forecast(self, batch: Batch) -> NDArray[np.float64]:
        """(B, H), in the units of the data."""
        values, weights = batch.values.astype(np.float64), self.weights.astype(np.float64)
        last = values[-1]
        said = (values - last).T @ weights[:-1] + weights[-1] + last[:, None]
        return batch.shift[:, None] + batch.scale[:, None] * said


def fit_linear(training: Windows, validation: Windows | None) -> Linear:
    """Ridge regression on the training windows; the penalty is chosen on the validation windows.

    Windows with a missing target are left out of it.
    """
    L, H = training.shape.lookback, training.shape.horizon
    inner, outer = np.zeros((L + 1, L + 1)), np.zeros((L + 1, H))
    step = max(1, len(training) // _MOST)
    for start in range(0, len(training), _BLOCK * step):
        inputs, targets = _pairs(training, np.arange(start, min(start + _BLOCK * step, len(training)), step))
        inner += inputs.T @ inputs
        outer += inputs.T @ targets
    held_out = training if validation is None or not len(validation) else validation
    chosen = np.arange(0, len(held_out), max(1, len(held_out) // 4096))
    inputs, targets = _pairs(held_out, chosen)
    best: tuple[float, NDArray[np.float64]] = (np.inf, np.zeros((L + 1, H)))
    size = np.trace(inner[:-1, :-1]) / L
    for penalty in PENALTIES:
        ridge = np.diag([penalty * size + 1e-9] * L + [1e-9])
        weights = np.linalg.solve(inner + ridge, outer)
        error = float(np.square(inputs @ weights - targets).mean()) if len(inputs) else penalty
        if error < best[0]:
            best = (error, np.asarray(weights, np.float64))
    return Linear(best[1].astype(np.float32))


def _pairs(windows: Windows, numbers: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs (N, L + 1) and targets (N, H), relative to the last value."""
    batch = windows.batch(numbers)
    # In 64 bits: of values at both ends of 32 bits the difference is beyond them.
    values = batch.values.astype(np.float64)
    last = values[-1]
    inputs = np.concatenate([(values - last).T, np.ones((len(numbers), 1))], 1)
    whole = batch.counted.all(1)
    return inputs[whole], (batch.target - last[:, None])[whole]


def last_value(batch: Batch) -> NDArray[np.float64]:
    """The last value of the window at every step, (B, H)."""
    last = batch.shift + batch.scale * batch.values[-1].astype(np.float64)
    return np.repeat(last[:, None], batch.target.shape[1], 1)


def seasonal_naive(batch: Batch, season: int) -> NDArray[np.float64]:
    """The last season of the window again and again, (B, H); the last value where a window has no season."""
    L, H = len(batch.values), batch.target.shape[1]
    if season > L:
        return last_value(batch)
    places = L - season + np.arange(H) % season
    return batch.shift[:, None] + batch.scale[:, None] * batch.values[places].T.astype(np.float64)
