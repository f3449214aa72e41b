"""The cells of a time column, as people write them: days, clocks, zones, months, quarters, weeks, numbers."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from throughtime.data.lines import shown
from throughtime.errors import DataError

# Weekdays are Monday to Friday: exchanges and offices have no others.
Unit = Literal["microseconds", "months", "weekdays", "number"]

EPOCH = datetime.datetime(1970, 1, 1)
_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?"
    r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?"
)
_CLOCK = r"(?:(?:T|,? )(\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?(?: ?([AaPp])\.?[Mm]\.?)?)?"
_DAY_OR_MONTH = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})" + _CLOCK)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "(jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec|january|february|march|april|june|july|august|"
    r"september|october|november|december)\.?"
)
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)([a-z]{3,6})?,? ", re.IGNORECASE)
_DAY_OF_NAMED = re.compile(rf"(\d{{1,2}})[- /]{_MONTH}[- /](\d{{4}}|\d\d){_CLOCK}", re.IGNORECASE)
_NAMED_DAY = re.compile(rf"{_MONTH} (\d{{1,2}}),? (\d{{4}}){_CLOCK}", re.IGNORECASE)
_NAMED = re.compile(rf"{_MONTH}[- ](\d{{4}}|\d\d)", re.IGNORECASE)
_YEAR_AND_NAMED = re.compile(rf"(\d{{4}})[- ]{_MONTH}", re.IGNORECASE)
_MONTH_OF_YEAR = re.compile(r"(\d{1,2})[-/](\d{4})")
# 2024년 2월 28일, 2024年2月28日, 2024. 2. 28.
_MARKED = re.compile(rf"(\d{{4}})[년年.] ?(\d{{1,2}})[월月.](?: ?(\d{{1,2}})[일日.]?)?{_CLOCK}")
_QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])|Q([1-4])[- /]?(\d{4})")
_NUMBERED_MONTH = re.compile(r"(\d{4})-?M(\d{1,2})")
_WEEK = re.compile(r"(\d{4})-?W(\d{1,2})")
# 20240228: as a number it would have a grid of days with 70 missing at the end of every month.
_EIGHT_DIGITS = re.compile(r"(19\d\d|20\d\d)(0[1-9]|1[0-2])([0-3]\d)")
# With a clock behind: 20240228130000, 20240228 13:00. Seconds since 1970 have ten digits, milliseconds 13.
_AND_A_CLOCK = re.compile(rf"{_EIGHT_DIGITS.pattern}(?: (\d\d):(\d\d)(?::(\d\d))?|(\d\d)(\d\d)(\d\d)?)")
# 202402: a number by itself, and a month where all times of a table are so.
_SIX_DIGITS = re.compile(r"(19\d\d|20\d\d)(0[1-9]|1[0-2])")
_FORMS = (
    _ISO, _DAY_OR_MONTH, _DAY_OF_NAMED, _NAMED_DAY, _NAMED, _YEAR_AND_NAMED, _MONTH_OF_YEAR, _MARKED,
    _QUARTER, _NUMBERED_MONTH, _WEEK, _AND_A_CLOCK,
)  # fmt: skip
# Seconds since 1970 have ten digits from 2001 on; what is counted by rows does not come so far.
_THIS_AGE = (1e15, 4e15)
# Two digits of a year, as strptime reads them.
_THIS_CENTURY = 69


class Time(NamedTuple):
    """A cell of a time column.

    Args:
        unit: of the time.
        value: in that unit.
        has_clock: it has hours and minutes.
        has_zone: it says in which zone.
    """

    unit: Unit
    value: float
    has_clock: bool = False
    has_zone: bool = False


def is_written_time(text: str) -> bool:
    """Whether a text that is no number is a time as `read_time` reads it, if such a date exists."""
    text = _WEEKDAY.sub("", text.strip(), count=1)
    if not text[:1].isdigit() and not text.lower().startswith((*_NAMES, "q")):
        return False  # most texts, which is quick to see
    return any(form.fullmatch(text) for form in _FORMS)


def is_eight_digits(text: str) -> bool:
    """Whether a number is a day, as 20240228."""
    return _EIGHT_DIGITS.fullmatch(text) is not None


def as_dates(times: Sequence[float]) -> list[Time] | None:
    """Numbers that are dates, where all of them are; else None.

    202402 is a month, and numbers of ten or 13 digits are seconds or milliseconds since 1970.
    """
    for unit in (1e6, 1e3):
        if all(_THIS_AGE[0] <= time * unit < _THIS_AGE[1] for time in times):
            return [Time("microseconds", time * unit, True, True) for time in times]
    months = [_SIX_DIGITS.fullmatch(str(time).removesuffix(".0")) for time in times]
    dates = [datetime.datetime(int(month[1]), int(month[2]), 1) for month in months if month is not None]
    return [Time("microseconds", _microseconds(date)) for date in dates] if len(dates) == len(times) else None


def day_first_of(times: Iterable[str]) -> bool | None:
    """Whether dates such as 02/03/2024 begin with the day, as those of them tell that have a number above 12.

    Returns:
        None where there are such dates, and none of them tells; False also where there are none.
    """
    found = [one for one in map(_DAY_OR_MONTH.fullmatch, times) if one is not None and one[2] != "."]
    if any(int(one[1]) > 12 for one in found):
        return True
    return None if found and all(int(one[3]) <= 12 for one in found) else False


def join_time(parts: Sequence[Any]) -> Any:
    """A time that stands in several cells as one: a day and a clock or an hour, or year, month, day, hour...

    Each may also be what a cell of a frame is. A clock may be written with points, as in 18.00.00.
    """
    if len(parts) == 1:
        return parts[0]
    cells = [_part(part) for part in parts]
    if "" in cells:
        raise DataError("a part of the time is missing")
    days = 1 if re.search(r"\D", cells[0]) else min(len(cells), 3)
    date = cells[0] if days == 1 else "-".join(_month(one) for one in cells[:days])
    clock = ":".join(cells[days:]).replace(".", ":")
    return f"{date} {clock if ':' in clock else f'{clock}:00'}" if clock else date


def _part(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        value = value.date()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None else str(value).strip()
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text


def _month(text: str) -> str:
    short = text[:3].lower()
    return str(_NAMES.index(short) + 1) if short in _NAMES else text


def read_time(value: Any, day_first: bool | None = None) -> Time:
    """Read a cell of a time column.

    Args:
        value: of the cell.
        day_first: whether 02/03/2024 is in March; None where that is not known.
    Raises:
        DataError: it is no time.
    """
    if isinstance(value, datetime.datetime):
        return Time("microseconds", _microseconds(value), True, value.tzinfo is not None)
    if isinstance(value, datetime.date):
        return Time("microseconds", _microseconds(datetime.datetime(value.year, value.month, value.day)))
    if isinstance(value, float) or (isinstance(value, int) and not _digits(str(value))):
        return _number(value)
    text = str(value).strip() if value is not None else ""
    if not text:
        raise DataError("the time is missing")
    text = _WEEKDAY.sub("", text, count=1) if _WEEKDAY.match(text) else _digits(text) or text
    found, zone, half = _ISO.fullmatch(text), None, None
    if found:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
    elif found := _DAY_OR_MONTH.fullmatch(text):
        day, mark, month, year, hour, minute, second, fraction, half = found.groups()
        if mark != "." and day_first is None:
            raise DataError(
                f"{shown(text)} may begin with the day or with the month: say --day-first or --no-day-first, "
                f"or write 2024-02-28"
            )
        if mark != "." and not day_first:
            day, month = month, day
    elif found := _DAY_OF_NAMED.fullmatch(text):
        day, month, year, hour, minute, second, fraction, half = found.groups()
    elif found := _NAMED_DAY.fullmatch(text):
        month, day, year, hour, minute, second, fraction, half = found.groups()
    elif found := _MARKED.fullmatch(text):
        year, month, day, hour, minute, second, fraction, half = found.groups()
    elif (named := _named_time(text)) is not None:
        year, month, day = named
        hour = minute = second = fraction = None
    else:
        try:
            return _number(float(text))
        except ValueError:
            raise DataError(f"{shown(text)} is no time that can be read: write 2024-02-28 13:00") from None
    try:
        if half is not None and not 1 <= int(hour or 0) <= 12:
            raise ValueError("there is no such hour")
        hours = int(hour or 0) % 12 + 12 * (half in "Pp") if half is not None else int(hour or 0)
        moment = datetime.datetime(
            _year(year), int(_month(month)), int(day or 1), hours, int(minute or 0), int(second or 0)
        ) + datetime.timedelta(seconds=float(fraction or 0))
        if zone and zone not in ("Z", "UTC"):
            sign = -1 if zone[0] == "-" else 1
            moment -= sign * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    except (ValueError, OverflowError):
        raise DataError(f"{shown(text)} is no time: there is no such date") from None
    return Time("microseconds", _microseconds(moment), hour is not None, zone is not None)


def _digits(text: str) -> str:
    """A day of eight digits, and its clock, as 2024-02-28 13:00; "" where these are no such digits."""
    if found := _EIGHT_DIGITS.fullmatch(text):
        return "-".join(found.groups())
    if found := _AND_A_CLOCK.fullmatch(text):
        year, month, day, *clock = found.groups()
        return f"{year}-{month}-{day} {':'.join(part for part in clock if part)}"
    return ""


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) > 2 else year + (2000 if year < _THIS_CENTURY else 1900)


def _named_time(text: str) -> tuple[str, str, str] | None:
    """Year, month and day of a quarter, a week, or a date that names its month; None where it is none."""
    if found := _QUARTER.fullmatch(text):
        year, quarter = found[1] or found[4], found[2] or found[3]
        return year, str(3 * int(quarter) - 2), "1"
    if found := _NUMBERED_MONTH.fullmatch(text):
        return found[1], found[2], "1"
    if found := _WEEK.fullmatch(text):
        try:
            monday = datetime.date.fromisocalendar(int(found[1]), int(found[2]), 1)
        except ValueError:
            raise DataError(f"{shown(text)} is no time: there is no such week") from None
        return f"{monday.year:04}", str(monday.month), str(monday.day)
    if (found := _NAMED.fullmatch(text)) or (found := _MONTH_OF_YEAR.fullmatch(text)):
        return found[2], found[1], "1"
    found = _YEAR_AND_NAMED.fullmatch(text)
    return (found[1], found[2], "1") if found else None


def _number(value: float) -> Time:
    # A whole number may have hundreds of digits, more than a float can have.
    if not abs(value) < 2**53:
        raise DataError(f"{shown(value)} is no time")
    return Time("number", float(value))


def _microseconds(moment: datetime.datetime) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return float((moment - EPOCH) // datetime.timedelta(microseconds=1))
