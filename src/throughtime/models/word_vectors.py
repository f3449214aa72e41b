"""Word vectors that an embedding begins with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def begin_with_vectors(embedding: nn.Embedding, vectors: NDArray[np.float32] | None) -> None:
    """Put word vectors into an embedding; words without one keep what was drawn.

    Args:
        embedding: of at least V rows.
        vectors: (V, E), NaN where a word has none; None changes nothing.
    """
    if vectors is None:
        return
    known = ~np.isnan(vectors).any(1)
    rows = torch.from_numpy(np.flatnonzero(known)).to(embedding.weight.device)
    given = torch.from_numpy(np.ascontiguousarray(vectors[known])).to(embedding.weight)
    with torch.no_grad():
        embedding.weight[rows] = given
