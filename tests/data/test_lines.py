"""Lines of files and of standard input: whatever is wrong with them is an error with a place."""

from __future__ import annotations

import gzip
import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from throughtime.data.lines import check_text, read_lines, shown, standard_input, standard_input_blocks
from throughtime.data.npy import map_npy, npz_names
from throughtime.data.shards import find_shards
from throughtime.data.tables import column_names
from throughtime.errors import DataError
from throughtime.tasks.tagger.frame_labels import read_frame_labels


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Standard input as a process has it."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_a_gzip_file_that_is_cut_or_damaged_is_named(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"line {n}\n" for n in range(5000)).encode())
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for name, content in [("cut.gz", whole[:-9]), ("damaged.gz", bytes(damaged)), ("none.gz", b"no")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} is damaged or no gzip file"):
            list(read_lines(tmp_path / name))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"short\n")
        for _ in range(64):
            file.write(bytes(1 << 20).replace(b"\0", b"x"))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bomb\.txt\.gz line 2 is too long: .*THROUGHTIME_MAX_LINE"):
            list(read_lines(path))
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()


def test_a_longer_line_can_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("123456\n12345\n")
    monkeypatch.setenv("THROUGHTIME_MAX_LINE", "6")
    with pytest.raises(DataError, match="line 1 is too long: the limit is 6 characters"):
        list(read_lines(tmp_path / "a"))
    monkeypatch.setenv("THROUGHTIME_MAX_LINE", "7")
    assert list(read_lines(tmp_path / "a")) == ["123456\n", "12345\n"]


def test_what_is_no_text_is_found_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\nPrepara\xe7\xe3o\nthree\n")
    first, second, third = read_lines(tmp_path / "a")
    assert (check_text(first), check_text(third)) == ("one\n", "three\n")
    with pytest.raises(DataError, match="byte 0xe7 is not UTF-8"):
        check_text(second)
    with pytest.raises(DataError, match=r"U\+D83D is half of a surrogate pair"):
        check_text("\ud83d")


def test_a_folder_and_a_name_that_cannot_be_are_errors(tmp_path: Path) -> None:
    for path, message in [(tmp_path, "is a folder"), (f"{tmp_path}/a\0b", "cannot be read")]:
        with pytest.raises(DataError, match=message):
            list(read_lines(path))


def test_standard_input_is_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "\ufeff좋다\r\nfin\xe9\n\nlast".encode() + b"\xff")
    lines = list(standard_input())
    assert lines[:3] == ["좋다", "fin\xe9", ""]
    with pytest.raises(DataError, match="byte 0xff is not UTF-8"):
        check_text(lines[3])


def test_standard_input_has_bounded_lines_and_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"x" * 100)
    monkeypatch.setenv("THROUGHTIME_MAX_LINE", "99")
    with pytest.raises(DataError, match="standard input line 1 is too long"):
        list(standard_input())
    monkeypatch.setattr("sys.stdin", None)
    assert list(standard_input()) == []


def test_standard_input_gives_what_has_come_and_waits_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sender:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=source))
        blocks = standard_input_blocks()
        sender.write(b"one\ntwo\nthr")
        assert next(blocks) == ["one", "two"]
        sender.write(b"ee\n")
        assert next(blocks) == ["three"]
        sender.write(b"four")
        sender.close()
        assert list(blocks) == [["four"]]


def test_lines_are_whole_whatever_the_size_of_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [letter * (length * 7919) for length, letter in enumerate("abcdefghijk")]
    given(monkeypatch, "\n".join(lines).encode())
    assert list(standard_input()) == lines


def test_values_are_quoted_as_long_as_a_line() -> None:
    assert shown("a\x1b[2J") == r"'a\x1b[2J'"
    assert len(shown("x" * 10_000)) < 100 and "10,002 characters" in shown("x" * 10_000)


@pytest.mark.parametrize(
    "read",
    [
        column_names,
        npz_names,
        map_npy,
        lambda path: find_shards(str(path)),
        lambda path: read_frame_labels(path, 3),
    ],
)
def test_what_is_read_more_than_once_is_no_pipe(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(
        DataError, match=r"a\.csv is a pipe or a device, and such data is read more than once"
    ):
        read(tmp_path / "a.csv")
