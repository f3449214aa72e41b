"""How good forecasts are: sums over all windows and steps whose true value is known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from throughtime.tasks.forecaster.distributions import LEVELS

# Below this a series does not change, and its error is no unit to measure in.
_LEAST_UNIT = 1e-8
# Levels that the integral of a CRPS is taken at.
_CRPS_LEVELS = 40
_LOWS_AND_HIGHS = {"coverage_80": (1, 5), "coverage_95": (0, 6)}


@dataclass
class Scores:
    """Metrics, summed up block by block.

    mae, rmse are in the units of the data; mse_scaled and mae_scaled of values standardised by the training
    part; mase in mean absolute errors of the seasonal naive forecast within the training part (Hyndman and
    Koehler 2006); smape in percent (M4's, 0 to 200); crps from seven quantiles, and of a point its
    absolute error; the coverages are shares of true values
    within the 80 % and 95 % intervals.
    """

    _sums: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        truth: NDArray[np.float64],
        counted: NDArray[np.float32],
        point: NDArray[np.float64],
        quantiles: NDArray[np.float64] | None,
        scale: NDArray[np.float32],
        naive_error: NDArray[np.float64],
    ) -> None:
        """Take windows into account.

        Args:
            truth, point: (B, H), in the units of the data.
            counted: (B, H), 1 where the truth is known.
            quantiles: (B, H, 7), or None.
            scale, naive_error: (B,), of each window's series.
        """
        there = counted > 0
        error = np.abs(truth - point)
        self._take("mae", error[there])
        self._take("mse", error[there] ** 2)
        scaled = error / np.asarray(scale, np.float64)[:, None]
        self._take("mse_scaled", scaled[there] ** 2)
        self._take("mae_scaled", scaled[there])
        size = np.abs(truth) + np.abs(point)
        self._take("smape", np.where(size > 0, 200 * error / np.where(size > 0, size, 1), 0.0)[there])
        changes = naive_error > _LEAST_UNIT
        known = there & changes[:, None]
        self._take("mase", (error / np.where(changes, naive_error, 1.0)[:, None])[known])
        if quantiles is None:
            self._take("crps", error[there])
            return
        self._take("crps", crps(truth, quantiles)[there])
        for name, (low, high) in _LOWS_AND_HIGHS.items():
            self._take(name, ((quantiles[..., low] <= truth) & (truth <= quantiles[..., high]))[there])

    def result(self) -> dict[str, float | None]:
        """Each metric; None where it is not defined."""
        means = {name: self._sums[name] / count for name, count in self._counts.items() if count}
        mse = means.get("mse")
        found: dict[str, float | None] = {
            "mae": means.get("mae"),
            "rmse": None if mse is None else float(np.sqrt(mse)),
        }
        names = ("mae_scaled", "mse_scaled", "mase", "smape", "crps", *_LOWS_AND_HIGHS)
        return found | {name: means.get(name) for name in names}

    def _take(self, name: str, values: NDArray[np.generic]) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(values.sum(dtype=np.float64))
        self._counts[name] = self._counts.get(name, 0) + values.size


def crps(truth: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The continuous ranked probability score of what quantiles (..., 7) say: twice the pinball loss,
    averaged over 40 levels (Laio and Tamea 2007). Between quantiles the function that they are of is a line,
    and beyond them it is constant. The score of a certain forecast is its absolute error."""
    every = (np.arange(_CRPS_LEVELS) + 0.5) / _CRPS_LEVELS
    between = np.stack([np.interp(every, LEVELS, row) for row in np.eye(len(LEVELS))])
    error = truth[..., None] - quantiles @ between
    return 2 * np.maximum(every * error, (every - 1) * error).mean(-1)
