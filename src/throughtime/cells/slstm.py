"""sLSTM: an LSTM with exponential gates, a normaliser and heads."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cells.cell import Cell, State
from throughtime.errors import OptionError


class SLSTM(Cell):
    """sLSTM.

        i~, f~, z~, o~ = W x_t + R h_{t-1} + b          R block-diagonal: one block a head
        m_t = max(log sigmoid(f~) + m_{t-1}, i~)        stabiliser                      equation 15
        i_t = exp(i~ - m_t)                             input gate                      equation 16
        f_t = exp(log sigmoid(f~) + m_{t-1} - m_t)      forget gate                     equation 17
        c_t = f_t * c_{t-1} + i_t * tanh(z~)            cell state                      equation 8
        n_t = f_t * n_{t-1} + i_t                       normaliser                      equation 9
        h_t = sigmoid(o~) * c_t / n_t                   hidden state                    equation 10

    Where nothing has been read yet (n = 0), m_t = i~.

    Args:
        input_size: I.
        hidden_size: H, a multiple of heads.
        heads: K: units of different heads do not see each other within a layer.
    State:
        h, c, n, m, each (B, H).
    Raises:
        OptionError: heads does not divide hidden_size.
    Source: Beck et al. 2024, arXiv 2405.04517, section 2.2; the forget gate is the sigmoid of the two that
        the paper allows, as in the authors' code.
    """

    gate_names = ("input gate", "forget gate", "cell input", "output gate")

    def __init__(self, input_size: int, hidden_size: int, heads: int = 4) -> None:
        if not isinstance(heads, int) or heads < 1 or hidden_size % heads:
            raise OptionError(f"heads must divide hidden_size {hidden_size}, and {heads!r:.40} does not")
        super().__init__(input_size, hidden_size, state_sizes=(hidden_size,) * 4)
        self.heads = heads
        width = hidden_size // heads
        self.input = nn.Linear(input_size, 4 * hidden_size)
        # (head, from, gate, to)
        self.weight_hh = nn.Parameter(torch.empty(heads, width, 4, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the recurrent weights from U(-1/sqrt(D), 1/sqrt(D)), D a head's width; others as Linear."""
        self.input.reset_parameters()
        bound = 1 / math.sqrt(self.weight_hh.shape[1]) if self.weight_hh.numel() else 0
        nn.init.uniform_(self.weight_hh, -bound, bound)

    def project(self, inputs: Tensor) -> Tensor:
        return self.input(inputs)

    def step(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        _, c, n, _ = state
        i, f, z, o, m = self._activations(projected, state)
        c = f * c + i * z
        n = f * n + i
        h = o * c / n
        return h, (h, c, n, m)

    def gates(self, projected: Tensor, state: State) -> dict[str, Tensor]:
        return dict(zip(self.gate_names, self._activations(projected, state), strict=False))

    def _activations(self, projected: Tensor, state: State) -> tuple[Tensor, ...]:
        """i_t, f_t, tanh(z~), o_t and m_t."""
        h, _, n, m = state
        heads = h.unflatten(-1, (self.heads, -1))
        recurrent = torch.einsum("bkd,kdge->bgke", heads, self.weight_hh)  # (B, gates, heads, D)
        i, f, z, o = (projected + recurrent.flatten(1)).chunk(4, dim=-1)
        kept = F.logsigmoid(f) + m
        m = torch.where(n == 0, i, torch.maximum(kept, i))
        # At most 1 by the choice of m; where nothing was read, m_{t-1} means nothing.
        f = torch.exp(torch.clamp(kept - m, max=0))
        return torch.exp(i - m), f, torch.tanh(z), torch.sigmoid(o), m
