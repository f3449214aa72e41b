"""Conditions into the state that a line begins with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.models.conditions import Conditioned
from throughtime.recurrent import Recurrent


class FirstState(Conditioned):
    """The state before a line's first step: the conditions' embeddings and numbers through one layer.

    s_0 = W tanh(sum of E_k[category_k] + V (numbers - mean) / deviation + b) + the recurrence's own state

    The conditions enter once, and the cell carries them: so whatever runs the recurrence from a given state
    (the engine with its slots, sessions, the exported step) needs no input besides its tokens. Into the
    initial state as the image in Vinyals et al. 2015 or the topic in Ficler and Goldberg 2017, where it
    enters every step.

    Args:
        recurrent: whose state.
        categories: how many values each of K has.
        numbers: (mean, deviation) of each of R.
        width: of the layer.
    """

    def __init__(
        self,
        recurrent: Recurrent,
        categories: tuple[int, ...],
        numbers: tuple[tuple[float, float], ...],
        width: int,
    ) -> None:
        super().__init__(categories, numbers, width)
        self._sizes = recurrent.state_sizes
        self._layers = len(recurrent.cells)
        self.state = nn.Linear(width, self._layers * sum(self._sizes))

    def forward(self, categories: tuple[Tensor, ...], numbers: Tensor | None, begins: State) -> State:
        """The state of B lines.

        Args:
            categories: K of (B,) int64.
            numbers: (B, R) float, or None.
            begins: the recurrence's own first state.
        """
        entered = self.together(categories, numbers)
        values = self.state(torch.tanh(entered))
        layers = values.view(values.shape[0], self._layers, sum(self._sizes)).transpose(0, 1)
        cut = layers.split(self._sizes, -1)
        return tuple(own + part for own, part in zip(begins, cut, strict=True))
