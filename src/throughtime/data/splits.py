"""Which examples are kept back, to measure on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stratified_split(classes: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Hold out a share of each class, so that a rare class is on both sides.

    Args:
        classes: (N,), the class of each example.
        fraction: the share, in [0, 1); rounded for each class, but one example of it stays at least.
        seed: of the draw.
    Returns:
        (N,): true where an example is held out.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    held_out = np.zeros(len(classes), dtype=bool)
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        count = min(round(len(members) * fraction), len(members) - 1)
        held_out[generator.permutation(members)[:count]] = True
    return held_out
