"""What is held out: a share of each class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.splits import stratified_fold, stratified_split
from throughtime.errors import DataError


def test_each_class_gives_its_share() -> None:
    classes = np.array([0] * 50 + [1] * 20 + [2])
    held_out = stratified_split(classes, 0.1, seed=1)
    assert [int(held_out[classes == one].sum()) for one in range(3)] == [5, 2, 0]


def test_the_seed_decides_which() -> None:
    classes = np.zeros(100, dtype=int)
    one, same, other = (stratified_split(classes, 0.2, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.floats(0, 0.99))
def test_every_class_stays_in_training(classes: list[int], fraction: float) -> None:
    array = np.array(classes)
    held_out = stratified_split(array, fraction, seed=1)
    assert set(array[~held_out]) == set(classes)


@given(st.lists(st.integers(0, 3), min_size=5, max_size=40), st.integers(2, 5), st.integers(0, 9))
def test_folds_hold_every_example_out_once_and_are_alike(classes: list[int], folds: int, seed: int) -> None:
    array = np.array(classes)
    parts = np.stack([stratified_fold(array, number, folds, seed) for number in range(1, folds + 1)])
    assert (parts.sum(0) == 1).all()
    assert np.ptp(parts.sum(1)) <= 1
    for one in set(classes):
        assert np.ptp(parts[:, array == one].sum(1)) <= 1


def test_more_folds_than_examples_are_refused() -> None:
    with pytest.raises(DataError, match="3 examples cannot be cut into 5 folds: use fewer --folds"):
        stratified_fold(np.arange(3), 1, 5, seed=1)
