"""The vanilla recurrent network."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.cells.cell import GatedCell, State
from throughtime.errors import OptionError

Activation = Literal["tanh", "relu"]


class RNN(GatedCell):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu in place of tanh.

    Args:
        input_size: I.
        hidden_size: H.
        activation: "tanh", or "relu" (with an identity W_hh: the IRNN of Le, Jaitly and Hinton 2015).
        bias: whether the biases exist.
    State:
        h (B, H).
    Raises:
        OptionError: the activation is unknown.
    Source: Elman 1990.
    """

    def __init__(
        self, input_size: int, hidden_size: int, activation: Activation = "tanh", bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size, gates=1, state_sizes=(hidden_size,), bias=bias)
        if activation not in ("tanh", "relu"):
            raise OptionError(f"activation {activation!r} is unknown: use tanh or relu")
        self.activation = activation
        self.gate_names = ("hidden state",)
        self.reset_parameters()

    def project(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight_ih, self.joint_bias)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        pre_activation = projected + linear(h, self.weight_hh)
        h = torch.tanh(pre_activation) if self.activation == "tanh" else torch.relu(pre_activation)
        return h, (h,)
