"""Which values of a series were not to be expected: each beside what was said of it one step ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from throughtime.errors import DataError
from throughtime.tasks.forecaster.prediction import Forecasting
from throughtime.tasks.forecaster.series import Series
from throughtime.tasks.forecaster.times import Frequency
from throughtime.tasks.forecaster.windows import Windows

_BATCH = 256


@dataclass(frozen=True)
class Oddity:
    """One value and how unexpected it was.

    Args:
        series: its name.
        time: as the table writes it.
        value: what came.
        expected: what was said of it one step ahead.
        score: see `Distribution.surprise`; higher is odder.
    """

    series: str
    time: str
    value: float
    expected: float
    score: float


def odd_rows(
    forecasting: Forecasting, series: Sequence[Series], windows: Windows, frequency: Frequency
) -> list[Oddity]:
    """The score of every value that has a window before it, in the order of the rows.

    Raises:
        DataError: no value has enough rows before it.
    """
    if not len(windows):
        raise DataError(
            f"the table has no value with {windows.shape.lookback} rows before it: a score needs that many"
        )
    found: list[Oddity] = []
    for start in range(0, len(windows), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(windows)))
        batch = windows.batch(numbers)
        said = forecasting.next_step(batch)
        truth = batch.shift + batch.scale * batch.target[:, 0].astype(np.float64)
        expected, scores = said.point()[:, 0], said.surprise(truth[:, None])[:, 0]
        for row, number in enumerate(numbers):
            if not batch.counted[row, 0]:
                continue
            found.append(
                Oddity(
                    series[int(windows.series_of[number])].name,
                    frequency.write(int(windows.places(int(number))[0])),
                    float(f"{truth[row]:.7g}"),
                    float(f"{expected[row]:.7g}"),
                    float(scores[row]),
                )
            )
    return found
