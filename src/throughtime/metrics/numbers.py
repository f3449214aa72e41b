"""How well predicted numbers fit: MAE, RMSE, R2, CRPS and coverage, and their picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.files import write_atomically
from throughtime.pictures.writing import write_picture

# Figures of every column, up to so many; the mean R2 is given for any number.
_MOST_COLUMNS = 16
# Points between a panel and its title, for a power of ten.
_ABOVE = 16
_MOST_DRAWN, _MOST_POINTS = 4, 5_000
_LEAST_SHARE = 1e-200
_FIGURES = ("mae", "rmse", "r2", "rmse_of_mean", "crps", "coverage")


class NumberScores:
    """Sums over rows, from which the figures follow.

    Args:
        columns: D names.
        origin: (D,), the mean of the training's values: what the simplest model would always say.
        loss: of the network; "gaussian" and "quantile" have a distribution, and so a CRPS.
        quantiles: of the network's outputs, for the loss "quantile".
        intervals: makes value, low and high (N, D, 3) of what was decided.
    """

    def __init__(
        self,
        columns: Sequence[str],
        origin: NDArray[np.float64],
        loss: str,
        quantiles: Sequence[float],
        intervals: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        self._columns = tuple(columns)
        self._origin = origin
        self._loss, self._quantiles = loss, np.array(quantiles)
        self._intervals = intervals
        self._rows = 0
        self._sums = {
            name: np.zeros(len(columns))
            for name in ("absolute", "square", "truth", "truth2", "inside", "crps")
        }
        self._has_intervals = True

    def add(self, truth: NDArray[Any], decided: NDArray[Any]) -> None:
        """Take in rows: truth (N, D), and what was decided of them (N, D, P)."""
        value, low, high = np.moveaxis(self._intervals(decided), -1, 0)
        # Of values around a large mean the squares would lose their digits.
        apart, difference = truth - self._origin, truth - value
        self._rows += len(truth)
        self._has_intervals = self._has_intervals and not np.isnan(low).any()
        for name, values in {
            "absolute": np.abs(difference),
            "square": difference**2,
            "truth": apart,
            "truth2": apart**2,
            "inside": (low <= truth) & (truth <= high),
            "crps": self._crps(truth, decided),
        }.items():
            self._sums[name] += values.sum(0)

    def by_column(self) -> dict[str, NDArray[np.float64]]:
        """Each figure, (D,).

        mae, rmse; r2, one minus the squared error over that of the rows' own mean; rmse_of_mean, of always
        saying the mean of the training's values; crps (of distributions); coverage, the share inside the
        intervals (where there are some).
        """
        mean = {name: total / max(self._rows, 1) for name, total in self._sums.items()}
        variance = mean["truth2"] - mean["truth"] ** 2
        # What varies by less than 64 bits can divide by is constant.
        varies = variance > _LEAST_SHARE * mean["square"]
        ratio = np.divide(mean["square"], variance, out=np.full_like(variance, np.nan), where=varies)
        found = {
            "mae": mean["absolute"],
            "rmse": np.sqrt(mean["square"]),
            "r2": np.where(np.isnan(ratio), np.where(mean["square"] > 0, 0.0, 1.0), 1 - ratio),
            "rmse_of_mean": np.sqrt(mean["truth2"]),
        }
        if self._loss in ("gaussian", "quantile"):
            found["crps"] = mean["crps"]
        if self._has_intervals:
            found["coverage"] = mean["inside"]
        return found

    def result(self) -> dict[str, Any]:
        """The figures; of several columns the mean R2, and each column's own under "NAME of COLUMN"."""
        figures = {name: values.tolist() for name, values in self.by_column().items()}
        if len(self._columns) == 1:
            return {name: values[0] for name, values in figures.items()}
        found = {"r2": float(np.mean(figures["r2"]))}
        if len(self._columns) <= _MOST_COLUMNS:
            for place, column in enumerate(self._columns):
                found |= {f"{name} of {column}": values[place] for name, values in figures.items()}
        return found

    def _crps(self, truth: NDArray[Any], decided: NDArray[Any]) -> NDArray[np.float64]:
        if self._loss == "gaussian":
            return crps_of_gaussian(truth, decided[..., 0], decided[..., 1])
        if self._loss == "quantile":
            above = truth[..., None] - decided
            # Twice the mean pinball loss approaches the CRPS as the quantiles become many.
            return 2 * np.maximum(self._quantiles * above, (self._quantiles - 1) * above).mean(-1)
        return np.zeros(truth.shape)


def crps_of_gaussian(truth: NDArray[Any], mean: NDArray[Any], deviation: NDArray[Any]) -> NDArray[np.float64]:
    """The continuous ranked probability score of normal distributions, in the truth's unit; 0 is perfect.

    Source: Gneiting and Raftery 2007, equation 21 and what follows it.
    """
    z = (truth - mean) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2)))
    return deviation * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))


def write_scatter(
    picture: Path,
    scores: NumberScores,
    columns: Sequence[str],
    truth: NDArray[Any],
    intervals: NDArray[np.float64],
) -> Path:
    """Predicted against true values, and the residuals; all figures go to a .json beside the picture.

    Args:
        picture: .png.
        scores: with these rows.
        columns: D names; the first four are drawn.
        truth: (N, D).
        intervals: (N, D, 3), value, low and high.
    Returns:
        The picture; the .json where matplotlib is not installed, without which the numbers remain.
    """
    table = picture.with_suffix(".json")
    figures = {name: values.tolist() for name, values in scores.by_column().items()}
    described = {"columns": list(columns), "examples": len(truth), **figures}
    write_atomically(table, json.dumps(described, ensure_ascii=False, indent=1).encode())
    if find_spec("matplotlib") is None:
        return table
    from matplotlib.figure import Figure

    drawn = min(len(columns), _MOST_DRAWN)
    kept = np.linspace(0, len(truth) - 1, min(len(truth), _MOST_POINTS)).round().astype(int)
    figure = Figure(figsize=(9.0, 4.2 * drawn), layout="constrained")
    axes = figure.subplots(drawn, 2, squeeze=False)
    for place in range(drawn):
        left, right = axes[place]
        true, (value, low, high) = truth[kept, place], intervals[kept, place].T
        ends = [float(min(true.min(), value.min())), float(max(true.max(), value.max()))]
        left.plot(ends, ends, color="#999999", linewidth=1, zorder=1)
        if not np.isnan(low).any():
            left.vlines(true, low, high, color="#56B4E9", alpha=0.25, linewidth=1, zorder=0)
        left.scatter(true, value, s=9, color="#0072B2", alpha=0.6, linewidths=0, zorder=2)
        left.set_xlabel(f"true {columns[place]}", parse_math=False)
        left.set_ylabel(f"predicted {columns[place]}", parse_math=False)
        error, fit = figures["rmse"][place], figures["r2"][place]
        left.set_title(f"RMSE {error:.4g}, R2 {fit:.3f}, {len(truth):,} in all", pad=_ABOVE)
        right.axhline(0, color="#999999", linewidth=1)
        right.scatter(value, true - value, s=9, color="#D55E00", alpha=0.6, linewidths=0)
        right.set_xlabel(f"predicted {columns[place]}", parse_math=False)
        right.set_ylabel("true minus predicted")
        right.set_title("residuals", pad=_ABOVE)
        for panel in (left, right):
            # 100000 and 150000 would touch each other; 1.0 and 1.5 under 1e5 do not.
            panel.locator_params(nbins=6)
            panel.ticklabel_format(style="sci", scilimits=(-3, 4), useMathText=True)
    write_picture(picture, figure, dpi=120)
    return picture
