"""Tables become series on a grid; what is missing is marked and counted, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tasks.forecaster.tables import hours, write
from throughtime.data.tables import USUAL, TableFormat
from throughtime.errors import DataError
from throughtime.tasks.forecaster.series import Roles, find_roles, read_series, with_names

WIDE = Roles("time", ["a", "b"])
LONG = Roles("day", ["y"], "id", static=["size"])


def test_gaps_are_marked_and_counted_and_never_zeros(tmp_path: Path) -> None:
    times = hours(6)
    rows = [(times[0], 1, ""), (times[1], "NA", 2), (times[4], 3, "?"), (times[5], 0, 4)]
    table = read_series(write(tmp_path / "a.csv", ("time", "a", "b"), *rows), WIDE, USUAL)
    np.testing.assert_array_equal(table.series[0].values, [1, np.nan, np.nan, np.nan, 3, 0])
    np.testing.assert_array_equal(table.series[1].values, [np.nan, 2, np.nan, np.nan, np.nan, 4])
    assert "3 empty cells and 2 missing rows of a step of 1 hour: masked" in table.remarks()


def test_a_table_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time;a;b\n03/02/2024;1.234,5;$1\n02/02/2024;;-0,5\n01/02/2024;7;2,25\n")
    table = read_series(path, WIDE, TableFormat(decimal=",", day_first=True))
    np.testing.assert_array_equal(table.series[0].values, [7, np.nan, 1234.5])
    np.testing.assert_array_equal(table.series[1].values, [2.25, -0.5, 1])
    assert table.frequency.write(0) == "2024-02-01"
    assert "the newest row comes first: read from the last row to the first; 1 empty cell" in table.remarks()


def test_a_long_table_holds_series_of_their_own_lengths(tmp_path: Path) -> None:
    rows = [("x", "2024-01-01", 1, "big"), ("y", "2024-01-02", 5, 2), ("x", "2024-01-02", 2, "big")]
    rows += [("y", "2024-01-04", 6, 2)]
    table = read_series(write(tmp_path / "a.csv", ("id", "day", "y", "size"), *rows), LONG, USUAL)
    assert [(one.name, one.first, one.static) for one in table.series] == [("x", 0, ["big"]), ("y", 1, [2.0])]
    np.testing.assert_array_equal(table.series[1].values, [5, np.nan, 6])


def test_series_are_told_apart_by_several_columns(tmp_path: Path) -> None:
    header = ("day", "store", "item", "y")
    rows = [(f"2024-01-0{day}", store, item, day) for store in "ab" for item in ("1", "") for day in (1, 2)]
    path = write(tmp_path / "a.csv", header, *rows)
    given = {"time_column": "day", "value_column": "y"}
    roles = find_roles(path, USUAL, series_column="store,item", **given)
    assert [one.name for one in read_series(path, roles, USUAL).series] == ["a/1", "a", "b/1", "b"]
    kinds = find_roles(path, USUAL, series_column="store,item", static_columns="store", **given)
    assert [one.static for one in read_series(path, kinds, USUAL).series] == [["a"], ["a"], ["b"], ["b"]]
    few = find_roles(path, USUAL, series_column="store", **given)
    with pytest.raises(DataError, match=r"line 4: the times of 'a' come again and again: name every column"):
        read_series(path, few, USUAL)


@pytest.mark.parametrize(
    ("parts", "last"),
    [
        ({"day": ["16/12/2006"] * 3, "clock": ["17:24:00", "17:25:00", "17:26:00"]}, "2006-12-16 17:26"),
        ({"day": ["10/03/2004"] * 3, "clock": ["18.00.00", "19.00.00", "20.00.00"]}, "2004-03-10 20:00"),
        ({"day": ["2011-01-01"] * 3, "hour": [0, 1, 2]}, "2011-01-01 02:00"),
        (
            {"year": [2010] * 3, "month": [1] * 3, "day": [31] * 3, "hour": ["9.0", 10, 11]},
            "2010-01-31 11:00",
        ),
        ({"year": [1949] * 3, "month": ["January", "February", "March"]}, "1949-03-01"),
    ],
)
def test_a_time_may_stand_in_several_columns(tmp_path: Path, parts: dict[str, list[Any]], last: str) -> None:
    rows = [(*values, number) for number, values in enumerate(zip(*parts.values(), strict=True))]
    path = write(tmp_path / "a.csv", (*parts, "y"), *rows)
    form = TableFormat(day_first=True)
    roles = find_roles(path, form, time_column=",".join(parts), columns="y")
    assert read_series(path, roles, form).frequency.write(2) == last
    half = write(tmp_path / "b.csv", (*parts, "y"), ("2024-01-01", *[""] * (len(parts) - 1), 1))
    with pytest.raises(
        DataError, match=rf"line 2: column '{','.join(parts)}': a part of the time is missing"
    ):
        read_series(half, roles, form)


@pytest.mark.parametrize(
    ("rows", "roles", "message"),
    [
        (
            [("2024-01-01", "ten", 1), ("2024-01-02", 1, 1)],
            WIDE,
            r"line 2: column 'a': 'ten' is not a number",
        ),
        ([("2024-01-01", 1, 1), ("then", 1, 1)], WIDE, r"line 3: column 'time': 'then' is no time"),
        ([("2024-01-01", 1, 1), (7, 1, 1)], WIDE, r"line 3: .*unlike those above"),
        ([("2024-01-01", 1, "inf"), ("2024-01-02", 1, 1)], WIDE, r"line 2: column 'b'.*not a finite"),
        (
            [("2024-01-01", 1, 1), ("2024-01-02", 1, 1), ("9024-01-03", 1, 1)],
            WIDE,
            r"line 4: .*is the time right",
        ),
        ([("2024-01-01", 1, 1)], WIDE, r"two rows at least"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, rows: list[tuple[Any, ...]], roles: Roles, message: str
) -> None:
    path = write(tmp_path / "a.csv", ("time", "a", "b"), *rows)
    with pytest.raises(DataError, match=message):
        read_series(path, roles, USUAL)


def test_six_digits_are_months_where_all_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("time", "a", "b"), *((time, 1, 2) for time in (201511, 201512, 201601)))
    table = read_series(path, WIDE, USUAL)
    assert (table.frequency.name, table.frequency.write(3), table.added) == ("1 month", "2016-02-01", 0)
    path = write(tmp_path / "b.csv", ("time", "a", "b"), *((time, 1, 2) for time in (201512, 201513, 201514)))
    assert read_series(path, WIDE, USUAL).frequency.write(3) == "201515"


@pytest.mark.parametrize("unit", [1, 1000])
def test_seconds_since_1970_are_times(tmp_path: Path, unit: int) -> None:
    times = [(1_500_000_000 + 300 * number) * unit for number in range(4)]
    path = write(tmp_path / "a.csv", ("time", "a", "b"), *((time, 1, 2) for time in times))
    table = read_series(path, WIDE, USUAL)
    assert (table.frequency.name, table.frequency.write(0)) == ("5 minutes", "2017-07-14 02:40Z")
    assert read_series(path, WIDE, USUAL, table.frequency).series[0].first == 0
    numbers = replace(table.frequency, unit="number", step=300.0 * unit, origin=float(times[0]))
    assert read_series(path, WIDE, USUAL, numbers).series[0].first == 0


def test_a_static_column_that_changes_is_none(tmp_path: Path) -> None:
    rows = [("x", "2024-01-01", 1, "big"), ("x", "2024-01-02", 2, "small")]
    path = write(tmp_path / "a.csv", ("id", "day", "y", "size"), *rows)
    with pytest.raises(DataError, match=r"line 3: static column 'size' changes within the series 'x'"):
        read_series(path, LONG, USUAL)


def test_columns_are_named_once_and_have_to_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("time", "a", "b"), ("2024-01-01", 1, 2))
    assert find_roles(path, USUAL, time_column="1", columns="2,b") == Roles("time", ["a", "b"])
    with pytest.raises(DataError, match="'a' has two uses"):
        find_roles(path, USUAL, time_column="time", columns="a,b", known_future="a")
    with pytest.raises(DataError, match=r"no column 'c' \(--past-columns\)"):
        find_roles(path, USUAL, time_column="time", columns="a", past_columns="c")


def test_names_beside_the_targets_are_a_number_for_each(tmp_path: Path) -> None:
    columns = ("time", "a", "event", "kind", "price")
    rows = [
        ("2024-01-01", 1, "", 0, 5),
        ("2024-01-03", 2, "Easter", "b", ""),
        ("2024-01-04", 3, "None", 0, 6),
    ]
    path = write(tmp_path / "a.csv", columns, *rows)
    roles = with_names(path, Roles("time", ["a"], known=["event", "kind"], past=["price"]), USUAL)
    assert roles.names == {"event": ["Easter"], "kind": ["0", "b"]}
    assert roles.owners(roles.covariates) == ["event", "kind", "kind", "price"]
    none, gap = [0, 1, 0, 5], [np.nan] * 4
    table = read_series(path, roles, USUAL)
    expected = [none, gap, [1, 0, 1, np.nan], [0, 1, 0, 6]]
    np.testing.assert_array_equal(table.series[0].covariates, expected)
    other = write(tmp_path / "b.csv", columns, ("2024-01-01", 1, "Eastern", 0, 5))
    with pytest.raises(
        DataError, match=r"line 2: column 'event': 'Eastern' is a name that .* has 'Easter'\."
    ):
        read_series(other, roles, USUAL, table.frequency)


def test_a_mistake_among_many_numbers_is_no_name(tmp_path: Path) -> None:
    rows = [(f"2024-01-{day:02}", 1, f"{day}.5" if day != 20 else "2O.5") for day in range(1, 31)]
    path = write(tmp_path / "a.csv", ("time", "a", "price"), *rows)
    roles = with_names(path, Roles("time", ["a"], known=["price"]), USUAL)
    assert roles.names == {}
    with pytest.raises(DataError, match=r"line 21: column 'price': '2O.5' is not a number"):
        read_series(path, roles, USUAL)


def test_a_column_of_all_too_many_names_is_refused(tmp_path: Path) -> None:
    rows = [(number, 1, f"name {number}") for number in range(200)]
    path = write(tmp_path / "a.csv", ("time", "a", "note"), *rows)
    with pytest.raises(DataError, match=r"line 102: column 'note' has more than 100 names"):
        with_names(path, Roles("time", ["a"], past=["note"]), USUAL)
