"""Lists of strings as texts."""

from __future__ import annotations

from typing import Any

import pytest

from throughtime.data.events import events_as_text
from throughtime.errors import DataError


def test_each_event_is_one_word() -> None:
    assert events_as_text(["log in", "buy", "a\t\nb"]) == "log␣in buy a␣b"
    assert events_as_text([]) == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("buy", "'buy' is no list of events"),
        (["a", ""], "event 2 of the list is ''"),
        ([3], "event 1 .* is 3"),
    ],
)
def test_what_is_no_event_is_named(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        events_as_text(values)
