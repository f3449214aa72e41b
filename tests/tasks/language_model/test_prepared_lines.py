"""What a run folder keeps of its lines, and that damage to it is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughtime.data.conditions import Condition, Conditions
from throughtime.errors import RunError
from throughtime.tasks.language_model.prepared_lines import (
    CATEGORIES,
    HELD_OUT,
    LINES,
    NUMBERS,
    KnownLines,
    LineFacts,
    PreparedLines,
    fingerprint,
)

FIELDS = Conditions([Condition("land", ["a", "b"]), Condition("size", [], 1.0, 2.0)])


def write(folder: Path) -> None:
    lines = [np.array([1, 2, 0]), np.array([3, 0]), np.array([2, 2, 2, 0])]
    conditions = [([0], [0.5]), ([1], [1.5]), ([1], [2.5])]
    PreparedLines.write(folder, lines, np.array([False, True, False]), conditions)


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path)
    found = PreparedLines.open(tmp_path, 4, FIELDS)
    assert [found.lines[n].tolist() for n in range(3)] == [[1, 2, 0], [3, 0], [2, 2, 2, 0]]
    assert found.training.tolist() == [0, 2] and found.validation.tolist() == [1]
    assert found.categories.tolist() == [[0], [1], [1]] and found.numbers.tolist() == [[0.5], [1.5], [2.5]]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        (HELD_OUT, np.array([True, True, True])),
        (HELD_OUT, np.array([False, True])),
        (CATEGORIES, np.array([[0], [1], [2]])),
        (CATEGORIES, np.array([[0], [1]])),
        (NUMBERS, np.array([[0.5], [np.nan], [1.0]], np.float32)),
        (NUMBERS, np.zeros((3, 2), np.float32)),
        (NUMBERS, np.zeros((3, 1), np.longdouble)),
        (CATEGORIES, np.array([[0], [1], [1]], ">i8")),
        (LINES, np.array([1, 2, 0, 3, 0, 2, 2, 4, 0])),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, array: np.ndarray) -> None:
    write(tmp_path)
    np.save(tmp_path / name, array)
    with pytest.raises(RunError, match=r"damaged|does not belong"):
        PreparedLines.open(tmp_path, 4, FIELDS)
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match="missing"):
        PreparedLines.open(tmp_path, 4, FIELDS)


def test_known_lines_are_told_from_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "known_lines.npy"
    KnownLines.of(map(fingerprint, ["anna", "jo", "anna", "é"])).save(path)
    known = KnownLines.load(path)
    assert len(known) == 3
    assert all(text in known for text in ("anna", "jo", "é"))
    assert not any(text in known for text in ("", "ann", "Anna", "anna "))
    for damaged in (np.array([3, 2], np.uint64), np.array([1.0]), np.array([[1]], np.uint64)):
        np.save(path, damaged)
        with pytest.raises(RunError, match="damaged"):
            KnownLines.load(path)


def test_facts_of_lines_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    LineFacts(3, 20, 9).save(path)
    assert LineFacts.load(path) == LineFacts(3, 20, 9)
    path.write_text('{"lines": 3, "tokens": -1, "longest": 9}')
    with pytest.raises(RunError, match="tokens"):
        LineFacts.load(path)
