"""Word vectors from text files: GloVe's and .vec, only the words that are asked for."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from throughtime.data.word_vectors import read_word_vectors
from throughtime.errors import DataError

GLOVE = "the 0.1 0.2 0.3\nParis 1 2 3\nparis 4 5 6\n. . . 7 8 9\n"


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_words_that_are_asked_for_are_read(tmp_path: Path, header: str) -> None:
    path = tmp_path / "v.vec"
    path.write_text(header + GLOVE)
    found = read_word_vectors(path, {"Paris", "The", "Berlin", ". . ."})
    assert found.size == 3
    assert set(found.vectors) == {"the", "Paris", "paris", ". . ."}
    np.testing.assert_array_equal(found.of("Paris"), np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(found.of("PARIS"), np.array([4, 5, 6], np.float32))
    assert found.of("Berlin") is None


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(GLOVE.encode()))
    assert read_word_vectors(path, {"the"}).size == 3


def test_words_without_a_vector_are_gaps_in_the_matrix(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text(GLOVE)
    matrix = read_word_vectors(path, {"the", "Paris"}).matrix([["the"], ["berlin"], ["unseen", "Paris"]])
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(matrix).all(1), [False, True, False])
    np.testing.assert_array_equal(matrix[2], [1, 2, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a text of words\n", r"line 1: not a word and 3 numbers"),
        ("word\n", r"line 1: not a word and its numbers"),
        ("the 1 2 3\na 1 2\n", r"line 2: 2 numbers, expected 3"),
        ("the 1 2 3\na 1 x 2\n", r"line 2: not a word and 3 numbers"),
        ("the 1 2 3\na 1 nan 2\n", r"line 2: a number is not finite"),
        ("the 1 2 3\na 1 1e39 2\n", r"line 2: a number is not finite"),
        pytest.param(f"4 {'9' * 5000}\n", r"line 1: not a word and its numbers", id="digits"),
        ("el 1 2 3\n", r"has a vector of none of the data's words"),
    ],
)
def test_what_is_no_file_of_vectors_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_word_vectors(path, {"the", "a"})


def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.txt"
    path.write_text("the " + " ".join(["1"] * 1000) + "\n")
    monkeypatch.setenv("THROUGHTIME_MAX_EXAMPLE_BYTES", "2000")
    with pytest.raises(DataError, match="THROUGHTIME_MAX_EXAMPLE_BYTES"):
        read_word_vectors(path, {"the"})
