"""Conditions: found out from columns, given on the command line, refused with what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data import conditions as module
from throughtime.data.conditions import Conditions, ConditionSurvey, parse_conditions
from throughtime.errors import DataError, OptionError, RunError


def survey(*rows: dict[str, object]) -> Conditions:
    found = ConditionSurvey(list(rows[0]))
    for row in rows:
        found.add(row)
    return found.settle()


def test_words_and_few_whole_numbers_are_categories_and_other_numbers_are_numbers() -> None:
    rows = [{"land": "ab"[n % 2], "month": n % 12 + 1, "size": n / 2, "year": 1900 + n} for n in range(60)]
    found = survey(*rows)
    assert [one.name for one in found.categories] == ["land", "month"]
    assert found.categories[1].values == [str(month) for month in range(1, 13)]
    tiny = survey(*({"size": n * 1e-200} for n in range(30)))
    assert tiny.numbers[0].deviation == 1  # what 32 bits can divide by
    size, year = found.numbers
    assert (size.mean, year.mean) == pytest.approx((14.75, 1929.5))
    assert size.deviation == pytest.approx(8.66, abs=0.01)
    assert found.encode({"land": "b", "month": 3, "size": "1.5", "year": 2000}) == ([1, 2], [1.5, 2000.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"land": "nort", "size": 1},
            "'nort' is no known value of `land`: did you mean 'north'. Known: north",
        ),
        ({"land": "x", "size": 1}, "'x' is no known value of `land`: Known: north, south"),
        ({"size": 1}, "`land` has no value: give it one of north, south"),
        ({"land": "north"}, "`size` has no value: give it a number"),
        ({"land": "north", "size": "big"}, "`size` is 'big', and has to be a number"),
        ({"land": "north", "size": "nan"}, "`size` is 'nan'"),
        ({"land": "north", "size": "1e39"}, "`size` is '1e39'"),
        ({"land": "north", "size": 1, "lang": "x"}, "no condition 'lang'; the run's are land, size"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(values: dict[str, object], message: str) -> None:
    found = survey({"land": "north", "size": 0.5}, {"land": "south", "size": 1.5})
    with pytest.raises(DataError, match=message):
        found.encode(values)


def test_an_empty_value_and_a_column_of_single_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="`land` is empty"):
        survey({"land": " "})
    monkeypatch.setattr(module, "MOST_VALUES", 5)
    with pytest.raises(OptionError, match="more than 5 different values"):
        survey(*({"land": f"place {n}"} for n in range(9)))
    assert survey(*({"size": n + 0.5} for n in range(9))).numbers


def test_they_come_back_from_their_file_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "conditions.json"
    found = survey({"land": "é", "size": 0.5}, {"land": "b", "size": 1.5})
    found.save(path)
    assert Conditions.load(path).fields == found.fields
    whole = path.read_text(encoding="utf-8")
    for old, new in (('"é"', '"b"'), ('"size"', '"land"'), ('"deviation": 0.5', '"deviation": 0'), ("}", "")):
        assert old in whole
        path.write_text(whole.replace(old, new), encoding="utf-8")
        with pytest.raises(RunError, match="damaged"):
            Conditions.load(path)


def test_name_and_value_on_the_command_line() -> None:
    assert parse_conditions(["land = north", "note=a=b"]) == {"land": "north", "note": "a=b"}
    for given, message in ((["land"], "not NAME=VALUE"), (["a=1", "a=2"], "given twice")):
        with pytest.raises(OptionError, match=message):
            parse_conditions(given)
