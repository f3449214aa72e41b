"""Fan charts: what was, what is to come, and how sure the model is of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import OptionError
from throughtime.pictures import require_matplotlib
from throughtime.pictures.writing import write_picture
from throughtime.tasks.forecaster.prediction import Forecast, Forecasting
from throughtime.tasks.forecaster.series import Series
from throughtime.tasks.forecaster.times import Frequency
from throughtime.tasks.forecaster.windows import Windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's black, blue and orange, as in the other pictures.
_PAST, _FORECAST, _TRUTH = "#222222", "#0072B2", "#E69F00"
_SUFFIXES = (".png", ".svg", ".pdf")
_WIDTH, _HEIGHT, _MOST = 9.0, 2.6, 12
# Of what was, as many horizons are shown.
_PAST_HORIZONS = 3


@dataclass(frozen=True)
class Fan:
    """One series in a chart.

    Args:
        name: of the series.
        first: the place of the first value of what was.
        past: (L,), NaN where there is no value.
        said: of the steps after it, one window.
        truth: (H,), what came, where that is known.
    """

    name: str
    first: int
    past: NDArray[np.float64]
    said: Forecast
    truth: NDArray[np.float64] | None = None

    @classmethod
    def of_series(cls, one: Series, frequency: Frequency, said: Forecast, horizon: int) -> Fan:
        """The end of a series, and what comes after it."""
        shown = min(len(one), max(_PAST_HORIZONS * horizon, frequency.season))
        return cls(one.name, one.first + len(one) - shown, one.values[len(one) - shown :], said)

    @classmethod
    def of_window(cls, name: str, windows: Windows, number: int, forecasting: Forecasting) -> Fan:
        """A window with what came after it."""
        batch = windows.batch(np.array([number]))
        shift, scale = float(batch.shift[0]), float(batch.scale[0])
        shown = min(len(batch.values), _PAST_HORIZONS * windows.shape.horizon)
        past = np.where(
            batch.observed[:, 0] > 0, shift + scale * batch.values[:, 0].astype(np.float64), np.nan
        )
        truth = np.where(batch.counted[0] > 0, shift + scale * batch.target[0].astype(np.float64), np.nan)
        first = int(windows.places(number)[0]) - shown
        return cls(name, first, past[len(past) - shown :], forecasting.forecast(batch), truth)


def draw_fans(path: str | Path, fans: Sequence[Fan], frequency: Frequency, title: str = "") -> Path:
    """Draw series below each other; of many, the first twelve.

    Args:
        path: the picture; .png, .svg or .pdf.
        fans: one at least.
        frequency: the grid, for the axis.
        title: stands above.
    Raises:
        OptionError: the path ends otherwise.
        MissingExtraError: matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise OptionError(f"{path}: pictures are written as {', '.join(_SUFFIXES)}")
    write_picture(path, fan_chart(fans, frequency, title), dpi=130)
    return path


def fan_chart(fans: Sequence[Fan], frequency: Frequency, title: str = "") -> Figure:
    """The figure of `draw_fans`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    if len(fans) > _MOST:
        title = title or f"the first {_MOST} of {len(fans):,} series"
    fans = fans[:_MOST]
    figure = Figure(figsize=(_WIDTH, 0.8 + _HEIGHT * len(fans)), layout="constrained")
    every = figure.subplots(len(fans), 1, squeeze=False)[:, 0]
    for axes, fan in zip(every, fans, strict=True):
        _draw(axes, fan, frequency)
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _draw(axes: Axes, fan: Fan, frequency: Frequency) -> None:
    L, H = len(fan.past), fan.said.point.shape[1]
    before, after = np.arange(L), np.arange(L, L + H)
    if fan.said.quantiles is not None:
        quantiles = fan.said.quantiles[0]
        axes.fill_between(
            after, quantiles[:, 0], quantiles[:, 6], color=_FORECAST, alpha=0.18, lw=0, label="95 % interval"
        )
        axes.fill_between(
            after, quantiles[:, 1], quantiles[:, 5], color=_FORECAST, alpha=0.3, lw=0, label="80 % interval"
        )
    axes.plot(before, fan.past, color=_PAST, lw=1.2, label="past")
    if fan.truth is not None:
        axes.plot(after, fan.truth, color=_TRUTH, lw=1.6, label="what came")
    axes.plot(
        after, fan.said.point[0], color=_FORECAST, lw=1.6, marker="." if H < 3 else "", label="forecast"
    )
    axes.axvline(L - 0.5, color="#999999", lw=0.8)
    places = np.unique(np.linspace(0, L + H - 1, 6).round().astype(int))
    axes.set_xticks(places, [frequency.write(fan.first + int(place)) for place in places])
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(fan.name, parse_math=False)
    axes.tick_params(labelsize=8)
