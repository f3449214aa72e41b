"""Pairs from tables and from text files, and every way in which they can be broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from throughtime.data.tables import BadRows
from throughtime.errors import DataError
from throughtime.tasks.translator.parallel import Pair, read_pairs, read_texts

PAIRS = [("A dog.", "Ein Hund."), ("Two  cats, “here”", "Zwei Katzen")]


def write_table(path: Path, pairs: list[tuple[str, str]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in pairs))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {"source": [s for s, _ in pairs], "target": [t for _, t in pairs]}
        parquet.write_table(pyarrow.table(columns), path)
    else:
        quote = (lambda text: f'"{text}"') if path.suffix == ".csv" else str
        separator = "," if path.suffix == ".csv" else "\t"
        lines = [f"source{separator}target", *(f"{quote(s)}{separator}{quote(t)}" for s, t in pairs)]
        path.write_text("\n".join(lines) + "\n")
    return path


def texts(pairs) -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in pairs]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_gives_its_two_columns(tmp_path, suffix):
    path = write_table(tmp_path / f"pairs.{suffix}", PAIRS)
    assert texts(read_pairs(path, None, BadRows())) == PAIRS


def test_other_columns_can_be_named(tmp_path):
    (tmp_path / "p.tsv").write_text("id\ten\tde\n1\ta\tb\n")
    assert list(read_pairs(tmp_path / "p.tsv", None, BadRows(), ("en", "de"))) == [Pair("a", "b", 2)]


@pytest.mark.parametrize("packed", [False, True])
def test_two_text_files_belong_together_line_by_line(tmp_path, packed):
    files = []
    for name, side in (("a", 0), ("b", 1)):
        content = "".join(pair[side] + "\n" for pair in PAIRS).encode()
        files.append(tmp_path / (f"{name}.gz" if packed else name))
        files[-1].write_bytes(gzip.compress(content) if packed else content)
    assert texts(read_pairs(*files, BadRows())) == PAIRS


def test_only_a_newline_ends_a_line(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffone\u2028two\x0b\r\nthree".encode())
    assert list(read_texts(tmp_path / "a")) == ["one\u2028two\x0b", "three"]


@pytest.mark.parametrize("lines", [(3, 5), (5, 3)])
def test_text_files_of_unequal_length_are_refused_with_both_counts(tmp_path, lines):
    for name, count in zip("ab", lines, strict=True):
        (tmp_path / name).write_text("x\n" * count)
    with pytest.raises(DataError, match=f"a has {lines[0]} lines and .*b has {lines[1]}"):
        list(read_pairs(tmp_path / "a", tmp_path / "b", BadRows()))
    # Nothing can be skipped: nobody knows where a line is missing.
    with pytest.raises(DataError, match="lines"):
        list(read_pairs(tmp_path / "a", tmp_path / "b", BadRows(skip=True)))


def test_an_empty_side_is_named_by_its_own_file_and_line(tmp_path):
    (tmp_path / "a").write_text("x\ny\nz\n")
    (tmp_path / "b").write_text("x\n \nz\n")
    with pytest.raises(DataError, match=r"b line 2: the target is empty \(pass --skip-bad"):
        list(read_pairs(tmp_path / "a", tmp_path / "b", BadRows()))
    bad = BadRows(skip=True)
    assert texts(read_pairs(tmp_path / "a", tmp_path / "b", bad)) == [("x", "x"), ("z", "z")]
    assert bad.count == 1


def test_a_value_that_is_no_text_is_named(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"source": "a", "target": "b"}\n{"source": "c", "target": 3}\n')
    with pytest.raises(DataError, match="line 2: column 'target' holds 3"):
        list(read_pairs(tmp_path / "p.jsonl", None, BadRows()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a is empty|no usable pairs"),
        (b"ok\nna\xefve\n", "a line 2: byte 0xef is not UTF-8"),
    ],
)
def test_a_text_file_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_text("ok\nok\n" if content else "")
    with pytest.raises(DataError, match=message):
        list(read_pairs(tmp_path / "a", tmp_path / "b", BadRows()))


def test_what_is_no_gzip_file_is_named(tmp_path):
    (tmp_path / "a.gz").write_text("plain")
    with pytest.raises(DataError, match="a.gz is damaged or no gzip file"):
        list(read_texts(tmp_path / "a.gz"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"some text\n" * 100)[:-12])
    with pytest.raises(DataError, match="b.gz is damaged"):
        list(read_texts(tmp_path / "b.gz"))


def test_a_missing_file_a_folder_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file"):
        list(read_texts(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_texts(tmp_path))
    (tmp_path / "p.tsv").write_text("source\tother\na\tb\n")
    with pytest.raises(DataError, match="no column 'target'; its columns are source, other"):
        list(read_pairs(tmp_path / "p.tsv", None, BadRows()))


def test_one_text_file_alone_or_a_table_with_another_file_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(DataError, match="--target"):
        list(read_pairs(tmp_path / "a.txt", None, BadRows()))
    table = write_table(tmp_path / "p.tsv", PAIRS)
    with pytest.raises(DataError, match="leave out"):
        list(read_pairs(table, tmp_path / "a.txt", BadRows()))
