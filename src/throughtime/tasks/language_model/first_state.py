"""Conditions into the state that a line begins with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.cells import State
from throughtime.recurrent import Recurrent


class FirstState(nn.Module):
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

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        recurrent: Recurrent,
        categories: tuple[int, ...],
        numbers: tuple[tuple[float, float], ...],
        width: int,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(count, width) for count in categories)
        self.numbers = nn.Linear(len(numbers), width) if numbers else None
        if numbers:
            self.register_buffer("mean", torch.tensor([mean for mean, _ in numbers]))
            self.register_buffer("deviation", torch.tensor([deviation for _, deviation in numbers]))
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
        parts = [table(rows) for table, rows in zip(self.embeddings, categories, strict=True)]
        if self.numbers is not None and numbers is not None:
            parts.append(self.numbers((numbers - self.mean) / self.deviation))
        entered = parts[0]
        for part in parts[1:]:
            entered = entered + part
        values = self.state(torch.tanh(entered))
        layers = values.view(values.shape[0], self._layers, sum(self._sizes)).transpose(0, 1)
        cut = layers.split(self._sizes, -1)
        return tuple(own + part for own, part in zip(begins, cut, strict=True))
