"""What is held out: a share of each class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.splits import stratified_split


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
