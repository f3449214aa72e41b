"""Windows of series as the network reads them: what was, what is known of what comes, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from throughtime.data.limits import SERIES_BYTES
from throughtime.tasks.forecaster.scaling import Scaling, standardised
from throughtime.tasks.forecaster.series import Series
from throughtime.tasks.forecaster.times import Frequency


@dataclass(frozen=True)
class Shape:
    """The sizes of a window.

    Args:
        lookback: L, steps that are read.
        horizon: H, steps that are forecast.
        features: P, numbers of each step that is read, beside its value.
        future: G, those of them that are known ahead; they come first.
        static: S, numbers of a series.
    """

    lookback: int
    horizon: int
    features: int
    future: int
    static: int


@dataclass(frozen=True)
class Batch:
    """Windows side by side, all float32.

    Args:
        values: (L, B), scaled; where there was no value, that before it.
        observed: (L, B), 1 where there was a value.
        features: (L, B, P).
        future: (H, B, G).
        static: (B, S).
        target: (B, H), scaled; 0 where there is none.
        counted: (B, H), 1 where there is a target.
        shift, scale: (B,), of each window's series: value = shift + scale * scaled.
    """

    values: NDArray[np.float32]
    observed: NDArray[np.float32]
    features: NDArray[np.float32]
    future: NDArray[np.float32]
    static: NDArray[np.float32]
    target: NDArray[np.float32]
    counted: NDArray[np.float32]
    shift: NDArray[np.float32]
    scale: NDArray[np.float32]


class Windows:
    """Every window of some series, made when it is asked for.

    The series lie one behind the other, so that a batch is one gathering. Behind each lie `horizon` steps
    of which only the features are known, so that the last window may reach past the end.

    Args:
        series: the series.
        scaling: of values and features.
        frequency: of the grid, for the calendar.
        shape: of a window.
        ranges: for each series, the first and the last step (not in it) that may be a target.
        stride: steps between the starts of windows.
        beyond: make only the window behind the end of each series: its targets are not known.
    Attributes:
        names: of the series.
        series_of: (N,), the series of each window.
        starts: (N,), the first step to forecast, counted from the first row of its series.
    """

    def __init__(
        self,
        series: Sequence[Series],
        scaling: Scaling,
        frequency: Frequency,
        shape: Shape,
        ranges: Sequence[tuple[int, int]] | None = None,
        stride: int = 1,
        beyond: bool = False,
    ) -> None:
        self.shape, self.names = shape, [one.name for one in series]
        lengths = np.array([len(one) for one in series], np.int64)
        numbers = int((lengths + shape.horizon).sum()) * (2 + shape.features)
        SERIES_BYTES.check(
            4 * numbers, f"{len(series):,} series with {2 + shape.features:,} numbers for each step take"
        )
        offsets = np.concatenate([[0], np.cumsum(lengths + shape.horizon)]).astype(np.int64)
        total = int(offsets[-1])
        self._values = np.zeros(total, np.float32)
        self._observed = np.zeros(total, np.float32)
        self._features = np.zeros((total, shape.features), np.float32)
        self._static = np.zeros((len(series), shape.static), np.float32)
        self._shift = np.zeros(len(series), np.float32)
        self._scale = np.ones(len(series), np.float32)
        self._first = np.array([one.first for one in series], np.int64)
        self._offsets = offsets
        others = scaling.side_by_side(series)
        series_of: list[NDArray[np.int64]] = []
        starts: list[NDArray[np.int64]] = []
        for number, one in enumerate(series):
            here = slice(int(offsets[number]), int(offsets[number]) + len(one))
            self._shift[number], self._scale[number] = scaling.of_series(one)
            self._observed[here] = ~np.isnan(one.values)
            self._values[here] = standardised(one.values, self._shift[number], self._scale[number], one.name)
            behind = slice(here.start, here.stop + shape.horizon)
            self._features[behind] = scaling.features(one, frequency, shape.horizon, others)
            self._static[number] = scaling.static(one)
            found = self._starts(number, one, ranges, stride, beyond)
            starts.append(found)
            series_of.append(np.full(len(found), number, np.int64))
        self.series_of = np.concatenate(series_of) if series_of else np.zeros(0, np.int64)
        self.starts = np.concatenate(starts) if starts else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, numbers: NDArray[np.int64]) -> Batch:
        """The windows with these numbers."""
        shape, owners = self.shape, self.series_of[numbers]
        origin = self._offsets[owners] + self.starts[numbers]
        before = origin + np.arange(-shape.lookback, 0)[:, None]
        after = origin + np.arange(shape.horizon)[:, None]
        counted = self._observed[after].T
        return Batch(
            self._values[before],
            self._observed[before],
            self._features[before],
            self._features[after][..., : shape.future],
            self._static[owners],
            self._values[after].T * counted,
            counted,
            self._shift[owners],
            self._scale[owners],
        )

    def places(self, number: int) -> NDArray[np.int64]:
        """The places on the grid of the steps that a window forecasts, (H,)."""
        first = self._first[self.series_of[number]] + self.starts[number]
        return first + np.arange(self.shape.horizon)

    def _starts(
        self,
        number: int,
        one: Series,
        ranges: Sequence[tuple[int, int]] | None,
        stride: int,
        beyond: bool,
    ) -> NDArray[np.int64]:
        shape = self.shape
        if beyond:
            return np.array([len(one)] if len(one) >= shape.lookback else [], np.int64)
        first, last = (0, len(one)) if ranges is None else ranges[number]
        starts = np.arange(max(first, shape.lookback), last - shape.horizon + 1, stride, dtype=np.int64)
        if not len(starts):
            return starts
        # Windows in which nothing was seen, or nothing came, teach nothing and cannot be measured.
        seen = np.concatenate([[0], np.cumsum(~np.isnan(one.values))])
        has_past = seen[starts] > seen[starts - shape.lookback]
        return starts[has_past & (seen[starts + shape.horizon] > seen[starts])]
