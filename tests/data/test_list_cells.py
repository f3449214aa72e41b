"""Lists in cells: as JSON, pandas and NumPy write them, and what only looks like one."""

from __future__ import annotations

import time
import warnings
from typing import Any

import pytest

from throughtime.data.list_cells import as_list


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['EU', \"don't\"]", ["EU", "don't"]),
        ("['EU' 'rejects'\n 'a b']", ["EU", "rejects", "a b"]),
        ("[3 0 -7]", [3, 0, -7]),
        ("[ 0.5 1e-3  2. ]", [0.5, 1e-3, 2.0]),
        ("[]", []),
        ("[('a', 1)]", [("a", 1)]),
        ("[sic]", None),
        ("[1 2x]", None),
        ("[b'a']", None),
        ("[{1, 2}]", None),
        ("['a' 'b]", None),
        ("a [1]", None),
    ],
)
def test_a_cell_is_a_list_or_a_text(cell: str, expected: list[Any] | None) -> None:
    assert as_list(cell) == expected


@pytest.mark.parametrize(
    "inside", ["1" * 100_000 + "x", "'" + r"\'" * 50_000, "[" * 100_000, "1 " * 50_000 + "'"]
)
def test_a_long_cell_that_is_no_list_is_soon_known(inside: str) -> None:
    begin = time.process_time()
    assert as_list(f"[{inside}]") is None
    assert time.process_time() - begin < 2


def test_backslashes_of_a_text_warn_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_list(r"['\d', 'a\q']") == [r"\d", r"a\q"]
