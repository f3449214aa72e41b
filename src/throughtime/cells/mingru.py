"""The minimal GRU whose gates see the inputs only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from throughtime.cells.cell import Cell, State


class MinGRU(Cell):
    """minGRU.

        z_t = sigmoid(W_z x_t + b_z)                    update gate
        n_t = g(W_n x_t + b_n)                          candidate
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t           hidden state

    with g(a) = a + 1/2 where a >= 0, sigmoid(a) elsewhere, which keeps the state positive. Nothing but the
    last line waits for the state: all products run for all steps at once.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether the biases exist.
    State:
        h (B, H).
    Source: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, arXiv 2410.01201, section 3.1.3; g: appendix B.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,))
        self.update = nn.Linear(input_size, hidden_size, bias)
        self.candidate = nn.Linear(input_size, hidden_size, bias)

    def project(self, inputs: Tensor) -> Tensor:
        n = self.candidate(inputs)
        n = torch.where(n >= 0, n + 0.5, torch.sigmoid(n))
        return torch.cat([torch.sigmoid(self.update(inputs)), n], -1)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        z, n = projected.chunk(2, dim=-1)
        h = (1 - z) * h + z * n
        return h, (h,)

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        z, n = projected.chunk(2, dim=-1)
        return {"update gate": z, "candidate": n}
