"""A corpus of many files: how they are joined, where they are cut, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from throughtime.data.corpus import (
    BadRows,
    CorpusForm,
    Piece,
    byte_blocks,
    find_corpus,
    pieces_of,
    text_blocks,
)
from throughtime.data.sources import Source
from throughtime.data.tokenizer import Tokenizer
from throughtime.errors import DataError
from throughtime.patterns import is_pattern

FORM = CorpusForm()


def text_of(pattern: str, form: CorpusForm = FORM, size: int = 1 << 20) -> str:
    bad = BadRows(form.skip_bad)
    pieces = pieces_of(find_corpus(pattern), form, size)
    return "".join(text for piece in pieces for text in text_blocks(piece, form, bad))


@pytest.mark.parametrize(
    ("source", "is_one"),
    [("*.txt", True), ("s3://a/b.txt", True), ("zip://*.txt::a.zip", True), ("a.txt", False), (None, False)],
)
def test_a_pattern_or_a_url_is_a_corpus(source: str | None, is_one: bool) -> None:
    assert is_pattern(source) == is_one


def test_a_file_whose_name_looks_like_a_pattern_is_none(tmp_path: Path) -> None:
    (tmp_path / "[a].txt").write_text("a")
    assert not is_pattern(tmp_path / "[a].txt") and is_pattern(tmp_path / "[b].txt")


def test_files_are_joined_in_the_order_of_their_names_each_with_a_newline(tmp_path: Path) -> None:
    for name, text in {
        "b.txt": "second\n",
        "a.txt": "first",
        "c.txt": "",
        "d.md": "third",
        "e.csv": "no",
    }.items():
        (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / "f.txt.gz", "wt") as file:
        file.write("fourth\n")
    assert text_of(f"{tmp_path}/*") == "first\nsecond\nthird\nfourth\n"
    (tmp_path / "g.tex").write_text("fifth")
    assert text_of(f"{tmp_path}/*.tex") == "fifth\n"


def test_rows_are_documents(tmp_path: Path) -> None:
    rows = [{"text": "one", "id": 1}, {"text": "two\nlines\n"}, {"text": ""}]
    content = "".join(json.dumps(row) + "\n" for row in rows) + "\n"
    (tmp_path / "a.jsonl").write_text(content)
    with gzip.open(tmp_path / "b.ndjson.gz", "wt") as file:
        file.write(content)
    assert text_of(f"{tmp_path}/*json*") == "one\ntwo\nlines\n\n" * 2
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": [row["text"] for row in rows]}), tmp_path / "c.parquet")
    assert text_of(f"{tmp_path}/*.parquet") == "one\ntwo\nlines\n\n"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("size", [1, 40, 300, 5000])
def test_a_cut_file_has_the_same_text(tmp_path: Path, name: str, size: int) -> None:
    lines = [f"line {number} of “many” 줄\u3000 {'x' * (number % 17)}" for number in range(60)]
    path = tmp_path / name
    if name == "a.txt":
        path.write_text("\n".join(lines))
    elif name == "a.jsonl":
        path.write_text("".join(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in lines))
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": lines}), path, row_group_size=7)
    pieces = pieces_of(find_corpus(f"{tmp_path}/*"), FORM, size)
    assert (len(pieces) > 1) == (size < 1000)
    text = text_of(f"{tmp_path}/*", FORM, size)
    assert text == "\n".join(lines) + "\n"
    assert b"".join(b"".join(byte_blocks(piece, FORM, BadRows(False))) for piece in pieces).decode() == text
    for kind in ("bpe", "word", "byte"):  # no token spans the places of a text where it is cut
        tokenizer = Tokenizer.train_on_texts(kind, [text], 300 if kind == "bpe" else None)
        if name == "a.txt":
            cut = [
                token
                for piece in pieces
                for block in tokenizer.encode_blocks(text_blocks(piece, FORM, BadRows(False)), "text")
                for token in block.tolist()
            ]
            whole = [
                token for block in tokenizer.encode_blocks(iter([text]), "text") for token in block.tolist()
            ]
            assert cut == whole


def test_other_encodings_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("가나다 " * 50, encoding="utf-16")
    form = CorpusForm(encoding="utf-16")
    assert len(pieces_of(find_corpus(f"{tmp_path}/*"), form, 20)) == 1
    assert text_of(f"{tmp_path}/*", form, 20) == "가나다 " * 50 + "\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', "a.jsonl line 2 has no text in 'text': it has text"),
        ("a.jsonl", b'{"body": "a"}\n', "line 1 has no text in 'text': it has body"),
        ("a.jsonl", b"[1]\n", "line 1 has no text in 'text'"),
        ("a.jsonl", b"{\n", "a.jsonl line 1 is no JSON (pass --skip-bad to leave such rows out)"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "line 1: U+D800 is half of a surrogate pair"),
        ("a.txt", b"abc\xff", "byte 0xff at offset 3 (line 1) is not UTF-8"),
        ("a.txt.gz", b"abc", "a.txt.gz is damaged or no gzip file"),
        ("a.parquet", b"abc", "a.parquet cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        text_of(f"{tmp_path}/*")
    assert message in str(raised.value)


def test_a_fault_in_a_later_piece_says_where_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc def " * 10 + b"\xff " + b"abc " * 10)
    with pytest.raises(DataError, match="byte 0xff at offset 80 is not UTF-8"):
        text_of(f"{tmp_path}/*", FORM, 20)


def test_bad_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": null}\nno\n{"text": "b"}\n')
    form, bad = CorpusForm(skip_bad=True), BadRows(True)
    (piece,) = pieces_of(find_corpus(f"{tmp_path}/*"), form)
    assert "".join(text_blocks(piece, form, bad)) == "a\nb\n" and bad.count == 2


def test_a_piece_survives_json() -> None:
    piece = Piece(Source("s3://a/b", 3, "ETag 1"), 4, None)
    assert Piece.from_json(json.loads(json.dumps(piece.as_json()))) == piece


def test_a_text_of_parquet_that_is_no_unicode_is_named_or_left_out(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    buffers = arrow.array([b"\xff\xfe", b"ab"], arrow.binary()).buffers()
    texts = arrow.Array.from_buffers(arrow.string(), 2, buffers)
    parquet.write_table(arrow.table({"n": [1, 2], "text": texts}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet row 1: a value cannot be read: 'utf-8' codec"):
        text_of(f"{tmp_path}/*")
    assert text_of(f"{tmp_path}/*", CorpusForm(skip_bad=True)) == "ab\n"
