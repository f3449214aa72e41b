"""Rows of CSV and TSV files: long cells, bytes that are no text, and the line of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from throughtime.data.delimited import read_delimited
from throughtime.errors import DataError


def test_a_cell_may_be_longer_than_pythons_own_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text,label\n"{"long, " * 50_000}",a\n')
    _, (line, cells) = read_delimited(path)
    assert line == 2 and len(cells[0]) == 300_000


def test_a_cell_beyond_our_limit_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"an open quote\n' + "and more\n" * 100)
    monkeypatch.setenv("THROUGHTIME_MAX_LINE", "100")
    with pytest.raises(
        DataError, match=r"a\.csv line 2: a cell is too long, or a quote is left open: .*MAX_L"
    ):
        list(read_delimited(path))


@pytest.mark.parametrize(
    ("text", "lines"),
    [("a|b\n1|2\n", (1, 2)), ("SEP=;\r\na;b\n1;2\n", (2, 3)), ("sep=|\na|b\n1|2\n", (2, 3))],
)
def test_what_stands_between_cells_is_found_or_said(
    tmp_path: Path, text: str, lines: tuple[int, int]
) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert list(read_delimited(tmp_path / "a.csv")) == [(lines[0], ["a", "b"]), (lines[1], ["1", "2"])]


def test_a_row_with_a_byte_that_is_no_text_is_left_out_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n"1\n2",3\n\xff,4\n5,6\n')
    with pytest.raises(DataError, match=r"a\.csv line 4: byte 0xff is not UTF-8"):
        list(read_delimited(path))
    faults: list[tuple[int, str]] = []
    rows = list(read_delimited(path, lambda line, fault: faults.append((line, fault))))
    assert rows == [(1, ["a", "b"]), (2, ["1\n2", "3"]), (5, ["5", "6"])]
    assert faults == [(4, "byte 0xff is not UTF-8")]


def test_a_quote_in_tsv_is_a_character_and_any_line_end_will_do(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b'a\tb\r5" nails\tx\r\r"open\ty')
    assert list(read_delimited(path)) == [
        (1, ["a", "b"]),
        (2, ['5" nails', "x"]),
        (3, []),
        (4, ['"open', "y"]),
    ]
