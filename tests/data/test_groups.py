"""Rows that belong together become one row of lists, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data.groups import Groups
from throughtime.data.tables import BadRows, TableFormat, column_names, read_rows
from throughtime.errors import DataError


def rows(path: Path, groups: Groups, bad: BadRows | None = None) -> list[tuple[int, dict]]:
    found = read_rows(path, bad or BadRows(), form=TableFormat(groups=groups))
    return [(row.line, row.values) for row in found]


def test_rows_of_one_user_are_joined_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,event,country\na,open,FR\nb,open,KR\na,buy,FR\n")
    expected = [
        (2, {"event": ["open", "buy"], "country": "FR"}),
        (3, {"event": ["open"], "country": "KR"}),
    ]
    assert rows(path, Groups("user")) == expected
    assert column_names(path, TableFormat(groups=Groups("user"))) == ["event", "country"]
    # Of a single row nothing tells which columns may differ: the training data does.
    path.write_text("user,event,country\na,open,FR\n")
    assert rows(path, Groups("user", ("country",))) == [(2, {"event": ["open"], "country": "FR"})]


def test_a_row_without_a_name_belongs_to_the_sentence_above(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sentence,word\n1,Two\n,dogs\n,run\n2,Cats\n,sleep\n")
    assert [values["word"] for _, values in rows(path, Groups("sentence"))] == [
        ["Two", "dogs", "run"],
        ["Cats", "sleep"],
    ]


def test_what_does_not_belong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,event,label\na,open,1\na,buy,2\nb,open,1\n,buy,1\n")
    bad = BadRows(skip=True)
    assert [line for line, _ in rows(path, Groups("user", ("label",)), bad)] == [4]
    assert "line 5: user is empty" in bad.summary()
    assert "line 2: label is '1' and '2' in one group" in bad.summary()
    with pytest.raises(DataError, match=r"no column 'who'.*\(--group-by\)"):
        rows(path, Groups("who"))
