"""Batches by length: everything once, little padding, the same again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.batches import LengthBatches, pad


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=300),
    batch=st.integers(1, 40),
    epoch=st.integers(0, 5),
)
def test_every_example_comes_once_an_epoch(lengths: list[int], batch: int, epoch: int) -> None:
    batches = LengthBatches(lengths, batch, seed=0).epoch(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(1 <= len(one) <= batch for one in batches)
    assert len(batches) == len(LengthBatches(lengths, batch, seed=0))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 500)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in LengthBatches(lengths, 16, seed).epoch(epoch)]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_little_is_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.05, 5000)
    batches = LengthBatches(lengths, 32, 0)
    shuffled = np.random.default_rng(1).permutation(5000)[:4992].reshape(-1, 32)
    wasted = 1 - lengths[shuffled].sum() / (lengths[shuffled].max(1).sum() * 32)
    assert batches.padding() < 0.1 < 0.5 < wasted


def test_two_lengths_are_sorted_by_the_first_then_the_second() -> None:
    lengths = np.array([[2, 9], [1, 5], [2, 1], [1, 4]])
    assert [batch.tolist() for batch in LengthBatches(lengths, 2, 0).in_order()] == [[3, 1], [2, 0]]


def test_padding_fills_up_the_end() -> None:
    padded = pad([np.array([1, 2, 3]), np.array([4])], -1)
    assert padded.tolist() == [[1, 4], [2, -1], [3, -1]]
    assert pad([np.ones((2, 3)), np.ones((1, 3))]).shape == (2, 2, 3)
    assert pad([np.zeros((0,), np.int64)], 7).shape == (0, 1)
    with pytest.raises(ValueError):
        pad([])
