"""Forecasts from every origin of unseen series, ours beside the baselines, measured alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from throughtime.tasks.forecaster.baselines import Linear, last_value, seasonal_naive
from throughtime.tasks.forecaster.metrics import Scores
from throughtime.tasks.forecaster.prediction import Forecasting
from throughtime.tasks.forecaster.windows import Windows

OURS = "forecaster"
_BATCH = 256


def backtest(
    forecasting: Forecasting,
    windows: Windows,
    linear: Linear,
    season: int,
    naive_errors: NDArray[np.float64],
    progress: Callable[[float], None] | None = None,
) -> dict[str, dict[str, float | None]]:
    """Measure all methods on all windows.

    Args:
        forecasting: the network.
        windows: one at least.
        linear: the linear baseline of the run.
        season: of the seasonal naive forecast.
        naive_errors: of each series; see `SeriesFacts`.
        progress: called with the share that is done.
    Returns:
        The metrics of each method by its name.
    """
    scores = {name: Scores() for name in (OURS, "linear", "seasonal naive", "last value")}
    for start in range(0, len(windows), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(windows)))
        batch = windows.batch(numbers)
        truth = batch.shift[:, None] + batch.scale[:, None] * batch.target.astype(np.float64)
        errors = naive_errors[windows.series_of[numbers]]
        found = forecasting.forecast(batch)
        said = {
            OURS: (found.point, found.quantiles),
            "linear": (linear.forecast(batch), None),
            "seasonal naive": (seasonal_naive(batch, season), None),
            "last value": (last_value(batch), None),
        }
        for name, (point, quantiles) in said.items():
            scores[name].add(truth, batch.counted, point, quantiles, batch.scale, errors)
        if progress is not None:
            progress((start + len(numbers)) / len(windows))
    return {name: one.result() for name, one in scores.items()}
