"""Times are read as people write them, their step is found, and what does not fit is named by its line."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

from throughtime.errors import DataError
from throughtime.tasks.forecaster.times import Frequency, Moments, find_frequency
from throughtime.tasks.forecaster.written_times import day_first_of, read_time

DAY = 86_400_000_000


def moments(*times: Any) -> Moments:
    found = [read_time(time) for time in times]
    clock = any(one[2] for one in found)
    zone = any(one.has_zone for one in found)
    values = np.array([one.value for one in found])
    return Moments(found[0].unit, values, range(2, 2 + len(times)), clock, "a.csv", has_zone=zone)


@pytest.mark.parametrize(
    "written",
    [
        "2024-02-28 13:00",
        "2024-02-28T13:00:00",
        "2024/02/28 13:00",
        "28.02.2024 13:00",
        "2024-02-28 14:00+01:00",
        "20240228130000",
        "202402281300",
        "20240228 13:00",
        "28 Feb 2024 13:00",
        "Wed, February 28, 2024 1:00 PM",
        "2024년 2월 28일 13:00",
    ],
)
def test_the_same_moment_in_many_hands(written: str) -> None:
    assert read_time(written)[1] == read_time("2024-02-28T13:00Z")[1]


@pytest.mark.parametrize(
    ("written", "day_first"),
    [
        ("05/03/2024", True),
        ("3/5/24", False),
        ("5-3-2024", True),
        ("05.03.24", None),
        ("05-Mar-2024", None),
        ("Mar 05, 2024", None),
        ("March 5, 2024", None),
        ("Tuesday, 5 March 2024", None),
        ("05/Mar/2024", None),
        ("2024. 3. 5.", None),
        ("2024年3月5日", None),
        ("3/5/2024 12:00 AM", False),
    ],
)
def test_the_same_day_in_many_hands(written: str, day_first: bool | None) -> None:
    assert read_time(written, day_first).value == read_time("2024-03-05").value


def test_a_day_above_twelve_tells_the_order_of_all() -> None:
    assert day_first_of(["01/02/2024", "13/02/2024"]) is True
    assert day_first_of(["01/02/2024", "02/13/2024"]) is False
    assert day_first_of(["01/02/2024", "02/03/2024"]) is None


def test_weekdays_go_on_after_the_weekend() -> None:
    rows = moments(*(f"2024-01-{day:02}" for day in range(1, 13) if day % 7 not in (6, 0)))
    days = find_frequency([rows])
    assert [days.write(place) for place in (4, 5, 10)] == ["2024-01-05", "2024-01-08", "2024-01-15"]
    np.testing.assert_allclose(days.calendar(np.array([5]))[0, :2], [0, 1], atol=1e-6)
    with pytest.raises(DataError, match="line 2: the training data has Mondays to Fridays only"):
        moments("2024-01-13").places(days)


def test_eight_digits_are_a_day() -> None:
    assert read_time(20240228) == read_time("20240228") == read_time("2024-02-28")
    assert read_time(20249999)[0] == "number"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("02/03/2024", "may begin with the day or with the month: say --day-first"),
        ("2024-W54", "no such week"),
        ("3.1.2024 13:00 PM", "no such date"),
        ("2024-02-30", "no such date"),
        ("soon", "no time that can be read"),
        ("", "missing"),
        (None, "missing"),
        ("1e99", "no time"),
    ],
)
def test_what_is_no_time_is_said(written: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_time(written)


@pytest.mark.parametrize(
    ("times", "name", "season"),
    [
        (["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00"], "1 hour", 24),
        (["2024-01-01 00:00", "2024-01-01 00:15", "2024-01-01 00:30"], "15 minutes", 96),
        (["2024-01-01", "2024-01-02", "2024-01-04"], "1 day", 7),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "1 week", 52),
        (["2024-01-01", "2024-02-01", "2024-03-01"], "1 month", 12),
        (["2024-01-31", "2024-02-29", "2024-03-31"], "1 month", 12),
        (["2024-01", "2024-04", "2024-07"], "3 months", 4),
        (["2020-01-01", "2021-01-01", "2022-01-01"], "1 year", 1),
        (["2023Q4", "2024Q1", "2024Q2"], "3 months", 4),
        (["2020-W53", "2021-W01", "2021-W02"], "1 week", 52),
        (["Dec-23", "Jan-24", "Feb-24"], "1 month", 12),
        (["2023 DEC", "2024 JAN", "2024 FEB"], "1 month", 12),
        (["December 2023", "January 2024", "February 2024"], "1 month", 12),
        (["12/2023", "01/2024", "02/2024"], "1 month", 12),
        ([f"2024-01-{day:02}" for day in range(1, 20) if day % 7 not in (6, 0)], "1 weekday", 5),
        ([0.1, 0.2, 0.3], "0.1", 1),
    ],
)
def test_the_step_and_the_season_are_found(times: list[Any], name: str, season: int) -> None:
    found = find_frequency([moments(*times)])
    assert (found.name, found.season) == (name, season)
    assert moments(*times).places(found)[:2].tolist() == [0, 1]


def test_times_to_come_are_written_as_the_table_has_them() -> None:
    months = find_frequency([moments("2024-11", "2024-12", "2025-01")])
    assert [months.write(place) for place in (2, 3, 14)] == ["2025-01-01", "2025-02-01", "2026-01-01"]
    hour = find_frequency([moments("2024-02-28 22:00", "2024-02-28 23:00")])
    assert hour.write(26) == "2024-03-01 00:00"
    frame = find_frequency([moments(*(datetime.datetime(2024, 1, day) for day in (1, 2, 3)))])
    assert frame.write(0) == "2024-01-01"
    with_zone = find_frequency([moments("2024-02-28 22:00+02:00", "2024-02-28 23:00+02:00")])
    assert with_zone.write(0) == "2024-02-28 20:00Z"
    with pytest.raises(DataError, match="beyond the year 9999"):
        hour.write(10**9)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-01-01", "2024-01-03", "2024-01-02"], "a.csv line 4: the time is before that of line 3: sort"),
        (
            ["2024-01-01", "2024-01-01", "2024-01-02"],
            "a.csv line 3: the time is that of line 2.*--series-column",
        ),
    ],
)
def test_rows_out_of_order_are_named(times: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        moments(*times).check_order()


def test_a_row_between_two_steps_is_named() -> None:
    rows = moments("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 02:37")
    with pytest.raises(DataError, match=r"a.csv line 5: the rows are 1 hour apart.*between two such steps"):
        rows.places(find_frequency([rows]))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 1e-9, 2e-9], "a.csv: the times are less than 0.000001 apart: write them in a smaller unit"),
        ([0, 1e-6, 2e-6, 9e15], "a.csv line 5: the time is too many steps of 1e-06 from the first one"),
    ],
)
def test_steps_that_cannot_be_counted_are_refused(times: list[float], message: str) -> None:
    rows = moments(*times)
    with pytest.raises(DataError, match=message):
        rows.places(find_frequency([rows]))


def test_the_end_of_the_last_year_is_a_day() -> None:
    months = moments("9999-08-31", "9999-09-30", "9999-10-31", "9999-11-30", "9999-12-31")
    assert find_frequency([months]).name == "1 month"
    last = moments("9999-12-31 23:59:59.999999")
    assert last.places(Frequency("months", 1.0)).tolist() == [9999 * 12 + 11]


def test_the_calendar_turns_with_the_day_and_the_year() -> None:
    hour = Frequency("microseconds", DAY / 24, 0.0, True)
    found = hour.calendar(np.array([0, 24, 24 * 7, 6]))
    assert hour.calendar_names() == ["hour", "weekday", "month"]
    np.testing.assert_allclose(found[0, :2], found[1, :2], atol=1e-6)
    np.testing.assert_allclose(found[0, :4], found[2, :4], atol=1e-6)
    np.testing.assert_allclose(found[3, :2], [1, 0], atol=1e-6)


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**53, float("inf"), float("nan")])
def test_a_number_that_a_grid_cannot_count_is_no_time(value: float) -> None:
    with pytest.raises(DataError, match="is no time"):
        read_time(value)
