"""Numbers: NaN, infinity, and what becomes infinite in 32 bits never pass."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.data.numbers import (
    Decimal,
    as_float32,
    how_written,
    plain_number,
    read_number,
    reads_as_number,
)
from throughtime.errors import DataError


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, "nan is not a finite number"),
        (-np.inf, "-inf is not a finite number"),
        (1e300, r"1e\+300 is too large: numbers are kept in 32 bits"),
    ],
)
def test_the_first_bad_number_is_named_after_the_cast(bad: float, message: str) -> None:
    values = np.ones((3, 2))
    values[1, 1] = values[2, 0] = bad
    with pytest.raises(DataError, match=rf"row 1, column 1: {message}"):
        as_float32(values, lambda row, column: f"row {row}, column {column}")
    with pytest.raises(DataError, match=message):
        read_number(repr(bad))


@pytest.mark.parametrize(
    ("written", "decimal", "plain"),
    [
        ("1.234,50", ",", "1234.50"),
        ("-0,5", ",", "-0.5"),
        ("12\u202f345,6 \u20ac", ",", "12345.6"),
        ("$1,234.5", ".", "1234.5"),
        ("-$7", ".", "-7"),
        ("1,23", ".", "1,23"),
        ("01.02.2024", ",", "01.02.2024"),
        ("one, two", ",", "one, two"),
    ],
)
def test_numbers_as_people_write_them(written: str, decimal: Decimal, plain: str) -> None:
    assert plain_number(written, decimal) == plain


def test_commas_are_decimal_where_most_cells_say_so() -> None:
    assert how_written(["1,5", "2,25", "3", "4,0"], between_commas=False) == ","
    assert how_written(["1,3", "2", "0"], between_commas=False) is None  # labels
    assert how_written(["1,234", "12,345", "7"], between_commas=True) == "."
    assert how_written(["$5", "$6.50"], between_commas=True) == "."
    assert how_written(["many", "few"], between_commas=True) is None


def test_good_numbers_are_not_copied_where_they_need_not_be() -> None:
    values = np.array([1.5, 3.4e38], np.float32)
    assert as_float32(values, str) is values
    assert as_float32(np.array([1, 2]), str).dtype == np.float32


def test_numbers_of_a_table() -> None:
    assert read_number(" 2.5 ") == 2.5 and read_number(True) == 1
    for wrong, message in [
        ("two", "'two' is not a number"),
        (None, "None is not"),
        (10**400, "inf is not a"),
    ]:
        with pytest.raises(DataError, match=message):
            read_number(wrong)
    assert reads_as_number("nan") and reads_as_number(10**400) and not reads_as_number([1])
