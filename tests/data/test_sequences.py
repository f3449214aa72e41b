"""Ragged arrays on disk: what was written comes back, and damage is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.sequences import Sequences, write_sequences
from throughtime.errors import DataError, RunError


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=20), features=st.integers(0, 3))
def test_arrays_come_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], features: int
) -> None:
    shape = (features,) if features else ()
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((length, *shape)).astype(np.float32) for length in lengths]
    path = tmp_path_factory.mktemp("sequences") / "x.npy"
    write_sequences(path, iter(arrays))
    read = Sequences.open(path)
    assert len(read) == len(arrays)
    assert read.lengths.tolist() == lengths
    for index, array in enumerate(arrays):
        np.testing.assert_array_equal(read[index], array)
    np.testing.assert_array_equal(np.load(path), np.concatenate(arrays))


def test_the_type_can_be_given(tmp_path: Path) -> None:
    assert write_sequences(tmp_path / "x.npy", [[1, 2], [3]], np.uint16)[0].dtype == np.uint16


def test_none_or_unequal_arrays_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a single example"):
        write_sequences(tmp_path / "x.npy", [])
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        write_sequences(tmp_path / "x.npy", [np.zeros((1, 2)), np.zeros((1, 3))])
    assert list(tmp_path.iterdir()) == []


def test_damage_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with pytest.raises(RunError, match="is missing"):
        Sequences.open(path)
    write_sequences(path, [np.arange(5), np.arange(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(RunError, match="damaged"):
        Sequences.open(path)
    path.write_bytes(b"")
    with pytest.raises(RunError, match="damaged"):
        Sequences.open(path)
    path.write_bytes(whole)
    np.save(path.with_name("x.ends.npy"), np.array([5, 4]))
    with pytest.raises(RunError, match="do not fit"):
        Sequences.open(path)


def test_bytes_are_held_against_a_range_that_begins_below_them(tmp_path: Path) -> None:
    sequences = Sequences(np.array([0, 1, 200], np.uint8), np.array([3]), "labels.npy")
    sequences.expect_numbers(-1, 201)
    with pytest.raises(RunError, match="it holds 200"):
        sequences.expect_numbers(-1, 2)
