"""The text that every machine has."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from throughtime.demos.program import write_corpus
from throughtime.errors import DataError


def test_the_corpus_is_ascii_python_and_the_same_every_time(tmp_path: Path) -> None:
    written = write_corpus(tmp_path / "a.txt", max_bytes=300_000)
    write_corpus(tmp_path / "b.txt", max_bytes=300_000)
    content = (tmp_path / "a.txt").read_bytes()
    assert content == (tmp_path / "b.txt").read_bytes()
    assert 300_000 <= written == len(content) < 1_000_000
    assert content.isascii()
    assert b"import " in content


@pytest.mark.slow  # reads the whole standard library
def test_the_whole_library_is_large_enough_to_learn_from(tmp_path: Path) -> None:
    assert write_corpus(tmp_path / "all.txt") > 5_000_000


def test_a_python_without_sources_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match="no source files"):
        write_corpus(tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    assert sys.version_info >= (3, 10)
