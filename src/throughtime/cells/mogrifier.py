"""The Mogrifier LSTM: inputs and state gate each other before the step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from throughtime.cells.cell import State
from throughtime.cells.lstm import LSTM
from throughtime.errors import OptionError

# The paper found 5 best; thousands would be matrices of gigabytes, and a step of minutes.
_MOST_ROUNDS = 100


class Mogrifier(LSTM):
    """Mogrifier LSTM.

        x^i = 2 sigmoid(Q^i h^{i-1} + b) * x^{i-2}      odd i, from x^{-1} = x_t        equation 1
        h^i = 2 sigmoid(R^i x^{i-1} + b) * h^{i-2}      even i, from h^0 = h_{t-1}      equation 2

    for i = 1 to `rounds`; then an LSTM's step from the last x and h.

    Args:
        input_size: I.
        hidden_size: H.
        rounds: of gating; 0 is the plain LSTM, 5 is what the paper found best.
        forget_bias, bias: as for `LSTM`.
    State:
        h (B, H), c (B, H).
    Raises:
        OptionError: rounds is no whole number from 0 to 100.
    Source: Melis, Kočiský and Blunsom 2020, arXiv 1909.01792; with biases, as their code has them.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rounds: int = 5,
        forget_bias: float | None = None,
        bias: bool = True,
    ) -> None:
        if not isinstance(rounds, int) or not 0 <= rounds <= _MOST_ROUNDS:
            raise OptionError(f"rounds must be a whole number from 0 to {_MOST_ROUNDS}, not {rounds!r:.40}")
        super().__init__(input_size, hidden_size, forget_bias=forget_bias, bias=bias)
        sizes = [
            (hidden_size, input_size) if i % 2 == 0 else (input_size, hidden_size) for i in range(rounds)
        ]
        self.rounds = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def project(self, inputs: Tensor) -> Tensor:
        return inputs

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        return super().step(*self._mogrified(projected, state))

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        return super().gates(*self._mogrified(projected, state))

    def _mogrified(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """What the LSTM's step reads: the projection of the gated inputs, and the gated state."""
        h, c = state
        for i, gate in enumerate(self.rounds, 1):
            if i % 2 == 1:
                x = 2 * torch.sigmoid(gate(h)) * x
            else:
                h = 2 * torch.sigmoid(gate(x)) * h
        return linear(x, self.weight_ih, self.joint_bias), (h, c)
