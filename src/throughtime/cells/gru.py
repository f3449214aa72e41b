"""The gated recurrent unit, in both conventions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.cells.cell import GatedCell, State


class GRU(GatedCell):
    """Gated recurrent unit.

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))       candidate, reset_after (cuDNN)
        n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)       candidate, otherwise (the paper)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}                           hidden state

    The gates are stacked in the order r, z, n. z = 1 keeps the old state, as in Cho et al.; Chung et al. 2014
    write z where 1 - z stands here.

    Args:
        input_size: I.
        hidden_size: H.
        reset_after: reset after the matrix product, as torch.nn and cuDNN do; False: before it.
        bias: whether the biases exist.
    State:
        h (B, H).
    Source: Cho et al. 2014, arXiv 1406.1078 (version 3; reset after the product: version 1, and cuDNN).
    """

    def __init__(
        self, input_size: int, hidden_size: int, reset_after: bool = True, bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, gates=3, state_sizes=(hidden_size,), bias=bias)
        self.reset_after = reset_after
        self.gate_names = ("reset gate", "update gate", "candidate")
        self.reset_parameters()

    def project(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight_ih, self.bias_ih)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        _, z, n = self._activations(projected, h)
        h = (1 - z) * n + z * h
        return h, (h,)

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        return dict(zip(self.gate_names, self._activations(projected, state[0]), strict=True))

    def _activations(self, projected: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """r_t, z_t and n_t."""
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        if self.reset_after:
            h_r, h_z, h_n = linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
            r = torch.sigmoid(x_r + h_r)
            z = torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + r * h_n)
        else:
            H = self.hidden_size
            bias_gates, bias_n = (None, None) if self.bias_hh is None else self.bias_hh.split([2 * H, H])
            h_r, h_z = linear(h, self.weight_hh[: 2 * H], bias_gates).chunk(2, dim=-1)
            r = torch.sigmoid(x_r + h_r)
            z = torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + linear(r * h, self.weight_hh[2 * H :], bias_n))
        return r, z, n
