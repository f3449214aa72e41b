"""JSON of users: what would overflow a stack, or cannot be encoded, is an error like any other."""

from __future__ import annotations

import pytest

from throughtime.data.json_values import parse_json
from throughtime.errors import DataError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 500 + "]" * 500, "nested too deeply: 64 brackets"),
        ('{"a": ' * 500 + "1" + "}" * 500, "nested too deeply"),
        (r'{"text": "half \ud83d"}', r"U\+D83D is half of a surrogate pair"),
        (r'{"a": [["\uDC00"]]}', r"U\+DC00 is half"),
        (r'{"\ud800": 1}', r"U\+D800 is half"),
        ('{"text": "\udcff"}', "byte 0xff is not UTF-8"),
        ("1" * 5000, "not JSON: .*4300 digits"),
        ("{", "not JSON"),
    ],
)
def test_what_cannot_be_used_is_an_error(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_json(text)


def test_ordinary_values_come_through() -> None:
    assert parse_json(r'{"text": "a \ud83d\ude00"}') == {"text": "a 😀"}
    wide = [[1.5, 2]] * 1000
    assert parse_json(str(wide)) == wide
    assert parse_json("[" * 40 + "]" * 40) is not None
