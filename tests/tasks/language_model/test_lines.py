"""Lines are read as they stand in a file, and what is passed over is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.recognition import recognise
from throughtime.tasks.language_model.lines import LineReader


def read(path: Path, reader: LineReader | None = None, **options: Any) -> list[tuple[int, str]]:
    reader = reader or LineReader(**options)
    return [(line.number, line.text) for line in reader.read(path, BadRows(False))]


def test_a_texts_lines_keep_their_numbers_and_spaces_and_blank_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n  two \n \t\nthree")
    reader = LineReader()
    assert read(path, reader) == [(1, "one"), (3, "  two "), (5, "three")]
    assert reader.remark(path) == "left out 2 blank lines of a.txt (the first is line 2)"
    path.write_text("one\n")
    assert read(path, reader) == [(1, "one")] and reader.remark(path) == ""


def test_bytes_that_are_no_text_are_refused_replaced_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"fine\nbro\xffken\n")
    with pytest.raises(DataError, match=r"a\.log line 2: byte 0xff is not UTF-8"):
        read(path)
    assert read(path, errors="replace")[1] == (2, "bro\ufffdken")
    assert read(path, errors="keep")[1] == (2, "bro\udcffken")


def test_a_tables_lines_come_with_what_steers_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    # Some tables of SMILES have a line break behind each, inside the quotes.
    path.write_text('name,land,size\n"Anna\n",north,3\n"Jo, Jr",south,4\n')
    reader = LineReader("name", ("land", "size"))
    found = list(reader.read(path, BadRows(False)))
    assert [(line.text, line.conditions) for line in found] == [
        ("Anna", {"land": "north", "size": "3"}),
        ("Jo, Jr", {"land": "south", "size": "4"}),
    ]
    by_number = list(LineReader("1", ("3",)).read(path, BadRows(False)))
    assert by_number[0].conditions == {"3": "3"}


@pytest.mark.parametrize(
    ("content", "reader", "message"),
    [
        ("name\n", LineReader("name"), "no usable rows"),
        ('name\n"a\nb"\n', LineReader("name"), "line 2: it has a line break in it"),
        ("name\nAnna\n", LineReader("nom"), r"no column 'nom' \(--text-column\); its columns are name"),
        ("name\nAnna\n", LineReader("name", ("x",)), r"no column 'x' \(--condition-columns\)"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    tmp_path: Path, content: str, reader: LineReader, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(reader.read(path, BadRows(False)))


def test_a_text_has_no_conditions_unless_they_are_given_for_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Anna\n")
    with pytest.raises(DataError, match=r"the lines have conditions \(`land`\): name a table"):
        list(LineReader(condition_columns=("land",)).read(path, BadRows(False)))
    fixed = LineReader(condition_columns=("land",), fixed={"land": "north"})
    assert next(fixed.read(path, BadRows(False))).conditions == {"land": "north"}


def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\n \n")
    with pytest.raises(DataError, match="no line that can be used"):
        read(path)


def test_lists_of_events_are_lines_of_words(tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    path.write_text('{"events": ["log in", "buy"], "who": "a"}\n{"events": ["search"], "who": "b"}\n')
    assert read(path, text_column="events") == [(1, "log␣in buy"), (2, "search")]
    found = recognise(path, {"lines": True})
    assert found.why.endswith("writing lists of events like `events` (`who` is not read)")
    assert found.options["tokenizer"] == "word"
    with pytest.raises(DataError, match="each of which is one token: leave out --tokenizer bpe"):
        recognise(path, {"lines": True, "tokenizer": "bpe"})
    path.write_text('{"events": ["buy"]}\n{"events": ["buy", ""]}\n')
    with pytest.raises(DataError, match="line 2: event 2 of the list is ''"):
        read(path, text_column="events")
