"""Many examples through a classifier: batches hide nothing, and mix nothing up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from throughtime.tasks.classifier.given import as_batch
from throughtime.tasks.classifier.prediction import all_outputs


class Sums:
    """The logits of a sequence are its sum and its length; padding would show."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def outputs(self, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        self.sizes.append(inputs.size)
        real = np.arange(len(inputs))[:, None] < lengths
        return np.stack([(inputs * real).sum(0), lengths], 1).astype(np.float32)


def test_logits_come_in_the_order_of_the_examples_with_little_padding() -> None:
    generator = np.random.default_rng(0)
    examples = [generator.integers(1, 9, length) for length in generator.integers(1, 60, 500)]
    sums, shares = Sums(), []
    found = all_outputs(sums, examples, shares.append)
    assert found[:, 0].tolist() == [example.sum() for example in examples]
    assert found[:, 1].tolist() == [len(example) for example in examples]
    assert shares == sorted(shares) and shares[-1] == 1
    assert sum(sums.sizes) < 1.3 * sum(map(len, examples))


@pytest.mark.parametrize(
    "dtype, expected", [(np.int32, np.int64), (np.uint16, np.int64), (np.float32, np.float32)]
)
def test_a_batch_is_padded_and_its_whole_numbers_are_int64(dtype: Any, expected: Any) -> None:
    inputs, lengths = as_batch([np.array([1, 2, 3], dtype), np.array([4], dtype)])
    assert inputs.dtype == expected
    assert inputs.T.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


def test_a_batch_of_long_examples_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throughtime.tasks.classifier.prediction._STEPS", 100)
    examples = [np.full(length, length) for length in (40, 3, 99, 101, 20, 500)]
    sums = Sums()
    assert all_outputs(sums, examples)[:, 1].tolist() == [40, 3, 99, 101, 20, 500]
    assert max(sums.sizes) == 500 and sorted(sums.sizes)[-2] == 101
