"""Limits hold what files ask for, and a variable of the environment moves them."""

from __future__ import annotations

import pytest

from throughtime.data.limits import Limit
from throughtime.errors import DataError, OptionError

LIMIT = Limit("THROUGHTIME_MAX_APPLES", 5, "apples")


def test_what_is_above_is_refused_with_the_way_to_allow_it() -> None:
    LIMIT.check(5, "the basket holds")
    with pytest.raises(DataError) as raised:
        LIMIT.check(6000, "the basket holds")
    assert str(raised.value) == (
        "the basket holds 6,000 apples: the limit is 5 apples (set THROUGHTIME_MAX_APPLES to raise it)"
    )


def test_the_environment_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHTIME_MAX_APPLES", "6000")
    LIMIT.check(6000, "the basket holds")
    for wrong in ("many", "-1", "0", "1e9", "9" * 5000):
        monkeypatch.setenv("THROUGHTIME_MAX_APPLES", wrong)
        with pytest.raises(OptionError, match="THROUGHTIME_MAX_APPLES must be a whole number of apples"):
            LIMIT.check(1, "the basket holds")
