"""What a network gives out, held to being numbers: a label must not be made of NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import NotANumberError


def check_output(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Logits, log-probabilities or probabilities, where they are numbers; -inf is the logit of what is never.

    Args:
        values: of any shape; what one row (the last axis) holds is chosen from.
        name: what they are the output for, for the error.
    Raises:
        NotANumberError: one is NaN or +inf, or all of a row are -inf.
    """
    # The largest is NaN where any is.
    if not np.isfinite(values.max(-1) if values.ndim else values).all():
        raise _not_a_number(name)
    return values


def check_finite(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Values or parameters of distributions, where they are finite.

    Args:
        values, name: as of `check_output`.
    Raises:
        NotANumberError: one is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise _not_a_number(name)
    return values


def _not_a_number(name: str) -> NotANumberError:
    return NotANumberError(
        f"the model's output for {name} is not a number: its weights, or the numbers that it reads, are too "
        f"large to compute with"
    )
