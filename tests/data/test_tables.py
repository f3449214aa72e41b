"""Rows of tables: every format says the same, and a fault is named by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from throughtime.data.tables import BadRows, Row, column_names, is_table, read_rows
from throughtime.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"text": "one, two", "label": "a"},
    {"text": "긴 문장", "label": "b"},
    {"text": "", "label": "a"},
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    if path.name.endswith(".parquet"):
        pyarrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    if ".jsonl" in path.name:
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    elif ".csv" in path.name:
        text = "text,label\r\n" + "".join(f'"{row["text"]}",{row["label"]}\r\n' for row in rows)
    else:
        text = "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in rows)
    data = b"\xef\xbb\xbf" + text.encode() if ".csv" in path.name else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.jsonl.gz", "rows.parquet"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    assert is_table(path)
    assert column_names(path) == ["text", "label"]
    rows = list(read_rows(path, BadRows(), ("text", "label")))
    assert [row.values for row in rows] == ROWS
    first = 2 if name.endswith(("csv", "tsv")) else 1
    assert [row.line for row in rows] == [first, first + 1, first + 2]


def test_a_quoted_field_may_span_lines_and_lines_stay_right(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"one\ntwo",a\nthree,b\n')
    assert list(read_rows(path, BadRows())) == [
        Row(2, {"text": "one\ntwo", "label": "a"}),
        Row(4, {"text": "three", "label": "b"}),
    ]


def test_cells_that_are_lists_are_read_as_lists(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        'a,b,c,d\n"[\'x\', \'y\']","[1, 2]",[\'x\' "y\'s"],[deleted]\n[],"[[1], [2]]",[1.5 -2.],"[1, 2]"\n'
    )
    first, second = (row.values for row in read_rows(path, BadRows()))
    assert first == {"a": ["x", "y"], "b": [1, 2], "c": ["x", "y's"], "d": "[deleted]"}
    assert second == {"a": [], "b": [[1], [2]], "c": [1.5, -2.0], "d": [1, 2]}
    path.write_text("text\none\n[deleted]\n[1]\n")
    assert [row.values["text"] for row in read_rows(path, BadRows())] == ["one", "[deleted]", "[1]"]


def test_empty_cells_below_a_table_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\none,a\n,\ntwo,b\n,\n,\n")
    found = [(row.line, row.values["text"]) for row in read_rows(path, BadRows())]
    assert found == [(2, "one"), (3, ""), (4, "two")]


def test_a_bare_quote_in_a_tsv_file_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n5" nails\ta\n"open\tb\n')
    assert [row.values["text"] for row in read_rows(path, BadRows())] == ['5" nails', '"open']


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\none,a\ntwo\n", "a.csv line 3: 1 fields, expected 2"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "a.jsonl line 2: not JSON"),
        ("a.jsonl", '{"text": "x", "label": 1}\n[1]\n', "a.jsonl line 2: not a JSON object"),
        ("a.jsonl", '{"text"\n{"text": "x", "label": 1}\n', "a.jsonl line 1: not JSON"),
        (
            "a.jsonl",
            '{"text": "x", "label": 1}\n{"text": "y"}\n',
            "a.jsonl line 2: column 'label' is missing",
        ),
    ],
)
def test_a_bad_row_is_named_or_skipped_with_a_count(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match="--skip-bad") as raised:
        list(read_rows(path, BadRows(), ("text", "label")))
    assert message in str(raised.value)
    bad = BadRows(skip=True)
    assert len(list(read_rows(path, bad, ("text", "label")))) == 1
    assert bad.count == 1
    assert message in bad.summary()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\n", "no usable rows"),
        ("a.csv", b"text,text\nx,y\n", "occurs twice"),
        (
            "a.csv",
            b"text,tag\nx,y\n",
            "has no column 'label'; its columns are text, tag: rename the one that is meant",
        ),
        ("a.csv", b"text,label\nx,\xff\n", "not UTF-8"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"[1]\n2\n", "no usable rows (left out 2 bad examples: "),
        ("a.csv", b"x," * 100_000 + b"x\n1\n", "line 1: column 'x' occurs twice"),
        ("a.csv.gz", b"not gzip", "is damaged or no gzip file"),
        ("a.parquet", b"not parquet", "cannot be read as Parquet"),
        ("a.txt", b"x", "is not a table"),
    ],
)
def test_a_file_that_is_no_such_table_is_an_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        list(read_rows(path, BadRows(), ("text", "label")))
    assert message in str(raised.value)
    assert name in str(raised.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        with pytest.raises(DataError, match="no such file"):
            list(read_rows(tmp_path / name, BadRows()))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"text": "x", "label": 1}\n' + '{"text": ' + "[" * 5000 + "\n",
            "line 2: nested too deeply",
        ),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": "\\ud83d", "label": 2}\n', "line 2: U+D83D is half"),
        ("a.csv", b"text,label\nx,1\n\xe7,2\n", "line 3: byte 0xe7 is not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_a_row_costs_itself_only(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    bad = BadRows(skip=True)
    assert len(list(read_rows(tmp_path / name, bad, ("text", "label")))) == 1
    assert bad.count == 1 and message in bad.summary()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_cut_gzip_file_is_an_error_with_and_without_skipping(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"text": f"text {number}", "label": "a"} for number in range(2000)])
    path.write_bytes(path.read_bytes()[:-20])
    for skip in (False, True):
        with pytest.raises(DataError, match=f"{name} is damaged or no gzip file"):
            list(read_rows(path, BadRows(skip)))


def test_thousands_of_columns_are_not_all_listed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(map(str, range(5000))) + "\n1,2\n")
    for columns in (("label",), ()):
        with pytest.raises(DataError, match=r"\(5,000 in all\)") as raised:
            list(read_rows(tmp_path / "a.csv", BadRows(), columns))
        assert len(str(raised.value)) < 500


def test_a_list_of_bad_rows_stays_short() -> None:
    bad = BadRows(skip=True)
    for number in range(9):
        bad.report("a.csv", number, f"{'x' * 100_000}\nis no number")
    assert len(bad.summary()) < 1100 and "\n" not in bad.summary()
    assert bad.examples[0].startswith("a.csv line 0: xxx") and bad.examples[0].endswith("x is no number")
    assert bad.summary().endswith(", and 6 more")
