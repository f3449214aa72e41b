"""What a network gives out, held to being numbers: a label must not be made of NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.errors import NotANumberError


def check_output(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Logits, log-probabilities or probabilities, where they are numbers; -inf is the logit of what is never.

    Args:
        values: of any shape.
        name: what they are the output for, for the error.
    Raises:
        NotANumberError: one is NaN or +inf.
    """
    # One pass for all that is not below infinity, NaN included.
    if not (values < np.inf).all():
        raise NotANumberError(
            f"the model's output for {name} is not a number: its weights, or the numbers that it reads, are "
            f"too large to compute with"
        )
    return values
