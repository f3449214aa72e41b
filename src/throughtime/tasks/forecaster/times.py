"""When the rows of a series are: times read, their step found, and the ones to come written."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from throughtime.data.joined import file_of_line, place_of
from throughtime.data.lines import shown
from throughtime.errors import DataError

Unit = Literal["microseconds", "months", "number"]

_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86400 * _SECOND
_EPOCH = datetime.datetime(1970, 1, 1)
_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?"
    r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?"
)
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?")
_SLASHES = re.compile(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}.*")
# 20240228: as a number it would have a grid of days with 70 missing at the end of every month.
_EIGHT_DIGITS = re.compile(r"(19\d\d|20\d\d)(0[1-9]|1[0-2])([0-3]\d)")
# Numbers that are no further from the grid than this are on it.
_ON_GRID = 1e-3


@dataclass(frozen=True)
class Frequency:
    """The time between two rows.

    Args:
        unit: what `step` counts: microseconds, months, or the numbers of the time column.
        step: above 0.
        origin: the time of place 0 of the grid, in `unit`.
        has_clock: whether times are written with hours and minutes.
    """

    unit: Unit
    step: FiniteFloat
    origin: FiniteFloat = 0.0
    has_clock: bool = False

    @property
    def season(self) -> int:
        """Steps after which such data usually repeats; 1 where nothing is usual."""
        if self.unit == "months":
            return max(1, round(12 / self.step)) if 12 % self.step == 0 else 1
        if self.unit == "number":
            return 1
        if self.step < _DAY:
            steps = _DAY / self.step
            return round(steps) if steps == round(steps) and steps <= 1440 else 1
        return {1: 7, 7: 52}.get(round(self.step / _DAY), 1)

    @property
    def name(self) -> str:
        """What it is called, as in "1 hour"."""
        if self.unit == "number":
            return f"{self.step:g}"
        if self.unit == "months":
            return _counted(self.step / 12, "year") if self.step % 12 == 0 else _counted(self.step, "month")
        for size, word in ((_DAY * 7, "week"), (_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
            if self.step % size == 0:
                return _counted(self.step / size, word)
        return _counted(self.step / _SECOND, "second")

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
        return moment.isoformat(
            sep=" ", timespec="auto" if moment.second or moment.microsecond else "minutes"
        )

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
        names = ["hour"] if self.step < _DAY else []
        return [*names, *(["weekday"] if self.step < 7 * _DAY else []), "month"]

    def _moment(self, value: float) -> datetime.datetime:
        try:
            if self.unit == "months":
                months = round(value)
                return datetime.datetime(months // 12, months % 12 + 1, 1)
            return _EPOCH + datetime.timedelta(microseconds=round(value))
        except (OverflowError, ValueError):
            raise DataError("the forecast reaches beyond the year 9999") from None


def _counted(count: float, word: str) -> str:
    return f"{count:g} {word}{'' if count == 1 else 's'}"


def read_time(value: Any) -> tuple[Unit, float, bool]:
    """A cell of a time column: its unit, the time in it, and whether it has a clock.

    Raises:
        DataError: it is no time.
    """
    if isinstance(value, datetime.datetime):
        return "microseconds", _microseconds(value), True
    if isinstance(value, datetime.date):
        return "microseconds", _microseconds(datetime.datetime(value.year, value.month, value.day)), False
    if isinstance(value, float) or (isinstance(value, int) and not _EIGHT_DIGITS.fullmatch(str(value))):
        return _number(value)
    text = str(value).strip() if value is not None else ""
    if not text:
        raise DataError("the time is missing")
    found = _ISO.fullmatch(text)
    if found:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
    elif found := _DAY_FIRST.fullmatch(text):
        day, month, year, hour, minute, second, fraction = found.groups()
        zone = None
    elif _SLASHES.fullmatch(text):
        raise DataError(f"{shown(text)} may begin with the day or with the month: write 2024-02-28")
    else:
        found = _EIGHT_DIGITS.fullmatch(text)
        if found:
            year, month, day = found.groups()
            return read_time(f"{year}-{month}-{day}")
        try:
            return _number(float(text))
        except ValueError:
            raise DataError(f"{shown(text)} is no time that can be read: write 2024-02-28 13:00") from None
    try:
        moment = datetime.datetime(
            int(year), int(month), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0)
        ) + datetime.timedelta(seconds=float(fraction or 0))
        if zone and zone not in ("Z", "UTC"):
            sign = -1 if zone[0] == "-" else 1
            moment -= sign * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    except (ValueError, OverflowError):
        raise DataError(f"{shown(text)} is no time: there is no such date") from None
    return "microseconds", _microseconds(moment), hour is not None


def _number(value: float) -> tuple[Unit, float, bool]:
    # A whole number may have hundreds of digits, more than a float can have.
    if not abs(value) < 2**53:
        raise DataError(f"{shown(value)} is no time")
    return "number", float(value), False


def _microseconds(moment: datetime.datetime) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return float((moment - _EPOCH) // datetime.timedelta(microseconds=1))


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
    """

    unit: Unit
    times: NDArray[np.float64]
    lines: Sequence[int]
    has_clock: bool
    path: str
    series: str = ""

    def check_order(self) -> None:
        """Raise DataError where a row is not later than the one before it (the message names both lines)."""
        wrong = np.flatnonzero(np.diff(self.times) <= 0)
        if not len(wrong):
            return
        row = int(wrong[0]) + 1
        of = f" of {shown(self.series)}" if self.series else ""
        if self.times[row] == self.times[row - 1]:
            more = "" if self.series else "; if the table holds several series below each other, name their "
            more += "" if self.series else "column (--series-column) and that of the values (--value-column)"
            raise DataError(
                f"{self._place(row)}: the time{of} is that of {self._above(row)}: "
                f"keep one row for each time{more}"
            )
        raise DataError(
            f"{self._place(row)}: the time{of} is before that of {self._above(row)}: sort the rows by time"
        )

    def places(self, frequency: Frequency) -> NDArray[np.int64]:
        """The places of the rows on the grid of a frequency, (T,).

        Raises:
            DataError: one is off the grid (the message names its line).
        """
        if self.unit != ("microseconds" if frequency.unit == "months" else frequency.unit):
            raise DataError(f"{self._place(0)}: the times are not written as in the training data")
        times = self.times
        if frequency.unit == "months":
            times = _months(times)
        exact = (times - frequency.origin) / frequency.step
        places = np.round(exact)
        off = np.flatnonzero(~(np.abs(exact - places) <= _ON_GRID))
        if len(off):
            row = int(off[0])
            raise DataError(
                f"{self._place(row)}: the rows are {frequency.name} apart, and this one is "
                f"between two such steps: bring the data to regular steps first (mean or last value of each)"
            )
        return places.astype(np.int64)

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
        counted.update(np.round(np.diff(one.times), 6).tolist())
    first = series[0]
    if not counted:
        raise DataError(f"{first.path}: a series has to have two rows at least")
    origin = min(float(one.times[0]) for one in series if len(one.times))
    clock = any(one.has_clock for one in series)
    if first.unit == "number":
        return Frequency("number", _commonest(counted), origin)
    days = {difference / _DAY for difference, _ in counted.most_common(8)}
    if days <= {28, 29, 30, 31, 59, 60, 61, 62, 89, 90, 91, 92, 181, 182, 183, 184, 365, 366} and not clock:
        months: Counter[float] = Counter()
        same_day = True
        for one in series:
            months.update(np.diff(_months(one.times)).tolist())
            same_day &= len(
                {(_EPOCH + datetime.timedelta(microseconds=t)).day for t in one.times[:40]}
            ) == 1 or all(_is_last_day(t) for t in one.times[:40])
        if same_day and min(months) > 0:
            origin = min(float(_months(one.times[:1])[0]) for one in series if len(one.times))
            return Frequency("months", _commonest(months), origin)
    return Frequency("microseconds", _commonest(counted), origin, clock)


def _commonest(counted: Counter[float]) -> float:
    most = max(counted.values())
    return min(step for step, count in counted.items() if count == most)


def _months(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Microseconds as months since the year 0."""
    moments = [_EPOCH + datetime.timedelta(microseconds=float(time)) for time in times]
    return np.array([one.year * 12 + one.month - 1 for one in moments], np.float64)


def _is_last_day(time: float) -> bool:
    moment = _EPOCH + datetime.timedelta(microseconds=time)
    return (moment + datetime.timedelta(days=1)).day == 1
