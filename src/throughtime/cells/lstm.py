"""The long short-term memory and its published variants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from throughtime.cells.cell import GatedCell, State
from throughtime.errors import OptionError


class LSTM(GatedCell):
    """Long short-term memory.

        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + p_i * c_{t-1} + b_i)    input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + p_f * c_{t-1} + b_f)    forget gate
        g_t =    tanh(W_ig x_t + W_hg h_{t-1}                 + b_g)    candidate
        c_t = f_t * c_{t-1} + i_t * g_t                                 cell state
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + p_o * c_t     + b_o)    output gate
        h_t = W_hr (o_t * tanh(c_t))                                    hidden state

    p exists with `peephole` only, W_hr with `projection` only. The gates are stacked in the order i, f, g, o.

    Args:
        input_size: I.
        hidden_size: H.
        peephole: the gates see the cell state through diagonal weights, weight_peephole (3, H): i, f, o
            (Gers and Schmidhuber 2000).
        projection: S, the size to which the hidden state is projected, below H; 0 is none (Sak et al. 2014).
        coupled: f_t = 1 - i_t; no forget gate of its own, gates i, g, o (Greff et al. 2017, "CIFG").
        layer_norm: normalises W_ih x_t and W_hh h_{t-1}, each over all gates, and c_t inside the tanh
            (Ba, Kiros and Hinton 2016, equations 20 to 22).
        forget_bias: the initial bias of the forget gate; 1 or more helps to remember (Gers et al. 2000,
            Jozefowicz et al. 2015). None leaves the uniform draw of torch.nn.
        bias: whether the biases exist.
    State:
        h (B, S or H), c (B, H).
    Raises:
        OptionError: projection is not below hidden_size, or forget_bias is given without biases.
    Source: Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        peephole: bool = False,
        projection: int = 0,
        coupled: bool = False,
        layer_norm: bool = False,
        forget_bias: float | None = None,
        bias: bool = True,
    ) -> None:
        if not 0 <= projection < max(hidden_size, 1):
            raise OptionError(
                f"projection must be 0 (none) or below hidden_size {hidden_size}, not {projection}"
            )
        if forget_bias is not None and not bias:
            raise OptionError("forget_bias needs biases: leave out bias=False or forget_bias")
        if forget_bias is not None and not abs(forget_bias) <= torch.finfo(torch.float32).max:
            raise OptionError(f"forget_bias is {forget_bias!r:.40}, more than 32 bits hold")
        gates = 3 if coupled else 4
        super().__init__(input_size, hidden_size, gates, (projection or hidden_size, hidden_size), bias)
        self.projection = projection
        self.peephole = peephole
        self.coupled = coupled
        self.layer_norm = layer_norm
        forget = () if coupled else ("forget gate",)
        self.gate_names = ("input gate", *forget, "candidate", "output gate")
        if projection:
            self.weight_hr = nn.Parameter(torch.empty(projection, hidden_size))
        if peephole:
            self.weight_peephole = nn.Parameter(torch.empty(2 if coupled else 3, hidden_size))
        self.reset_parameters()
        # After the uniform draw: a norm begins with gain 1 and shift 0.
        if layer_norm:
            # The shift would add to the biases, so these norms have none.
            self.norm_ih = nn.LayerNorm(gates * hidden_size, bias=False)
            self.norm_hh = nn.LayerNorm(gates * hidden_size, bias=False)
            self.norm_cell = nn.LayerNorm(hidden_size)
        if forget_bias is not None:
            self.set_forget_bias(forget_bias)

    @torch.no_grad()
    def set_forget_bias(self, value: float) -> None:
        """Make b_ih + b_hh of the forget gate equal to `value`."""
        # With f = 1 - i = sigmoid(-(...)), the input gate's bias with the other sign does the same.
        gate, value = (0, -value) if self.coupled else (1, value)
        assert self.bias_ih is not None and self.bias_hh is not None
        rows = slice(gate * self.hidden_size, (gate + 1) * self.hidden_size)
        self.bias_ih[rows] = value
        self.bias_hh[rows] = 0

    def project(self, inputs: Tensor) -> Tensor:
        if not self.layer_norm:
            return linear(inputs, self.weight_ih, self.joint_bias)
        projected = self.norm_ih(linear(inputs, self.weight_ih))
        return projected if self.joint_bias is None else projected + self.joint_bias

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        _, _, _, o, c = self._activations(projected, state)
        h = o * torch.tanh(self.norm_cell(c) if self.layer_norm else c)
        if self.projection:
            h = linear(h, self.weight_hr)
        return h, (h, c)

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        i, f, g, o, _ = self._activations(projected, state)
        return {"input gate": i, "forget gate": f, "candidate": g, "output gate": o}

    def _activations(self, projected: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """i_t, f_t, g_t, o_t and c_t."""
        h, c = state
        recurrent = linear(h, self.weight_hh)
        gates = projected + (self.norm_hh(recurrent) if self.layer_norm else recurrent)
        if self.coupled:
            i, g, o = gates.chunk(3, dim=-1)
            i = torch.sigmoid(i + self.weight_peephole[0] * c if self.peephole else i)
            f = 1 - i
        else:
            i, f, g, o = gates.chunk(4, dim=-1)
            i = torch.sigmoid(i + self.weight_peephole[0] * c if self.peephole else i)
            f = torch.sigmoid(f + self.weight_peephole[1] * c if self.peephole else f)
        g = torch.tanh(g)
        c = f * c + i * g
        o = torch.sigmoid(o + self.weight_peephole[-1] * c if self.peephole else o)
        return i, f, g, o, c
