"""Outputs that something can be said of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from throughtime.errors import NotANumberError
from throughtime.runtime.outputs import check_finite, check_output

NEVER = -np.inf


@pytest.mark.parametrize("values", [[[1, NEVER], [NEVER, 2]], [0.5], 0.5, np.zeros((0, 3))])
def test_a_row_with_a_number_in_it_has_a_largest_one(values: Any) -> None:
    check_output(np.array(values), "it")


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_output, [[1, np.nan]]),
        (check_output, [[1, np.inf]]),
        (check_output, [[1, 2], [NEVER, NEVER]]),
        (check_output, np.nan),
        (check_finite, [[1, NEVER]]),
    ],
)
def test_a_row_that_nothing_can_be_said_of_is_named(check: Callable[..., Any], values: Any) -> None:
    with pytest.raises(NotANumberError, match="the model's output for it is not a number"):
        check(np.array(values), "it")
