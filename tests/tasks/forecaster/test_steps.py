"""Rows at any times become regular steps, each with the value that --aggregate says."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tasks.forecaster.tables import write
from throughtime.data.tables import USUAL
from throughtime.errors import DataError, OptionError
from throughtime.tasks.forecaster.options import Aggregate
from throughtime.tasks.forecaster.run import ForecasterRun
from throughtime.tasks.forecaster.series import Roles, read_series, with_names
from throughtime.tasks.forecaster.steps import Steps, parse_step
from throughtime.training import train

PLAIN: dict[Aggregate, Callable[[list[float]], float]] = {
    "mean": statistics.fmean,
    "sum": sum,
    "last": lambda values: values[-1],
    "min": min,
    "max": max,
    "count": len,
}


def random_moments(count: int, seed: int) -> list[datetime.datetime]:
    """Times as of orders: now many in an hour, now none."""
    seconds = np.cumsum(np.random.default_rng(seed).exponential(3000, count)).astype(int)
    return [datetime.datetime(2024, 2, 27, 22) + datetime.timedelta(seconds=int(one)) for one in seconds]


@pytest.mark.parametrize("aggregate", PLAIN)
@pytest.mark.parametrize("turned", [False, True])
def test_each_step_has_the_value_of_its_rows(tmp_path: Path, aggregate: Aggregate, turned: bool) -> None:
    moments, generator = random_moments(300, 1), np.random.default_rng(2)
    values = [round(float(one), 3) if generator.random() > 0.1 else "" for one in generator.normal(5, 3, 300)]
    rows = list(zip(moments, values, strict=True))
    path = write(tmp_path / "a.csv", ("time", "a"), *(rows[::-1] if turned else rows))
    table = read_series(path, Roles("time", ["a"]), USUAL, steps=Steps("hour", aggregate))

    begin = moments[0].replace(minute=0, second=0)
    expected: list[float] = []
    for hour in range(int((moments[-1] - begin) / datetime.timedelta(hours=1)) + 1):
        inside = [v for t, v in rows if int((t - begin) / datetime.timedelta(hours=1)) == hour]
        there = [v for v in inside if v != ""]
        nothing = 0.0 if aggregate in ("sum", "count") and not inside else np.nan
        expected.append(PLAIN[aggregate](there) if there else nothing)
    np.testing.assert_allclose(table.series[0].values, expected, rtol=1e-12)
    assert (
        table.frequency.name == "1 hour"
        and table.frequency.write(table.series[0].first) == f"{begin:%Y-%m-%d %H:%M}"
    )
    assert (
        f"300 rows joined into {len({(t - begin) // datetime.timedelta(hours=1) for t in moments})}"
        in table.joined
    )
    assert ("missing" in table.remarks()) == (aggregate not in ("sum", "count"))


@pytest.mark.parametrize(
    ("every", "times", "expected"),
    [
        ("week", ["2024-02-28", "2024-03-03 23:59", "2024-03-04"], {"2024-02-26": 2, "2024-03-04": 1}),
        ("month", ["2024-01-31", "2024-02-01 10:00", "2024-02-29"], {"2024-01-01": 1, "2024-02-01": 2}),
        ("quarter", ["2024-03-31", "2024-04-01", "2024-06-30"], {"2024-01-01": 1, "2024-04-01": 2}),
        (
            "2 days",
            ["2024-01-01", "2024-01-02", "2024-01-04"],
            {"2023-12-31": 1, "2024-01-02": 1, "2024-01-04": 1},
        ),
        (
            "10 MIN",
            ["2024-01-01 00:09:59", "2024-01-01 00:10"],
            {"2024-01-01 00:00": 1, "2024-01-01 00:10": 1},
        ),
        ("60", [100019, 100020, 100079.5], {"99960": 1, "100020": 2}),
        ("minute", [1700000039, 1700000040, 1700000099.5], {"2023-11-14 22:13Z": 1, "2023-11-14 22:14Z": 2}),
        ("0.1", [0.3, 0.35, 0.4], {"0.3": 2, "0.4": 1}),
    ],
)
def test_steps_begin_where_people_would_let_them(
    tmp_path: Path, every: str, times: list[Any], expected: dict[str, int]
) -> None:
    path = write(tmp_path / "a.csv", ("time", "a"), *((time, 1) for time in times))
    table = read_series(path, Roles("time", ["a"]), USUAL, steps=Steps(every, "count"))
    one = table.series[0]
    found = {table.frequency.write(one.first + n): v for n, v in enumerate(one.values) if v}
    assert found == expected


@pytest.mark.parametrize(
    "every", ["", "0", "0h", "fortnight", "-1h", "1.5 months", "1e3", "h1", "0.0000001s"]
)
def test_what_is_no_step_is_refused(every: str) -> None:
    assert parse_step(every) is None
    with pytest.raises(OptionError, match="--every has to be"):
        Steps(every, "mean").frequency("microseconds", False)


def test_numbers_and_times_have_steps_of_their_own() -> None:
    with pytest.raises(OptionError, match="has to be a number, as the times are, not 'day'"):
        Steps("day", "mean").frequency("number", False)
    with pytest.raises(OptionError, match="has to be a time, such as"):
        Steps("5", "mean").frequency("microseconds", False)


def test_columns_beside_the_targets_have_the_last_of_a_step(tmp_path: Path) -> None:
    rows = [("2024-01-01 08:00", 1, 5, "sale"), ("2024-01-01 09:00", 2, "", ""), ("2024-01-03", 4, 7, "")]
    path = write(tmp_path / "a.csv", ("time", "a", "price", "event"), *rows)
    roles = with_names(path, Roles("time", ["a"], past=["price", "event"]), USUAL)
    one = read_series(path, roles, USUAL, steps=Steps("day", "sum")).series[0]
    np.testing.assert_array_equal(one.values, [3, 0, 4])
    np.testing.assert_array_equal(one.covariates, [[5, 0], [np.nan, np.nan], [7, 0]])


def test_a_step_that_is_too_short_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("time", "a"), *((moment, 1) for moment in random_moments(50, 5)))
    with pytest.raises(DataError, match=r"line \d+: [\d,]+ steps of 1 second .* --every not too short\?"):
        read_series(path, Roles("time", ["a"]), USUAL, steps=Steps("1s", "mean"))


def test_a_sum_beyond_32_bits_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("time", "a"), *((f"2024-01-0{day}", 3e38) for day in (1, 8, 9)))
    with pytest.raises(DataError, match=r"line 3: the sum of the step that begins here is too large"):
        read_series(path, Roles("time", ["a"]), USUAL, steps=Steps("week", "sum"))


def test_a_run_keeps_its_steps(tmp_path: Path) -> None:
    moments = random_moments(900, 3)
    rows = [("shop", moment, 1 + (moment.hour > 11)) for moment in moments]
    rows += [("kiosk", moment, 3) for moment in random_moments(900, 4)]
    path = write(tmp_path / "a.csv", ("store", "time", "sales"), *rows)
    run = train(
        path, tmp_path / "run", task="forecaster", time_column="time", series_column="store",
        value_column="sales", every="6h", aggregate="sum", hidden=4, epochs=1, horizon=2, lookback=8,
        threads=1, tensorboard=False,
    )  # fmt: skip
    assert isinstance(run, ForecasterRun)
    found = list(ForecasterRun.open(run.folder).forecast(path))
    last = moments[-1].replace(hour=moments[-1].hour // 6 * 6, minute=0, second=0)
    assert found[0]["series"] == "shop"
    assert found[0]["time"] == f"{last + datetime.timedelta(hours=6):%Y-%m-%d %H:%M}"
    assert run.evaluate(path)["windows"] > 0


def test_irregular_numbers_are_told_of_a_step_that_is_one(tmp_path: Path) -> None:
    numbers = [0, 2_592_000, 5_184_000, 7_000_000, 9_592_000]
    path = write(tmp_path / "a.csv", ("time", "a"), *((number, 1) for number in numbers))
    with pytest.raises(DataError, match="train with --every 2592000, which"):
        read_series(path, Roles("time", ["a"]), USUAL)


def test_what_is_known_ahead_is_joined_as_well(tmp_path: Path) -> None:
    moments = random_moments(900, 6)
    rows = [(moment, 1, "sale" if moment.weekday() == 4 else "") for moment in moments]
    path = write(tmp_path / "a.csv", ("time", "orders", "event"), *rows)
    run = train(
        path, tmp_path / "run", task="forecaster", time_column="time", columns="orders", known_future="event",
        every="day", aggregate="count", hidden=4, epochs=1, horizon=2, lookback=8, threads=1,
        tensorboard=False,
    )  # fmt: skip
    assert isinstance(run, ForecasterRun)
    coming = [moments[-1].date() + datetime.timedelta(days=days) for days in (1, 2)]
    hours = [(f"{day} {hour}:30", name) for day in coming for hour, name in (("08", ""), ("17", "sale"))]
    ahead = write(tmp_path / "b.csv", ("time", "event"), *hours)
    found = list(run.forecast(path, future=ahead))
    assert [row["time"] for row in found] == [str(day) for day in coming]
    missing = write(tmp_path / "c.csv", ("time", "event"), *hours[:2])
    with pytest.raises(DataError, match=rf"'event' of {coming[1]} is not given"):
        list(run.forecast(path, future=missing))


@pytest.mark.parametrize(
    ("apart", "said"), [(40, "1min"), (7 * 60, "10min"), (5000, "6h"), (40_000, "day"), (10**7, "month")]
)
def test_irregular_rows_are_told_of_a_step_that_would_do(tmp_path: Path, apart: int, said: str) -> None:
    seconds = np.cumsum(np.random.default_rng(0).integers(apart // 2, apart + apart // 2, 60))
    moments = [datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=int(one)) for one in seconds]
    path = write(tmp_path / "a.csv", ("time", "a"), *((moment, 1) for moment in moments))
    with pytest.raises(DataError, match=f"between two such steps: train with --every {said}, which"):
        read_series(path, Roles("time", ["a"]), USUAL)
    read_series(path, Roles("time", ["a"]), USUAL, steps=Steps(said, "mean"))
