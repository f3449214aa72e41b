"""When the rows of a series are: times read, their step found, and the ones to come written."""

from __future__ import annotations

import calendar
import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from throughtime.data.joined import file_of_line, place_of
from throughtime.data.lines import shown
from throughtime.errors import DataError
from throughtime.tasks.forecaster.written_times import EPOCH, Unit

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
_NATURAL = {"1s": SECOND, "10s": 10 * SECOND, "1min": MINUTE, "5min": 5 * MINUTE, "10min": 10 * MINUTE}
_NATURAL |= {
    "15min": 15 * MINUTE,
    "30min": 30 * MINUTE,
    "1h": HOUR,
    "6h": 6 * HOUR,
    "day": DAY,
    "week": 7 * DAY,
}
# A weekend has to show before days without one are taken for weekdays.
_FEWEST_WEEKDAYS = 10
# Numbers that are no further from the grid than this are on it.
_ON_GRID = 1e-3
# In floating point 0.3 is a little less than three steps of 0.1.
_ROUNDING = 1e-9
# A double knows every whole number up to here: times, steps, and places of the grid.
FURTHEST = 1 << 53
# Differences of times are rounded to so many decimals, and are no smaller.
_DECIMALS = 6
_LEAST_STEP = 10.0**-_DECIMALS


@dataclass(frozen=True)
class Frequency:
    """The time between two rows.

    Args:
        unit: what `step` counts: microseconds, months, weekdays, or the numbers of the time column.
        step: above 0.
        origin: the time of place 0 of the grid, in `unit`.
        has_clock: whether times are written with hours and minutes.
        is_utc: whether they are written with their zone; those to come are written in UTC then.
    """

    unit: Unit
    step: Annotated[FiniteFloat, Field(ge=_LEAST_STEP, le=2 * FURTHEST)]
    origin: Annotated[FiniteFloat, Field(ge=-FURTHEST, le=FURTHEST)] = 0.0
    has_clock: bool = False
    is_utc: bool = False

    @property
    def season(self) -> int:
        """Steps after which such data usually repeats; 1 where nothing is usual."""
        if self.unit == "months":
            return max(1, round(12 / self.step)) if 12 % self.step == 0 else 1
        if self.unit == "number":
            return 1
        if self.unit == "weekdays":
            return 5
        if self.step < DAY:
            steps = DAY / self.step
            return round(steps) if steps == round(steps) and steps <= 1440 else 1
        return {1: 7, 7: 52}.get(round(self.step / DAY), 1)

    @property
    def name(self) -> str:
        """What it is called, as in "1 hour"."""
        if self.unit == "number":
            return f"{self.step:g}"
        if self.unit == "months":
            return _counted(self.step / 12, "year") if self.step % 12 == 0 else _counted(self.step, "month")
        if self.unit == "weekdays":
            return "1 weekday"
        for size, word in ((DAY * 7, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
            if self.step % size == 0:
                return _counted(self.step / size, word)
        return _counted(self.step / SECOND, "second")

    def place(self, time: float) -> float:
        """The place of a time on the grid; a whole number where it is on it."""
        return (time - self.origin) / self.step

    def write(self, place: int) -> str:
        """A place of the grid as a time, as a table has it."""
        value = self.origin + place * self.step
        if self.unit == "number":
            return f"{value:g}" if abs(value) < 1e6 or value % 1 else str(int(value))
        moment = self._moment(value)
        if self.unit == "months" or not self.has_clock:
            return moment.date().isoformat()
        written = moment.isoformat(
            sep=" ", timespec="auto" if moment.second or moment.microsecond else "minutes"
        )
        return f"{written}Z" if self.is_utc else written

    def calendar(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hour, weekday and month of places, as sines and cosines: (T, F), F from the frequency.

        Sines and cosines, so that 23 o'clock is near midnight and December near January.
        """
        names = self.calendar_names()
        if not names:
            return np.zeros((len(places), 0), np.float32)
        moments = [self._moment(self.origin + int(place) * self.step) for place in places]
        found: list[NDArray[np.float64]] = []
        for name in names:
            if name == "hour":
                part = np.array([(one.hour * 60 + one.minute) / 1440 for one in moments])
            elif name == "weekday":
                part = np.array([one.weekday() / 7 for one in moments])
            else:
                part = np.array([(one.timetuple().tm_yday - 1) / 366 for one in moments])
            found += [np.sin(2 * np.pi * part), np.cos(2 * np.pi * part)]
        return np.stack(found, 1).astype(np.float32)

    def calendar_names(self) -> list[str]:
        """What `calendar` tells, two numbers each."""
        if self.unit == "number":
            return []
        if self.unit == "months":
            return ["month"] if self.step < 12 else []
        if self.unit == "weekdays":
            return ["weekday", "month"]
        names = ["hour"] if self.step < DAY else []
        return [*names, *(["weekday"] if self.step < 7 * DAY else []), "month"]

    def _moment(self, value: float) -> datetime.datetime:
        try:
            if self.unit == "months":
                months = round(value)
                return datetime.datetime(months // 12, months % 12 + 1, 1)
            if self.unit == "weekdays":
                value = float(np.busday_offset(EPOCH.date(), round(value)).astype(np.int64)) * DAY
            return EPOCH + datetime.timedelta(microseconds=round(value))
        except (OverflowError, ValueError):
            raise DataError("the forecast reaches beyond the year 9999") from None


def _counted(count: float, word: str) -> str:
    return f"{count:g} {word}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Moments:
    """The times of the rows of one series, in order.

    Args:
        unit: of the times.
        times: (T,) float64.
        lines: (T,) of the file, for errors.
        has_clock: whether they are written with hours and minutes.
        path: the file.
        series: its name where a table holds several below each other, for errors.
        has_zone: whether they are written with their zone.
    """

    unit: Unit
    times: NDArray[np.float64]
    lines: Sequence[int]
    has_clock: bool
    path: str
    series: str = ""
    has_zone: bool = False

    def check_order(self) -> None:
        """Raise DataError where a row is not later than the one before it (the message names both lines)."""
        wrong = np.flatnonzero(np.diff(self.times) <= 0)
        if not len(wrong):
            return
        row = int(wrong[0]) + 1
        of = f" of {shown(self.series)}" if self.series else ""
        if self.series and len(np.unique(self.times)) * 2 <= len(self.times):
            raise DataError(
                f"{self._place(row)}: the times{of} come again and again: name every column that tells "
                f"series apart, as in --series-column store,item, or join the rows of each step (--every day)"
            )
        if self.times[row] == self.times[row - 1]:
            more = "" if self.series else "; if the table holds several series below each other, name their "
            more += "" if self.series else "column (--series-column) and that of the values (--value-column)"
            raise DataError(
                f"{self._place(row)}: the time{of} is that of {self._above(row)}: "
                f"keep one row for each time, or join those of each step (train --every day){more}"
            )
        raise DataError(
            f"{self._place(row)}: the time{of} is before that of {self._above(row)}: sort the rows by time"
        )

    def places(self, frequency: Frequency, within: bool = False) -> NDArray[np.int64]:
        """The places of the rows on the grid of a frequency, (T,).

        Args:
            within: a row may lie between two steps, and belongs to the one that has begun.
        Raises:
            DataError: one is off the grid (the message names its line).
        """
        if self.unit != ("number" if frequency.unit == "number" else "microseconds"):
            raise DataError(f"{self._place(0)}: the times are not written as in the training data")
        times = self.times
        if frequency.unit == "months":
            times = _months(times)
        elif frequency.unit == "weekdays":
            weekend = np.flatnonzero(_on_weekend(times) | (times % DAY != 0))
            if len(weekend):
                raise DataError(
                    f"{self._place(int(weekend[0]))}: the training data has Mondays to Fridays only, and "
                    f"this row is of another day or has a clock"
                )
            times = _weekdays(times)
        exact = (times - frequency.origin) / frequency.step
        far = np.flatnonzero(~(np.abs(exact) < FURTHEST))
        if len(far):
            raise DataError(
                f"{self._place(int(far[0]))}: the time is too many steps of {frequency.name} from the first "
                f"one to be counted: is it right?"
            )
        if within:
            return np.floor(exact + _ROUNDING).astype(np.int64)
        places = np.round(exact)
        off = np.flatnonzero(~(np.abs(exact - places) <= _ON_GRID))
        if len(off):
            row = int(off[0])
            raise DataError(
                f"{self._place(row)}: the rows are {frequency.name} apart, and this one is between two such "
                f"steps: train with --every {self._natural_step()}, which takes the mean of each step "
                f"(--aggregate), or bring the data to regular steps first"
            )
        return places.astype(np.int64)

    def _natural_step(self) -> str:
        """A round step that most of the rows are not further apart than, as --every takes it."""
        apart = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        if self.unit == "number":
            return f"{apart:.{_DECIMALS}f}".rstrip("0").rstrip(".")  # not as 1e+06
        return next((name for name, size in _NATURAL.items() if apart <= size), "month")

    def _place(self, row: int) -> str:
        return place_of(self.path, self.lines[row])

    def _above(self, row: int) -> str:
        """The row before another one; its file is named where it is another."""
        line = self.lines[row - 1]
        same = file_of_line(self.path, line) == file_of_line(self.path, self.lines[row])
        return f"line {line}" if same else place_of(self.path, line)


def find_frequency(series: Sequence[Moments]) -> Frequency:
    """The step between the rows of all series: the commonest one.

    Raises:
        DataError: there are fewer than two rows in every series.
    """
    counted: Counter[float] = Counter()
    for one in series:
        counted.update(np.round(np.diff(one.times), _DECIMALS).tolist())
    first = series[0]
    if not counted:
        raise DataError(f"{first.path}: a series has to have two rows at least")
    if _commonest(counted) < _LEAST_STEP:
        raise DataError(
            f"{first.path}: the times are less than {_LEAST_STEP:.{_DECIMALS}f} apart: write them in a "
            f"smaller unit"
        )
    origin = min(float(one.times[0]) for one in series if len(one.times))
    # Frames hold days as midnights.
    clock = any(one.has_clock and bool((one.times % DAY).any()) for one in series)
    if first.unit == "number":
        return Frequency("number", _commonest(counted), origin)
    days = {difference / DAY for difference, _ in counted.most_common(8)}
    if days <= {28, 29, 30, 31, 59, 60, 61, 62, 89, 90, 91, 92, 181, 182, 183, 184, 365, 366} and not clock:
        months: Counter[float] = Counter()
        same_day = True
        for one in series:
            months.update(np.diff(_months(one.times)).tolist())
            dates = [_date_of(time) for time in one.times[:40]]
            same_day &= len({date.day for date in dates}) == 1 or all(map(_is_last_day, dates))
        if same_day and min(months) > 0:
            origin = min(float(_months(one.times[:1])[0]) for one in series if len(one.times))
            return Frequency("months", _commonest(months), origin)
    step = _commonest(counted)
    if step == DAY and not clock and _are_weekdays([one.times for one in series]):
        return Frequency("weekdays", 1.0, float(_weekdays(np.array([origin]))[0]))
    return Frequency("microseconds", step, origin, clock, any(one.has_zone for one in series))


def _are_weekdays(series: Sequence[NDArray[np.float64]]) -> bool:
    """Whether weekends are what is missing from days."""
    times = np.concatenate(series)
    weekends = sum(int((np.diff(one) == 3 * DAY).sum()) for one in series)
    return len(times) >= _FEWEST_WEEKDAYS and weekends > 0 and not _on_weekend(times).any()


def _days(times: NDArray[np.float64]) -> NDArray[np.datetime64]:
    return np.floor(times / DAY).astype(np.int64).astype("datetime64[D]")


def _on_weekend(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    return ~np.is_busday(_days(times))


def _weekdays(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Microseconds as weekdays since the first of January 1970, a Thursday."""
    return np.busday_count(EPOCH.date(), _days(times)).astype(np.float64)


def _commonest(counted: Counter[float]) -> float:
    most = max(counted.values())
    return min(step for step, count in counted.items() if count == most)


def _months(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Microseconds as months since the year 0."""
    dates = map(_date_of, times)
    return np.array([one.year * 12 + one.month - 1 for one in dates], np.float64)


def _date_of(time: float) -> datetime.date:
    try:
        return (EPOCH + datetime.timedelta(microseconds=float(time))).date()
    except OverflowError:  # the last microseconds of the year 9999, which a float rounds up
        return datetime.date.max


def _is_last_day(date: datetime.date) -> bool:
    return date.day == calendar.monthrange(date.year, date.month)[1]
