"""Reading text files: encodings, block edges, and what is refused."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data import read_blocks, read_byte_blocks
from throughtime.errors import DataError

MIXED = "naïve\r\n한국어 텍스트\n👩‍👩‍👧 e\u0301\n\ttab\x00end"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "input.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 20])
def test_blocks_join_to_the_text_wherever_they_are_cut(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path, MIXED.encode())
    assert "".join(read_blocks(path, block_bytes=block_bytes)) == MIXED
    assert b"".join(read_byte_blocks(path, block_bytes)) == MIXED.encode()


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 4, 1 << 20])
def test_a_byte_order_mark_is_dropped_only_at_the_start(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path, codecs.BOM_UTF8 + "a\ufeffb".encode())
    text = "".join(read_blocks(path, block_bytes=block_bytes))
    assert text == "a\ufeffb"


@pytest.mark.parametrize("block_bytes", [1, 5, 1 << 20])
def test_an_invalid_byte_is_named_by_offset_and_line(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path, "한\nab".encode() + b"\xffc")
    with pytest.raises(DataError, match=r"byte 0xff at offset 6 \(line 2\) is not UTF-8.*--errors replace"):
        list(read_blocks(path, block_bytes=block_bytes))


@pytest.mark.parametrize("block_bytes", [1, 2, 1 << 20])
def test_replace_reads_invalid_bytes_as_replacement_characters(tmp_path: Path, block_bytes: int) -> None:
    path = write(tmp_path, b"a\xffb\xed\x95")
    assert "".join(read_blocks(path, "replace", block_bytes)) == "a\ufffdb\ufffd"


def test_a_character_cut_off_by_the_end_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="offset 1"):
        list(read_blocks(write(tmp_path, b"a\xed\x95")))


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32")])
def test_other_encodings_are_named(tmp_path: Path, encoding: str, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} byte order mark.*--encoding"):
        list(read_blocks(write(tmp_path, "text".encode(encoding))))


def test_missing_empty_and_folder_are_one_line_errors(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "none.txt", "no such file"),
        (tmp_path, "is a folder"),
        (write(tmp_path, b""), "is empty"),
    ]:
        with pytest.raises(DataError, match=message) as raised:
            list(read_blocks(path))
        assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="nothing but a byte order mark"):
        list(read_blocks(write(tmp_path, codecs.BOM_UTF8)))


def test_progress_counts_bytes(tmp_path: Path) -> None:
    seen: list[int] = []
    list(read_blocks(write(tmp_path, b"x" * 10), block_bytes=4, progress=seen.append))
    assert seen == [4, 8, 10]


@given(text=st.text(min_size=1), block_bytes=st.integers(1, 9))
def test_any_text_survives_any_block_size(
    tmp_path_factory: pytest.TempPathFactory, text: str, block_bytes: int
) -> None:
    path = write(tmp_path_factory.mktemp("text"), text.encode())
    if text != "\ufeff":
        assert "".join(read_blocks(path, block_bytes=block_bytes)) == text.removeprefix("\ufeff")
