"""Rows at any times, brought to regular steps: what `--every` and `--aggregate` say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from throughtime.data.lines import shown
from throughtime.errors import OptionError
from throughtime.tasks.forecaster.times import DAY, HOUR, MINUTE, SECOND, Frequency
from throughtime.tasks.forecaster.written_times import Unit

if TYPE_CHECKING:
    from throughtime.tasks.forecaster.options import Aggregate, SeriesData

_WRITTEN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)?\s*([a-z]*)")
EXAMPLES = "such as 10min, 1h, day, 2weeks or month"
_SIZES = {"s": SECOND, "second": SECOND, "min": MINUTE, "minute": MINUTE, "h": HOUR, "hour": HOUR}
_SIZES |= {"d": DAY, "day": DAY, "w": 7 * DAY, "week": 7 * DAY}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
# The first Monday after the first of January 1970: weeks begin there.
_MONDAY = 4 * DAY


@dataclass(frozen=True)
class Steps:
    """Regular steps that the rows of a table are brought to.

    Args:
        every: the length of a step as users write it: "10min", "1h", "day", "2 weeks", "month"; a number,
            such as "3600", where the times are numbers.
        aggregate: what the value of a step is made of.
    """

    every: str
    aggregate: Aggregate

    @classmethod
    def of(cls, data: SeriesData) -> Steps | None:
        """Those of a run's options; None where rows are at regular times already."""
        return None if data.every is None else cls(data.every, data.aggregate)

    @property
    def empty_is_zero(self) -> bool:
        """Whether nothing happened in a step without rows; else its value is missing."""
        return self.aggregate in ("sum", "count")

    def frequency(self, unit: Unit, has_zone: bool) -> Frequency:
        """The grid: hours begin on the hour, days at midnight, weeks on Monday, quarters in January.

        Args:
            unit: of the times.
            has_zone: whether they are written with their zone.
        Raises:
            OptionError: the step is not one of such times, or none at all.
        """
        found = parse_step(self.every)
        if found is None or (found.unit == "number") != (unit == "number"):
            wanted = "a number, as the times are" if unit == "number" else f"a time, {EXAMPLES}"
            raise OptionError(f"--every has to be {wanted}, not {shown(self.every)}")
        return replace(found, is_utc=has_zone and found.unit == "microseconds")

    def join(
        self, places: NDArray[np.int64], rows: NDArray[np.float64], targets: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """One row for each step that has rows.

        Args:
            places: (T,), rising; the step of each row.
            rows: (T, W); NaN where there is no value.
            targets: the first columns, which are aggregated; of the others a step has the last value.
        Returns:
            (S,) and (S, W). A step whose rows have no value has none.
        """
        starts = np.flatnonzero(np.concatenate([[True], np.diff(places) > 0]))
        there = ~np.isnan(rows)
        last = np.maximum.reduceat(np.where(there, np.arange(len(rows))[:, None], -1), starts)
        found = np.where(last < 0, np.nan, np.take_along_axis(rows, np.maximum(last, 0), 0))
        if self.aggregate != "last":
            values, present = rows[:, :targets], there[:, :targets]
            counts = np.add.reduceat(present, starts, dtype=np.int64)
            found[:, :targets] = np.where(
                counts > 0, self._aggregated(values, present, starts, counts), np.nan
            )
        return places[starts], found

    def _aggregated(
        self,
        values: NDArray[np.float64],
        present: NDArray[np.bool_],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        if self.aggregate == "count":
            return counts.astype(np.float64)
        if self.aggregate == "min":
            return np.minimum.reduceat(np.where(present, values, np.inf), starts)
        if self.aggregate == "max":
            return np.maximum.reduceat(np.where(present, values, -np.inf), starts)
        sums = np.add.reduceat(np.where(present, values, 0.0), starts)
        return sums / np.maximum(counts, 1) if self.aggregate == "mean" else sums


def parse_step(every: str) -> Frequency | None:
    """The grid of a step as users write it; None where it cannot be read."""
    found = _WRITTEN.fullmatch(every.strip().lower())
    if found is None or not float(found[1] or 1):
        return None
    count, word = float(found[1] or 1), found[2]
    word = word if word in _SIZES else word.removesuffix("s")
    if word in _SIZES:
        step = count * _SIZES[word]
        if step != round(step):
            return None
        return Frequency("microseconds", step, _MONDAY * (step % (7 * DAY) == 0), step % DAY != 0)
    if word in _MONTHS and count == round(count):
        return Frequency("months", count * _MONTHS[word])
    return Frequency("number", count) if not word and found[1] else None
