"""Arrays of callers: what loses nothing is taken."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from throughtime.arrays import log_softmax, real_numbers, softmax, whole_numbers


@pytest.mark.parametrize(
    "values", [3, [1, 2], [[1], [2]], np.uint8(3), np.array([1, 2], np.uint64), np.array([-1], np.int16), []]
)
def test_whole_numbers_of_any_kind_become_int64(values: Any) -> None:
    found = whole_numbers(values, "tokens")
    assert found.dtype == np.int64
    assert found.tolist() == np.asarray(values).tolist()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0], "tokens must be whole numbers, not float64"),
        ([True], "tokens must be whole numbers, not bool"),
        (["1"], "whole numbers"),
        ([None], "whole numbers, not object"),
        (1 + 0j, "whole numbers"),
        ([2**63], "tokens must fit 64 bits"),
        ([-(2**70)], "tokens must fit 64 bits"),
    ],
)
def test_what_would_be_cut_off_is_refused(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        whole_numbers(values, "tokens")


def test_real_numbers_become_float32() -> None:
    assert real_numbers([[1, 2.5]], "inputs").dtype == np.float32
    for wrong in cast(Any, ([1j], ["a"], [None])):
        with pytest.raises(ValueError, match="inputs must be real numbers"):
            real_numbers(wrong, "inputs")


def test_scores_at_both_ends_of_32_bits_are_probabilities_without_a_warning() -> None:
    scores = np.array([3e38, -3e38], np.float32)
    assert softmax(scores).tolist() == [1, 0]
    assert log_softmax(scores).tolist() == [0, -np.inf]
