"""Windows of a language model's text, each with the state that reading up to it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.cells import State
from throughtime.errors import DataError
from throughtime.tasks.language_model.model import LanguageModel

_PIECE = 256


@dataclass(frozen=True)
class Windows:
    """N windows of T tokens, side by side.

    Args:
        tokens: (T, N) int64, inputs.
        targets: (T, N) int64, the token after each.
        state: before the first step, carried there from `warm_up` tokens earlier.
        starts: (N,), where in the text each begins.
    """

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    state: State
    starts: NDArray[np.int64]


def cut_windows(
    model: LanguageModel, text: NDArray[Any], length: int, count: int, warm_up: int | None = None
) -> Windows:
    """Spread windows evenly over a text.

    Args:
        model: in evaluation mode.
        text: (N,) tokens.
        length: T.
        count: windows; fewer, down to 1, where the text is short.
        warm_up: tokens that are read before each window; None is T. Less where the text begins.
    Raises:
        DataError: the text is not longer than one window.
    """
    if len(text) < length + 1:
        raise DataError(
            f"the text has {len(text):,} tokens, and a window of {length} needs {length + 1}: give a longer "
            f"text or fewer --lags"
        )
    last = len(text) - length - 1
    warm_up = min(length if warm_up is None else warm_up, last)
    starts = np.unique(np.linspace(warm_up, last, count).astype(np.int64))
    steps = np.arange(-warm_up, length + 1)[:, None] + starts[None, :]
    tokens = np.asarray(text)[steps].astype(np.int64)
    state: State | None = None
    with torch.no_grad():
        for begin in range(0, warm_up, _PIECE):
            _, state = model(torch.from_numpy(tokens[begin : min(begin + _PIECE, warm_up)]), state)
        if state is None:
            state = model.recurrent.initial_state(len(starts), model.output.weight)
    inside = tokens[warm_up:]
    return Windows(inside[:-1], inside[1:], tuple(part.detach() for part in state), starts)


def embed(model: LanguageModel, tokens: NDArray[np.int64]) -> Tensor:
    """The vectors (T, N, I) that the recurrence reads."""
    numbers = torch.from_numpy(np.ascontiguousarray(tokens))
    if model.embedding is not None:
        return model.embedding(numbers)
    return torch.nn.functional.one_hot(numbers, model.vocabulary_size).to(model.output.weight.dtype)
